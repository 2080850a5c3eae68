/**
 * Arithmetic on Scalars: for every a in A and b in B the concrete result is in the abstract one. Operations whose bounds
 * may overflow give the full range of that view; the tnum and the other views then win back what they can.
 *
 * Division, modulo, negation of unknown numbers and shifts by unknown amounts give unknown, as in the kernel.
 * Source: RFC 9669 section 4.1 (meaning); kernel/bpf/verifier.c `adjust_scalar_min_max_vals` (which bounds it keeps).
 */
import {
  aluResult,
  BPF_ADD,
  BPF_AND,
  BPF_ARSH,
  BPF_DIV,
  BPF_LSH,
  BPF_MOD,
  BPF_MUL,
  BPF_OR,
  BPF_RSH,
  BPF_SUB,
  BPF_XOR,
  isShift,
} from "../../isa/index.ts";
import { kernel } from "./kernel.ts";
import { Memo } from "./memo.ts";
import { assign64, ranges32From64 } from "./older.ts";
import {
  constScalar,
  forget32,
  forget64,
  forgetRanges,
  learnFromTnum,
  learnFromTnum32,
  loadedScalar,
  S32_MAX,
  S32_MIN,
  S64_MAX,
  S64_MIN,
  type Scalar,
  sync,
  U32_MAX,
  U64_MAX,
  UNKNOWN,
} from "./scalar.ts";
import {
  type Tnum,
  tnumAdd,
  tnumAnd,
  tnumCast,
  tnumConst,
  tnumMul,
  tnumMulApart,
  tnumMulByMask,
  tnumOr,
  tnumRange,
  tnumSar,
  tnumShl,
  tnumShr,
  tnumSub,
  tnumXor,
  U32,
} from "./tnum.ts";

const RESULTS = new Memo<Scalar>();

/** `a op b` in 64 bits, or in 32 bits with the upper half zeroed. `op` is an ALU operation's code, not MOV, NEG, END. */
export function arith(op: number, a: Scalar, b: Scalar, is32: boolean): Scalar {
  const key = is32 ? op | 0x100 : op;
  return RESULTS.get(key, a, b) ?? RESULTS.keep(key, a, b, compute(op, a, b, is32));
}

function compute(op: number, a: Scalar, b: Scalar, is32: boolean): Scalar {
  if (a.isConst && b.isConst && op !== BPF_DIV && op !== BPF_MOD) {
    // Of a shift's amount the kernel looks at the whole register, not only at the bits that the machine would use.
    const outOfRange = isShift(op) && b.tnum.value >= (is32 ? 32n : 64n);
    const exact = outOfRange ? undefined : aluResult(op, a.tnum.value, b.tnum.value, is32 ? 32 : 64);
    if (exact !== undefined) return constScalar(exact);
  }
  if (kernel < 610 && op !== BPF_ADD && op !== BPF_SUB && op !== BPF_AND && !(is32 ? b.isConst32 : b.isConst)) {
    return UNKNOWN;
  }
  const d = a.clone();
  switch (op) {
    case BPF_ADD:
      add(d, b);
      break;
    case BPF_SUB:
      sub(d, b);
      break;
    case BPF_MUL:
      mul(d, b);
      break;
    case BPF_AND:
      and(d, b);
      break;
    case BPF_OR:
      or(d, b);
      break;
    case BPF_XOR:
      xor(d, b);
      break;
    case BPF_LSH:
    case BPF_RSH:
    case BPF_ARSH: {
      const known = is32 ? b.isConst32 : b.isConst;
      if (!known || b.umax >= (is32 ? 32n : 64n)) return unknownResult(is32);
      const by = Number(b.umax);
      if (is32) shift32(op, d, by);
      else shift64(op, d, by);
      break;
    }
    default:
      return unknownResult(is32);
  }
  return is32 ? zeroExtend(d) : sync(d);
}

/** Since 6.10 the kernel forgets even that a 32-bit division leaves the upper half zero; so do we, to decide as it does. */
function unknownResult(is32: boolean): Scalar {
  return is32 && kernel < 610 ? zeroExtend(UNKNOWN.clone()) : UNKNOWN;
}

const OFFSET = 0x400;

/** A pointer's variable offset `v` with `by` added or subtracted: unlike other sums it is unbounded where one end is. */
export function offset(op: number, v: Scalar, by: Scalar): Scalar {
  const key = OFFSET | op;
  return RESULTS.get(key, v, by) ?? RESULTS.keep(key, v, by, moved(op, v, by));
}

function moved(op: number, v: Scalar, by: Scalar): Scalar {
  const add = op === BPF_ADD;
  const val = UNKNOWN.clone();
  const smin = add ? v.smin + by.smin : v.smin - by.smax;
  const smax = add ? v.smax + by.smax : v.smax - by.smin;
  if (smin >= S64_MIN && smax <= S64_MAX) {
    val.smin = smin;
    val.smax = smax;
  }
  const umin = add ? v.umin + by.umin : v.umin - by.umax;
  const umax = add ? v.umax + by.umax : v.umax - by.umin;
  if (umin >= 0n && umax <= U64_MAX) {
    val.umin = umin;
    val.umax = umax;
  }
  val.tnum = add ? tnumAdd(v.tnum, by.tnum) : tnumSub(v.tnum, by.tnum);
  return sync(val);
}

/** A 32-bit result in a 64-bit register: the upper half is zero, the 64-bit bounds come from the 32-bit ones. */
export function zeroExtend(d: Scalar): Scalar {
  d.tnum = tnumCast(d.tnum, 4);
  assign64(d);
  return sync(d);
}

function add(d: Scalar, b: Scalar): void {
  const s32min = d.s32min + b.s32min;
  const s32max = d.s32max + b.s32max;
  setS32(d, s32min, s32max);
  const u32min = d.u32min + b.u32min;
  const u32max = d.u32max + b.u32max;
  const over32 = Number(u32min > U32_MAX) + Number(u32max > U32_MAX);
  // Both ends overflow: every sum does, and the order is kept modulo 2^32. Older kernels give up at the first.
  if (over32 === 1 || (over32 === 2 && kernel < 617)) setU32(d, 0, U32_MAX);
  else setU32(d, u32min >>> 0, u32max >>> 0);
  const smin = d.smin + b.smin;
  const smax = d.smax + b.smax;
  setS64(d, smin, smax);
  const umin = d.umin + b.umin;
  const umax = d.umax + b.umax;
  const over64 = Number(umin > U64_MAX) + Number(umax > U64_MAX);
  if (over64 === 1 || (over64 === 2 && kernel < 617)) setU64(d, 0n, U64_MAX);
  else setU64(d, BigInt.asUintN(64, umin), BigInt.asUintN(64, umax));
  d.tnum = tnumAdd(d.tnum, b.tnum);
}

function sub(d: Scalar, b: Scalar): void {
  setS32(d, d.s32min - b.s32max, d.s32max - b.s32min);
  const u32min = d.u32min - b.u32max;
  const u32max = d.u32max - b.u32min;
  const under32 = Number(u32min < 0) + Number(u32max < 0);
  if (under32 === 1 || (under32 === 2 && kernel < 617)) setU32(d, 0, U32_MAX);
  else setU32(d, u32min >>> 0, u32max >>> 0);
  setS64(d, d.smin - b.smax, d.smax - b.smin);
  const umin = d.umin - b.umax;
  const umax = d.umax - b.umin;
  const under64 = Number(umin < 0n) + Number(umax < 0n);
  if (under64 === 1 || (under64 === 2 && kernel < 617)) setU64(d, 0n, U64_MAX);
  else setU64(d, BigInt.asUintN(64, umin), BigInt.asUintN(64, umax));
  d.tnum = tnumSub(d.tnum, b.tnum);
}

/** Products of the extremes, unless one overflows. */
function mul(d: Scalar, b: Scalar): void {
  if (kernel < 614) {
    mulOlder(d, b);
    return;
  }
  const tnum = product(d.tnum, b.tnum);
  const u32max = d.u32max * b.u32max;
  if (u32max > U32_MAX) setU32(d, 0, U32_MAX);
  else setU32(d, d.u32min * b.u32min, u32max);
  const p32 = [
    BigInt(d.s32min) * BigInt(b.s32min),
    BigInt(d.s32min) * BigInt(b.s32max),
    BigInt(d.s32max) * BigInt(b.s32min),
    BigInt(d.s32max) * BigInt(b.s32max),
  ];
  const [least32, most32] = extremes(p32);
  if (least32 < BigInt(S32_MIN) || most32 > BigInt(S32_MAX)) setS32(d, S32_MIN, S32_MAX);
  else setS32(d, Number(least32), Number(most32));
  const umax = d.umax * b.umax;
  if (umax > U64_MAX) setU64(d, 0n, U64_MAX);
  else setU64(d, d.umin * b.umin, umax);
  const [least, most] = extremes([d.smin * b.smin, d.smin * b.smax, d.smax * b.smin, d.smax * b.smax]);
  setS64(d, least, most);
  d.tnum = tnum;
}

/** Before 6.14: of factors that are not negative, and below 2^16 or 2^32. */
function mulOlder(d: Scalar, b: Scalar): void {
  const tnum = product(d.tnum, b.tnum);
  if (b.s32min < 0 || d.s32min < 0 || b.u32max > 0xffff || d.u32max > 0xffff) forget32(d);
  else {
    setU32(d, d.u32min * b.u32min, d.u32max * b.u32max);
    if (d.u32max > S32_MAX) setS32(d, S32_MIN, S32_MAX);
    else setS32(d, d.u32min, d.u32max);
  }
  if (b.smin < 0n || d.smin < 0n || b.umax > U32 || d.umax > U32) forget64(d);
  else {
    setU64(d, d.umin * b.umin, d.umax * b.umax);
    if (d.umax > S64_MAX) setS64(d, S64_MIN, S64_MAX);
    else setS64(d, d.umin, d.umax);
  }
  d.tnum = tnum;
}

function product(a: Tnum, b: Tnum): Tnum {
  if (kernel >= 618) return tnumMul(a, b);
  return kernel >= 514 ? tnumMulApart(a, b) : tnumMulByMask(a, b);
}

function extremes(products: readonly bigint[]): [bigint, bigint] {
  let least = products[0]!;
  let most = least;
  for (const p of products) {
    if (p < least) least = p;
    if (p > most) most = p;
  }
  return [least, most];
}

/** The least result is the known ones of the tnum; it cannot exceed either operand. */
function and(d: Scalar, b: Scalar): void {
  const signs = signsOf(d, b);
  d.tnum = tnumAnd(d.tnum, b.tnum);
  bitwise32(d, low32(d.tnum.value), Math.min(d.u32max, b.u32max), signs);
  bitwise64(d, d.tnum.value, d.umax < b.umax ? d.umax : b.umax, signs);
}

/** The result is at least each operand; at most all bits that may be set. */
function or(d: Scalar, b: Scalar): void {
  const signs = signsOf(d, b);
  d.tnum = tnumOr(d.tnum, b.tnum);
  bitwise32(d, Math.max(d.u32min, b.u32min), low32(d.tnum.value | d.tnum.mask), signs);
  bitwise64(d, d.umin > b.umin ? d.umin : b.umin, d.tnum.value | d.tnum.mask, signs);
}

function xor(d: Scalar, b: Scalar): void {
  const signs = signsOf(d, b);
  d.tnum = tnumXor(d.tnum, b.tnum);
  bitwise32(d, low32(d.tnum.value), low32(d.tnum.value | d.tnum.mask), signs);
  bitwise64(d, d.tnum.value, d.tnum.value | d.tnum.mask, signs);
}

/** Which of the signed ranges a bitwise result may keep: before 6.10 those whose operands are not negative. */
interface Signs {
  readonly keep32: boolean;
  readonly keep64: boolean;
}

const ANY_SIGNS: Signs = { keep32: true, keep64: true };

function signsOf(d: Scalar, b: Scalar): Signs {
  if (kernel >= 610) return ANY_SIGNS;
  return { keep32: d.s32min >= 0 && b.s32min >= 0, keep64: d.smin >= 0n && b.smin >= 0n };
}

/** Unsigned bounds of a bitwise result; signed ones follow when the range keeps its sign. */
function bitwise64(d: Scalar, umin: bigint, umax: bigint, { keep64 }: Signs): void {
  setU64(d, umin, umax);
  const smin = BigInt.asIntN(64, umin);
  const smax = BigInt.asIntN(64, umax);
  if (keep64 && smin <= smax) setS64(d, smin, smax);
  else setS64(d, S64_MIN, S64_MAX);
  learnFromTnum(d);
}

function bitwise32(d: Scalar, umin: number, umax: number, { keep32 }: Signs): void {
  setU32(d, umin, umax);
  if (keep32 && (umin | 0) <= (umax | 0)) setS32(d, umin | 0, umax | 0);
  else setS32(d, S32_MIN, S32_MAX);
}

function shift64(op: number, d: Scalar, by: number): void {
  const n = BigInt(by);
  if (op === BPF_LSH) {
    const { u32max, u32min, s32min, s32max } = d;
    // Shifting by 32 is how compilers begin a sign extension: the signed low half becomes the signed whole.
    if (by === 32) setS64(d, BigInt(s32min) << 32n, BigInt(s32max) << 32n);
    else setS64(d, S64_MIN, S64_MAX);
    if (d.umax > 1n << (63n - n)) setU64(d, 0n, U64_MAX);
    else setU64(d, d.umin << n, d.umax << n);
    setS32(d, S32_MIN, S32_MAX);
    if (by > 31 || u32max > 2 ** (31 - by)) setU32(d, 0, U32_MAX);
    else setU32(d, u32min * 2 ** by, u32max * 2 ** by);
    d.tnum = tnumShl(d.tnum, n);
  } else if (op === BPF_RSH) {
    setS64(d, S64_MIN, S64_MAX);
    d.tnum = tnumShr(d.tnum, n);
    setU64(d, d.umin >> n, d.umax >> n);
    forget32(d);
  } else {
    d.tnum = tnumSar(d.tnum, n, 64);
    setS64(d, d.smin >> n, d.smax >> n);
    setU64(d, 0n, U64_MAX);
    forget32(d);
  }
  learnFromTnum(d);
}

function shift32(op: number, d: Scalar, by: number): void {
  const n = BigInt(by);
  const low = tnumCast(d.tnum, 4);
  if (op === BPF_LSH) {
    setS32(d, S32_MIN, S32_MAX);
    if (d.u32max > 2 ** (31 - by)) setU32(d, 0, U32_MAX);
    else setU32(d, d.u32min * 2 ** by, d.u32max * 2 ** by);
    d.tnum = tnumCast(tnumShl(low, n), 4);
  } else if (op === BPF_RSH) {
    setS32(d, S32_MIN, S32_MAX);
    d.tnum = tnumShr(low, n);
    setU32(d, d.u32min >>> by, d.u32max >>> by);
  } else {
    d.tnum = tnumSar(low, n, 32);
    setS32(d, d.s32min >> by, d.s32max >> by);
    setU32(d, 0, U32_MAX);
  }
  forget64(d);
  learnFromTnum32(d);
}

const TRUNCATED = 0x200;

/** The low `size` bytes, zero-extended: what a narrow load of a known value, or a 32-bit mov, leaves. */
export function truncate(s: Scalar, size: number): Scalar {
  if (size === 8) return s;
  const key = TRUNCATED | size;
  return RESULTS.get(key, s, s) ?? RESULTS.keep(key, s, s, lowBytes(s, size));
}

function lowBytes(s: Scalar, size: number): Scalar {
  const d = s.clone();
  const bits = BigInt(size * 8);
  const keep = (1n << bits) - 1n;
  d.tnum = tnumCast(d.tnum, size);
  if (d.umin >> bits === d.umax >> bits) setU64(d, d.umin & keep, d.umax & keep);
  else setU64(d, 0n, keep);
  setS64(d, d.umin, d.umax);
  if (kernel < 608) {
    // Of a number of 32 bits nothing more is deduced.
    if (size < 4) ranges32From64(d);
    return d;
  }
  if (size < 4) forget32(d);
  return sync(d);
}

/** What a 32-bit move leaves. */
export function truncate32(s: Scalar): Scalar {
  return kernel < 608 ? zeroExtend(s.clone()) : truncate(s, 4);
}

/** The low `size` bytes, sign-extended to 64 bits. */
export function signExtend(s: Scalar, size: number): Scalar {
  const bits = BigInt(size * 8);
  if (s.isConst) return constScalar(BigInt.asIntN(size * 8, s.tnum.value));
  if (s.smax >> bits === s.smin >> bits) {
    const a = BigInt.asIntN(size * 8, s.smax);
    const b = BigInt.asIntN(size * 8, s.smin);
    const min = a < b ? a : b;
    const max = a < b ? b : a;
    if (min >= 0n === max >= 0n) {
      const d = UNKNOWN.clone();
      setS64(d, min, max);
      setU64(d, BigInt.asUintN(64, min), BigInt.asUintN(64, max));
      d.s32min = Number(BigInt.asIntN(32, min));
      d.s32max = Number(BigInt.asIntN(32, max));
      d.u32min = d.s32min >>> 0;
      d.u32max = d.s32max >>> 0;
      d.tnum = tnumRange(d.umin, d.umax);
      return sync(d);
    }
  }
  return loadedScalar(size, true);
}

/** The low `size` (1 or 2) bytes, sign-extended to 32 bits, the upper half zero. */
export function signExtend32(s: Scalar, size: number): Scalar {
  const bits = size * 8;
  const d = s.clone();
  if (s.isConst32) return constScalar(BigInt.asUintN(32, BigInt.asIntN(bits, s.tnum.value)));
  forgetRanges(d);
  const least = -(2 ** (bits - 1));
  let min = least;
  let max = -least - 1;
  if (s.s32max >> bits === s.s32min >> bits) {
    const a = Number(BigInt.asIntN(bits, BigInt(s.s32max)));
    const b = Number(BigInt.asIntN(bits, BigInt(s.s32min)));
    if (a >= 0 === b >= 0) {
      min = Math.min(a, b);
      max = Math.max(a, b);
    }
  }
  setS32(d, min, max);
  const known = min >= 0 === max >= 0;
  if (known) setU32(d, min >>> 0, max >>> 0);
  d.tnum = known ? tnumRange(BigInt(min >>> 0), BigInt(max >>> 0)) : tnumConst(0n);
  if (!known) d.tnum = { value: 0n, mask: U32 };
  return zeroExtend(d);
}

/** The negative: 0 minus it. */
export function negate(s: Scalar, is32: boolean): Scalar {
  return arith(BPF_SUB, constScalar(0n), s, is32);
}

/** The low `bits` (16, 32 or 64) with their bytes reversed, the rest zero. Known bits move along, ranges do not. */
export function swapBytes(s: Scalar, bits: number): Scalar {
  const low = tnumCast(s.tnum, bits / 8);
  const d = UNKNOWN.clone();
  d.tnum = { value: reverseBytes(low.value, bits), mask: reverseBytes(low.mask, bits) };
  return sync(d);
}

function reverseBytes(n: bigint, bits: number): bigint {
  let out = 0n;
  for (let at = 0; at < bits; at += 8) out = (out << 8n) | ((n >> BigInt(at)) & 0xffn);
  return out;
}

function low32(n: bigint): number {
  return Number(n & U32);
}

function setS64(d: Scalar, min: bigint, max: bigint): void {
  const fits = min >= S64_MIN && max <= S64_MAX;
  d.smin = fits ? min : S64_MIN;
  d.smax = fits ? max : S64_MAX;
}

function setU64(d: Scalar, min: bigint, max: bigint): void {
  d.umin = min;
  d.umax = max;
}

function setS32(d: Scalar, min: number, max: number): void {
  const fits = min >= S32_MIN && max <= S32_MAX;
  d.s32min = fits ? min : S32_MIN;
  d.s32max = fits ? max : S32_MAX;
}

function setU32(d: Scalar, min: number, max: number): void {
  d.u32min = min;
  d.u32max = max;
}
