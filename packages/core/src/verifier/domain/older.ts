/**
 * Comparisons as kernels before 6.8 know them: only one with a constant decides or teaches anything (two unknown numbers
 * that are equal share their ranges), what is learnt in 64 bits forgets the 32-bit ranges unless the whole range fits
 * them, and the other way round. Sound as the newer rules are, and weaker.
 *
 * Source: kernel/bpf/verifier.c `is_branch_taken`, `reg_set_min_max`, `reg_combine_min_max`, Linux 5.7 to 6.7.
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
import {
  constScalar,
  forget32,
  forget64,
  forgetRanges,
  S32_MAX,
  S32_MIN,
  type Scalar,
  sync,
  U32_MAX,
} from "./scalar.ts";
import { type Tnum, tnumAnd, tnumCast, tnumConst, tnumIntersect, tnumOr, tnumWithSubreg, U32, U64 } from "./tnum.ts";

/** Whether `a op b` is decided, b being the constant. */
export function decidedByConstant(op: number, a: Scalar, b: Scalar, is32: boolean): boolean | undefined {
  const known = is32 ? tnumCast(a.tnum, 4) : a.tnum;
  const value = is32 ? b.tnum.value & U32 : b.tnum.value;
  const [min, max] = is32 ? [BigInt(a.u32min), BigInt(a.u32max)] : [a.umin, a.umax];
  const [smin, smax] = is32 ? [BigInt(a.s32min), BigInt(a.s32max)] : [a.smin, a.smax];
  const signed = BigInt.asIntN(is32 ? 32 : 64, value);
  switch (op) {
    case BPF_JEQ:
    case BPF_JNE:
      if (known.mask === 0n) return (known.value === value) === (op === BPF_JEQ);
      return kernel >= 604 && (value < min || value > max) ? op === BPF_JNE : undefined;
    case BPF_JSET:
      if (known.value & value) return true;
      return (known.value | known.mask) & value ? undefined : false;
    case BPF_JGT:
      return above(min, max, value, false);
    case BPF_JGE:
      return above(min, max, value, true);
    case BPF_JLE:
      return not(above(min, max, value, false));
    case BPF_JLT:
      return not(above(min, max, value, true));
    case BPF_JSGT:
      return above(smin, smax, signed, false);
    case BPF_JSGE:
      return above(smin, smax, signed, true);
    case BPF_JSLE:
      return not(above(smin, smax, signed, false));
    case BPF_JSLT:
      return not(above(smin, smax, signed, true));
    default:
      return undefined;
  }
}

/** All of min to max above the value (or equal to it), or none. */
function above(min: bigint, max: bigint, value: bigint, orEqual: boolean): boolean | undefined {
  if (min > value || (orEqual && min === value)) return true;
  return max < value || (!orEqual && max === value) ? false : undefined;
}

function not(decided: boolean | undefined): boolean | undefined {
  return decided === undefined ? undefined : !decided;
}

/** Changes x, of which `x op value` holds; `op` may be "no bit in common", which `jnset` names. */
export function learnFromConstant(op: number, x: Scalar, y: Scalar, is32: boolean, jnset: number): void {
  const value = is32 ? y.tnum.value & U32 : y.tnum.value;
  if (op === BPF_JSET || op === jnset) bits(x, value, op === BPF_JSET, is32);
  else if (is32) learn32(op, x, Number(value));
  else learn64(op, x, value);
  if (is32) ranges64From32(x);
  else ranges32From64(x);
}

function bits(x: Scalar, value: bigint, set: boolean, is32: boolean): void {
  const single = value !== 0n && (value & (value - 1n)) === 0n;
  if (set && !single) return;
  // Stable releases since 2026 forget the ranges of a side that may be dead; see `refine`, which does in all kernels.
  if (!set) forgetRanges(x);
  const known: Tnum = tnumConst(set ? value : ~value & U64);
  const change = (t: Tnum) => (set ? tnumOr(t, known) : tnumAnd(t, known));
  x.tnum = is32 ? tnumWithSubreg(x.tnum, change(tnumCast(x.tnum, 4))) : change(x.tnum);
}

function learn64(op: number, x: Scalar, value: bigint): void {
  const signed = BigInt.asIntN(64, value);
  if (op === BPF_JEQ) become(x, constScalar(value));
  else if (op === BPF_JGT) x.umin = most(x.umin, value + 1n);
  else if (op === BPF_JGE) x.umin = most(x.umin, value);
  else if (op === BPF_JLT) x.umax = least(x.umax, value - 1n);
  else if (op === BPF_JLE) x.umax = least(x.umax, value);
  else if (op === BPF_JSGT) x.smin = most(x.smin, signed + 1n);
  else if (op === BPF_JSGE) x.smin = most(x.smin, signed);
  else if (op === BPF_JSLT) x.smax = least(x.smax, signed - 1n);
  else if (op === BPF_JSLE) x.smax = least(x.smax, signed);
}

function learn32(op: number, x: Scalar, value: number): void {
  const signed = value | 0;
  if (op === BPF_JEQ) {
    x.tnum = tnumWithSubreg(x.tnum, tnumConst(BigInt(value)));
    x.u32min = x.u32max = value;
    x.s32min = x.s32max = signed;
  } else if (op === BPF_JGT) x.u32min = Math.max(x.u32min, value + 1);
  else if (op === BPF_JGE) x.u32min = Math.max(x.u32min, value);
  else if (op === BPF_JLT) x.u32max = Math.min(x.u32max, value - 1);
  else if (op === BPF_JLE) x.u32max = Math.min(x.u32max, value);
  else if (op === BPF_JSGT) x.s32min = Math.max(x.s32min, signed + 1);
  else if (op === BPF_JSGE) x.s32min = Math.max(x.s32min, signed);
  else if (op === BPF_JSLT) x.s32max = Math.min(x.s32max, signed - 1);
  else if (op === BPF_JSLE) x.s32max = Math.min(x.s32max, signed);
}

function become(x: Scalar, known: Scalar): void {
  x.tnum = known.tnum;
  x.umin = known.umin;
  x.umax = known.umax;
  x.smin = known.smin;
  x.smax = known.smax;
}

function most(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

function least(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

/** Two unknown numbers that are equal. */
export function learnEqual(x: Scalar, y: Scalar): void {
  x.umin = y.umin = most(x.umin, y.umin);
  x.umax = y.umax = least(x.umax, y.umax);
  x.smin = y.smin = most(x.smin, y.smin);
  x.smax = y.smax = least(x.smax, y.smax);
  x.tnum = y.tnum = tnumIntersect(x.tnum, y.tnum);
  sync(x);
  if (x !== y) sync(y);
}

/** The 32-bit ranges anew, from 64-bit ones that fit them. */
export function ranges32From64(x: Scalar): void {
  forget32(x);
  if (
    x.smin >= BigInt(S32_MIN) &&
    x.smax <= BigInt(S32_MAX) &&
    x.smin <= BigInt(S32_MAX) &&
    x.smax >= BigInt(S32_MIN)
  ) {
    x.s32min = Number(x.smin);
    x.s32max = Number(x.smax);
  }
  if (x.umin <= U32 && x.umax <= U32) {
    x.u32min = Number(x.umin);
    x.u32max = Number(x.umax);
  }
  sync(x);
}

/** The 64-bit ranges anew: those of 32 bits where the upper half is zero, else none. */
function ranges64From32(x: Scalar): void {
  if ((x.tnum.value | x.tnum.mask) > U32) forget64(x);
  else assign64(x);
  sync(x);
}

/** The 64-bit ranges of a number whose upper half is zero. */
export function assign64(x: Scalar): void {
  x.umin = BigInt(x.u32min);
  x.umax = BigInt(x.u32max);
  const positive = x.s32min >= 0 && x.s32max >= 0;
  x.smin = positive ? BigInt(x.s32min) : 0n;
  x.smax = positive ? BigInt(x.s32max) : BigInt(U32_MAX);
}
