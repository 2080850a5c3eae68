/**
 * What a comparison says about two Scalars: whether its outcome is already decided, and what each side must be when it
 * comes out true. Sound: `refine` keeps every pair (a, b) for which the comparison holds.
 *
 * Source: kernel/bpf/verifier.c `is_scalar_branch_taken`, `regs_refine_cond_op`; before 6.8 see `older.ts`.
 */
import {
  BPF_JEQ,
  BPF_JGE,
  BPF_JGT,
  BPF_JLE,
  BPF_JLT,
  BPF_JNE,
  BPF_JSET,
  BPF_JSGE,
  BPF_JSGT,
  BPF_JSLE,
  BPF_JSLT,
} from "../../isa/index.ts";
import { kernel } from "./kernel.ts";
import { Memo } from "./memo.ts";
import { decidedByConstant, learnEqual, learnFromConstant } from "./older.ts";
import { forgetRanges, type Scalar, scalarEqual, settle, sync } from "./scalar.ts";
import { type Tnum, tnumAnd, tnumCast, tnumIntersect, tnumOr, tnumOverlap, tnumWithSubreg, U32, U64 } from "./tnum.ts";

/** "Not (a & b)": the false side of JSET, which no opcode names. */
export const JNSET = 0x100;

const OPPOSITE = new Map<number, number>([
  [BPF_JEQ, BPF_JNE],
  [BPF_JNE, BPF_JEQ],
  [BPF_JGT, BPF_JLE],
  [BPF_JLE, BPF_JGT],
  [BPF_JGE, BPF_JLT],
  [BPF_JLT, BPF_JGE],
  [BPF_JSGT, BPF_JSLE],
  [BPF_JSLE, BPF_JSGT],
  [BPF_JSGE, BPF_JSLT],
  [BPF_JSLT, BPF_JSGE],
  [BPF_JSET, JNSET],
  [JNSET, BPF_JSET],
]);

const FLIPPED = new Map<number, number>([
  [BPF_JGT, BPF_JLT],
  [BPF_JLT, BPF_JGT],
  [BPF_JGE, BPF_JLE],
  [BPF_JLE, BPF_JGE],
  [BPF_JSGT, BPF_JSLT],
  [BPF_JSLT, BPF_JSGT],
  [BPF_JSGE, BPF_JSLE],
  [BPF_JSLE, BPF_JSGE],
]);

/** The comparison that holds exactly when `op` does not. */
export function oppositeOf(op: number): number {
  return OPPOSITE.get(op)!;
}

/** The comparison of b with a that means `op` of a with b. */
export function flippedOf(op: number): number {
  return FLIPPED.get(op) ?? op;
}

const OUTCOMES = new Memo<boolean | typeof OPEN>();
/** Both outcomes are possible. */
const OPEN = 0;

/** True or false when `a op b` is decided for all values; undefined when both outcomes are possible. */
export function outcome(op: number, a: Scalar, b: Scalar, is32: boolean): boolean | undefined {
  const key = op | (is32 ? 0x200 : 0);
  const known = OUTCOMES.get(key, a, b) ?? OUTCOMES.keep(key, a, b, decided(op, a, b, is32) ?? OPEN);
  return known === OPEN ? undefined : known;
}

function decided(op: number, a: Scalar, b: Scalar, is32: boolean): boolean | undefined {
  if (kernel < 608) return decidedOlder(op, a, b, is32);
  const ta = is32 ? tnumCast(a.tnum, 4) : a.tnum;
  const tb = is32 ? tnumCast(b.tnum, 4) : b.tnum;
  switch (op) {
    case BPF_JEQ:
      return equality(a, b, ta, tb, is32);
    case BPF_JNE: {
      const same = equality(a, b, ta, tb, is32);
      return same === undefined ? undefined : !same;
    }
    case BPF_JSET:
      return tb.mask === 0n ? anyBit(ta, tb.value) : ta.mask === 0n ? anyBit(tb, ta.value) : undefined;
    case BPF_JGT:
      return is32 ? above(a.u32min, a.u32max, b.u32min, b.u32max) : above(a.umin, a.umax, b.umin, b.umax);
    case BPF_JSGT:
      return is32 ? above(a.s32min, a.s32max, b.s32min, b.s32max) : above(a.smin, a.smax, b.smin, b.smax);
    case BPF_JGE:
      return is32 ? atLeast(a.u32min, a.u32max, b.u32min, b.u32max) : atLeast(a.umin, a.umax, b.umin, b.umax);
    case BPF_JSGE:
      return is32 ? atLeast(a.s32min, a.s32max, b.s32min, b.s32max) : atLeast(a.smin, a.smax, b.smin, b.smax);
    default:
      return decided(flippedOf(op), b, a, is32);
  }
}

function decidedOlder(op: number, a: Scalar, b: Scalar, is32: boolean): boolean | undefined {
  if (is32 ? b.isConst32 : b.isConst) return decidedByConstant(op, a, b, is32);
  const flips = kernel >= 604 && (is32 ? a.isConst32 : a.isConst);
  return flips ? decidedByConstant(flippedOf(op), b, a, is32) : undefined;
}

function equality(a: Scalar, b: Scalar, ta: Tnum, tb: Tnum, is32: boolean): boolean | undefined {
  if (ta.mask === 0n && tb.mask === 0n) return ta.value === tb.value;
  if (!tnumOverlap(ta, tb)) return false;
  if (a.u32min > b.u32max || a.u32max < b.u32min || a.s32min > b.s32max || a.s32max < b.s32min) return false;
  if (!is32 && (a.umin > b.umax || a.umax < b.umin || a.smin > b.smax || a.smax < b.smin)) return false;
  return undefined;
}

function anyBit(t: Tnum, bits: bigint): boolean | undefined {
  if (t.value & bits) return true;
  return (t.value | t.mask) & bits ? undefined : false;
}

function above<N extends number | bigint>(amin: N, amax: N, bmin: N, bmax: N): boolean | undefined {
  if (amin > bmax) return true;
  return amax <= bmin ? false : undefined;
}

function atLeast<N extends number | bigint>(amin: N, amax: N, bmin: N, bmax: N): boolean | undefined {
  if (amin >= bmax) return true;
  return amax < bmin ? false : undefined;
}

/**
 * Both sides given that `a op b` holds. A contradiction (the branch cannot happen) leaves only the known bits.
 * `same`: both are one register. The kernel then narrows it from both sides, also where the branch cannot happen.
 */
export function refine(op: number, a: Scalar, b: Scalar, is32: boolean, same = false): readonly [Scalar, Scalar] {
  const key = op | (is32 ? 0x200 : 0) | (same ? 0x400 : 0);
  return REFINED.get(key, a, b) ?? REFINED.keep(key, a, b, refined(op, a, b, is32, same));
}

const REFINED = new Memo<readonly [Scalar, Scalar]>();

function refined(op: number, a: Scalar, b: Scalar, is32: boolean, same: boolean): [Scalar, Scalar] {
  const x = a.clone();
  const y = same ? x : b.clone();
  if (kernel < 608) {
    if (is32 ? b.isConst32 : b.isConst) learnFromConstant(op, x, b, is32, JNSET);
    else if (is32 ? a.isConst32 : a.isConst) learnFromConstant(flippedOf(op), y, a, is32, JNSET);
    else if (op === BPF_JEQ && !is32) learnEqual(x, y);
    return [scalarEqual(x, a) ? a : x, scalarEqual(y, b) ? b : y];
  }
  if (op === BPF_JGT || op === BPF_JGE || op === BPF_JSGT || op === BPF_JSGE) narrow(flippedOf(op), y, x, is32);
  else narrow(op, x, y, is32);
  sync(x);
  sync(y);
  // Only now: one register that is both sides must not learn its forgotten ranges again from the known bits.
  settle(x);
  settle(y);
  // What has learnt nothing keeps its identity.
  return [scalarEqual(x, a) ? a : x, scalarEqual(y, b) ? b : y];
}

function narrow(op: number, x: Scalar, y: Scalar, is32: boolean): void {
  switch (op) {
    case BPF_JEQ:
      if (is32) equal32(x, y);
      else equal64(x, y);
      break;
    case BPF_JNE:
      if (is32 ? y.isConst32 : y.isConst) unequal(x, y, is32);
      else if (is32 ? x.isConst32 : x.isConst) unequal(y, x, is32);
      break;
    case BPF_JSET:
    case JNSET:
      if (is32 ? y.isConst32 : y.isConst) bits(op, x, y, is32);
      else if (is32 ? x.isConst32 : x.isConst) bits(op, y, x, is32);
      break;
    case BPF_JLE:
    case BPF_JLT:
      below(x, y, op === BPF_JLT, is32);
      break;
    default:
      signedBelow(x, y, op === BPF_JSLT, is32);
  }
}

function equal64(x: Scalar, y: Scalar): void {
  x.umin = y.umin = x.umin > y.umin ? x.umin : y.umin;
  x.umax = y.umax = x.umax < y.umax ? x.umax : y.umax;
  x.smin = y.smin = x.smin > y.smin ? x.smin : y.smin;
  x.smax = y.smax = x.smax < y.smax ? x.smax : y.smax;
  x.tnum = y.tnum = tnumIntersect(x.tnum, y.tnum);
}

function equal32(x: Scalar, y: Scalar): void {
  x.u32min = y.u32min = Math.max(x.u32min, y.u32min);
  x.u32max = y.u32max = Math.min(x.u32max, y.u32max);
  x.s32min = y.s32min = Math.max(x.s32min, y.s32min);
  x.s32max = y.s32max = Math.min(x.s32max, y.s32max);
  const low = tnumIntersect(tnumCast(x.tnum, 4), tnumCast(y.tnum, 4));
  x.tnum = tnumWithSubreg(x.tnum, low);
  y.tnum = tnumWithSubreg(y.tnum, low);
}

/** x is not the constant y: a bound that equals it moves by one. */
function unequal(x: Scalar, y: Scalar, is32: boolean): void {
  if (is32) {
    const value = Number(y.tnum.value & U32);
    if (x.u32min === value) x.u32min++;
    if (x.u32max === value) x.u32max--;
    if (x.s32min === (value | 0)) x.s32min++;
    if (x.s32max === (value | 0)) x.s32max--;
    return;
  }
  const value = y.tnum.value;
  const signed = BigInt.asIntN(64, value);
  if (x.umin === value) x.umin++;
  if (x.umax === value) x.umax--;
  if (x.smin === signed) x.smin++;
  if (x.smax === signed) x.smax--;
}

/** JSET with a single bit sets it; JNSET clears all bits of the constant, and with them the old ranges. */
function bits(op: number, x: Scalar, y: Scalar, is32: boolean): void {
  const value = is32 ? y.tnum.value & U32 : y.tnum.value;
  if (op === BPF_JSET) {
    if (value === 0n || (value & (value - 1n)) !== 0n) return;
    const set: Tnum = { value, mask: 0n };
    x.tnum = is32 ? tnumWithSubreg(x.tnum, tnumOr(tnumCast(x.tnum, 4), set)) : tnumOr(x.tnum, set);
    return;
  }
  forgetRanges(x);
  const keep: Tnum = { value: ~value & U64, mask: 0n };
  x.tnum = is32 ? tnumWithSubreg(x.tnum, tnumAnd(tnumCast(x.tnum, 4), keep)) : tnumAnd(x.tnum, keep);
}

function below(x: Scalar, y: Scalar, strict: boolean, is32: boolean): void {
  if (is32) {
    const d = Number(strict);
    x.u32max = Math.min(x.u32max, y.u32max - d);
    y.u32min = Math.max(x.u32min + d, y.u32min);
    return;
  }
  const d = strict ? 1n : 0n;
  const max = y.umax - d;
  if (max < x.umax) x.umax = max;
  const min = x.umin + d;
  if (min > y.umin) y.umin = min;
}

function signedBelow(x: Scalar, y: Scalar, strict: boolean, is32: boolean): void {
  if (is32) {
    const d = Number(strict);
    x.s32max = Math.min(x.s32max, y.s32max - d);
    y.s32min = Math.max(x.s32min + d, y.s32min);
    return;
  }
  const d = strict ? 1n : 0n;
  const max = y.smax - d;
  if (max < x.smax) x.smax = max;
  const min = x.smin + d;
  if (min > y.smin) y.smin = min;
}
