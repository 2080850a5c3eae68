/**
 * What is known of a 64-bit number: a tnum and four ranges (signed and unsigned, 64 and 32 bits), each a superset of
 * the possible values. `sync` lets every view learn from the others, in the kernel's order, so that our bounds are as
 * tight as the kernel's and no tighter.
 *
 * 64-bit bounds are bigints in their own signedness, 32-bit bounds are numbers. A Scalar is immutable once it has left
 * the function that made it; the arithmetic on it is in `arith.ts`, what comparisons teach in `refine.ts`.
 * Source: kernel/bpf/verifier.c `reg_bounds_sync`, Linux 6.12 to 6.18; before 6.8 as in 6.1.
 */
import { kernel } from "./kernel.ts";
import {
  TNUM_UNKNOWN,
  type Tnum,
  tnumCast,
  tnumConst,
  tnumIn,
  tnumIntersect,
  tnumOr,
  tnumRange,
  tnumStep,
  U32,
  U64,
} from "./tnum.ts";

export const S64_MIN = -(1n << 63n);
export const S64_MAX = (1n << 63n) - 1n;
export const U64_MAX = U64;
export const S32_MIN = -0x8000_0000;
export const S32_MAX = 0x7fff_ffff;
export const U32_MAX = 0xffff_ffff;
const S32_MIN_WIDE = BigInt(S32_MIN);
const S32_MAX_WIDE = BigInt(S32_MAX);
const HIGH = U64 & ~U32;

let made = 0;

export class Scalar {
  /** Tells Scalars apart well enough for a hash: see `memo.ts`. */
  readonly serial: number;
  tnum: Tnum;
  smin: bigint;
  smax: bigint;
  umin: bigint;
  umax: bigint;
  s32min: number;
  s32max: number;
  u32min: number;
  u32max: number;

  constructor(
    tnum: Tnum,
    smin: bigint,
    smax: bigint,
    umin: bigint,
    umax: bigint,
    s32min: number,
    s32max: number,
    u32min: number,
    u32max: number,
  ) {
    this.serial = made = (made + 1) | 0;
    this.tnum = tnum;
    this.smin = smin;
    this.smax = smax;
    this.umin = umin;
    this.umax = umax;
    this.s32min = s32min;
    this.s32max = s32max;
    this.u32min = u32min;
    this.u32max = u32max;
  }

  /** A copy that its maker may still change. */
  clone(): Scalar {
    return new Scalar(
      this.tnum,
      this.smin,
      this.smax,
      this.umin,
      this.umax,
      this.s32min,
      this.s32max,
      this.u32min,
      this.u32max,
    );
  }

  get isConst(): boolean {
    return this.tnum.mask === 0n;
  }

  /** The low 32 bits are one known number. */
  get isConst32(): boolean {
    return (this.tnum.mask & U32) === 0n;
  }
}

/** Nothing is known. */
export const UNKNOWN = unbounded(TNUM_UNKNOWN);
export const ZERO = makeConst(0n);

function unbounded(tnum: Tnum): Scalar {
  return new Scalar(tnum, S64_MIN, S64_MAX, 0n, U64_MAX, S32_MIN, S32_MAX, 0, U32_MAX);
}

function makeConst(value: bigint): Scalar {
  const signed = BigInt.asIntN(64, value);
  const low = Number(value & U32);
  return new Scalar(tnumConst(value), signed, signed, value, value, low | 0, low | 0, low, low);
}

/** Constants made lately: one number, one object, so that what is computed from it may be found again (`memo.ts`). */
const RECENT: (Scalar | undefined)[] = new Array(2048).fill(undefined);
const RECENT_IMM: (Scalar | undefined)[] = new Array(2048).fill(undefined);
const RECENT_IMM_OF = new Float64Array(2048);

/** The number `value`, taken modulo 2^64. */
export function constScalar(value: bigint): Scalar {
  const unsigned = BigInt.asUintN(64, value);
  const slot = Number((unsigned ^ (unsigned >> 32n)) & 2047n);
  const recent = RECENT[slot];
  return recent?.umin === unsigned ? recent : (RECENT[slot] = makeConst(unsigned));
}

/** The integer `n`: what an insn's signed 32-bit imm means in a 64-bit operation. */
export function immScalar(n: number): Scalar {
  const slot = n & 2047;
  const recent = RECENT_IMM[slot];
  if (recent !== undefined && RECENT_IMM_OF[slot] === n) return recent;
  RECENT_IMM_OF[slot] = n;
  return (RECENT_IMM[slot] = constScalar(BigInt(n)));
}

/** Any number from `min` to `max` unsigned. */
export function rangeScalar(min: bigint, max: bigint): Scalar {
  const s = UNKNOWN.clone();
  s.umin = min;
  s.umax = max;
  return sync(s);
}

/** Any number from `min` to `max` signed. */
export function signedScalar(min: bigint, max: bigint): Scalar {
  const s = UNKNOWN.clone();
  s.smin = min;
  s.smax = max;
  return sync(s);
}

const ZERO_EXTENDED = [1, 2, 4].map((size) => rangeScalar(0n, (1n << BigInt(size * 8)) - 1n));
const SIGN_EXTENDED = [1, 2, 4].map((size) =>
  signedScalar(-(1n << BigInt(size * 8 - 1)), (1n << BigInt(size * 8 - 1)) - 1n),
);

/** What a load of `size` bytes of unknown memory gives: zero-extended, or sign-extended. */
export function loadedScalar(size: number, signed: boolean): Scalar {
  if (size === 8) return UNKNOWN;
  return (signed ? SIGN_EXTENDED : ZERO_EXTENDED)[size >> 1]!;
}

/** Forgets all ranges but keeps the tnum. */
export function forgetRanges(s: Scalar): void {
  forget64(s);
  forget32(s);
}

export function forget64(s: Scalar): void {
  s.smin = S64_MIN;
  s.smax = S64_MAX;
  s.umin = 0n;
  s.umax = U64_MAX;
}

export function forget32(s: Scalar): void {
  s.s32min = S32_MIN;
  s.s32max = S32_MAX;
  s.u32min = 0;
  s.u32max = U32_MAX;
}

/** Bounds that the tnum alone implies, intersected in. Sound: each bound is the extreme of the tnum's numbers. */
export function learnFromTnum(s: Scalar): void {
  if (s.tnum === TNUM_UNKNOWN && s.umin < s.umax) return;
  learnFromTnum32(s);
  learnFromTnum64(s);
}

function learnFromTnum64(s: Scalar): void {
  const { value, mask } = s.tnum;
  const least = BigInt.asIntN(64, value | (mask & (1n << 63n)));
  const most = BigInt.asIntN(64, value | (mask & ~(1n << 63n)));
  if (least > s.smin) s.smin = least;
  if (most < s.smax) s.smax = most;
  if (value > s.umin) s.umin = value;
  if ((value | mask) < s.umax) s.umax = value | mask;
  if (kernel < 618) return;
  // A range from the tnum's least to its greatest member holds no member alone, and neither do two of all numbers.
  if (mask === U64_MAX ? s.umin >= s.umax : s.umin !== value || s.umax !== (value | mask)) onlyMember(s);
}

/**
 * A range that holds one member of the tnum alone is that number. A range that holds none, of a path that cannot be, is
 * taken for the member that the kernel takes it for: it walks such paths, too. Source: `__update_reg64_bounds`.
 */
function onlyMember(s: Scalar): void {
  const { value, mask } = s.tnum;
  const { umin, umax } = s;
  const next = tnumStep(s.tnum, umin);
  if ((umin & ~mask) === value) {
    if (next > umax) become(s, umin);
  } else if (next === (value | mask)) become(s, next);
  else if (next <= umax && tnumStep(s.tnum, next) > umax) become(s, next);
}

function become(s: Scalar, value: bigint): void {
  s.tnum = tnumConst(value);
  s.umin = s.umax = value;
  s.smin = s.smax = BigInt.asIntN(64, value);
  s.u32min = s.u32max = Number(value & U32);
  s.s32min = s.s32max = s.u32min | 0;
}

export function learnFromTnum32(s: Scalar): void {
  const value = Number(s.tnum.value & U32);
  const mask = Number(s.tnum.mask & U32);
  const least = value | (mask & 0x8000_0000);
  const most = value | (mask & 0x7fff_ffff);
  if (least > s.s32min) s.s32min = least;
  if (most < s.s32max) s.s32max = most;
  if (value > s.u32min) s.u32min = value;
  const highest = (value | mask) >>> 0;
  if (highest < s.u32max) s.u32max = highest;
}

/** 32-bit bounds from 64-bit ones (where the upper half is fixed or steps once over a sign change) and each other. */
function deduce32(s: Scalar): void {
  unsignedInto32(s);
  signedInto32(s);
  if ((s.u32min | 0) <= (s.u32max | 0)) meetS32(s, s.u32min | 0, s.u32max | 0);
  const smin = s.s32min >>> 0;
  const smax = s.s32max >>> 0;
  if (smin <= smax) meetU32(s, smin, smax);
  else if (s.u32max < smin) {
    // The signed range wraps in the unsigned domain; the unsigned one meets only its non-negative part.
    s.s32min = s.u32min | 0;
    if (smax < s.u32max) s.u32max = smax;
  } else if (smax < s.u32min) {
    s.s32max = s.u32max | 0;
    if (smin > s.u32min) s.u32min = smin;
  }
}

function unsignedInto32(s: Scalar): void {
  const { umin, umax } = s;
  // The usual ranges are told apart without taking them to pieces.
  if (umax === U64_MAX && umin <= U32) return;
  const small = umin >= 0n && umin <= U32 && umax >= 0n && umax <= U32;
  const lowHalf = small ? 0n : umin >> 32n;
  const highHalf = small ? 0n : umax >> 32n;
  const low = Number(small ? umin : umin & U32);
  const high = Number(small ? umax : umax & U32);
  if (lowHalf === highHalf) {
    meetU32(s, low, high);
    if ((low | 0) <= (high | 0)) meetS32(s, low | 0, high | 0);
  } else if (BigInt.asUintN(32, lowHalf + 1n) === highHalf && (low | 0) < 0 && (high | 0) >= 0) {
    meetS32(s, low | 0, high | 0);
  }
}

function signedInto32(s: Scalar): void {
  const { smin, smax } = s;
  if (smin === S64_MIN && smax === S64_MAX) return;
  const small = smin >= 0n && smin <= U32 && smax >= 0n && smax <= U32;
  const lowHalf = small ? 0n : BigInt.asUintN(32, smin >> 32n);
  const highHalf = small ? 0n : BigInt.asUintN(32, smax >> 32n);
  const low = Number(small ? smin : BigInt.asUintN(32, smin));
  const high = Number(small ? smax : BigInt.asUintN(32, smax));
  if (lowHalf === highHalf) {
    if (low <= high) meetU32(s, low, high);
    if ((low | 0) <= (high | 0)) meetS32(s, low | 0, high | 0);
  } else if (BigInt.asUintN(32, lowHalf + 1n) === highHalf && (low | 0) < 0 && (high | 0) >= 0) {
    meetS32(s, low | 0, high | 0);
  }
}

/** Signed and unsigned 64-bit bounds from each other, where the range does not cross the other's wrap. */
function deduce64(s: Scalar): void {
  const low = BigInt.asIntN(64, s.umin);
  const high = BigInt.asIntN(64, s.umax);
  if (low <= high) {
    if (low > s.smin) s.smin = low;
    if (high < s.smax) s.smax = high;
  }
  const smin = BigInt.asUintN(64, s.smin);
  const smax = BigInt.asUintN(64, s.smax);
  if (smin <= smax) {
    if (smin > s.umin) s.umin = smin;
    if (smax < s.umax) s.umax = smax;
  } else if (s.umax < smin) {
    s.smin = BigInt.asIntN(64, s.umin);
    if (smax < s.umax) s.umax = smax;
  } else if (smax < s.umin) {
    s.smax = BigInt.asIntN(64, s.umax);
    if (smin > s.umin) s.umin = smin;
  }
}

/** 64-bit bounds from 32-bit ones: the low half of the least value is at least the least low half, and so on. */
function deduceMixed(s: Scalar): void {
  mixInto64(s, s.u32min, s.u32max);
  const low = s.s32min >>> 0;
  const high = s.s32max >>> 0;
  if (low <= high && (low !== s.u32min || high !== s.u32max)) mixInto64(s, low, high);
  // A number in s32's range whose low half is not negative has an upper half of zeros.
  if (s.s32min >= 0 && s.smin >= S32_MIN_WIDE && s.smax <= S32_MAX_WIDE) {
    s.smin = s.umin = BigInt(s.s32min);
    s.smax = BigInt(s.s32max);
    // The range is empty where it ends below 0, and then the unsigned one is not.
    s.umax = BigInt.asUintN(64, s.smax);
    s.tnum = tnumIntersect(s.tnum, tnumRange(s.umin, s.umax));
  }
}

function mixInto64(s: Scalar, low32: number, high32: number): void {
  if (low32 === 0 && high32 === U32_MAX) return;
  const low = BigInt(low32);
  const high = BigInt(high32);
  const umin = (s.umin & HIGH) | low;
  const umax = (s.umax & HIGH) | high;
  if (umin > s.umin) s.umin = umin;
  if (umax < s.umax) s.umax = umax;
  const smin = BigInt.asIntN(64, (BigInt.asUintN(64, s.smin) & HIGH) | low);
  const smax = BigInt.asIntN(64, (BigInt.asUintN(64, s.smax) & HIGH) | high);
  if (smin > s.smin) s.smin = smin;
  if (smax < s.smax) s.smax = smax;
}

function meetU32(s: Scalar, min: number, max: number): void {
  if (min > s.u32min) s.u32min = min;
  if (max < s.u32max) s.u32max = max;
}

function meetS32(s: Scalar, min: number, max: number): void {
  if (min > s.s32min) s.s32min = min;
  if (max < s.s32max) s.s32max = max;
}

/** Known bits from the unsigned ranges. */
function learnBits(s: Scalar): void {
  const whole = s.umin === 0n && s.umax === U64_MAX ? s.tnum : tnumIntersect(s.tnum, tnumRange(s.umin, s.umax));
  // Before 6.1 the low half learns nothing of the 64-bit range.
  const known = kernel < 601 ? s.tnum : whole;
  if (s.u32min === 0 && s.u32max === U32_MAX && known === whole) {
    s.tnum = whole;
    return;
  }
  const low = tnumIntersect(tnumCast(known, 4), tnumRange(BigInt(s.u32min), BigInt(s.u32max)));
  s.tnum = tnumOr({ value: whole.value & HIGH, mask: whole.mask & HIGH }, low);
}

/** Before 6.8: signed and unsigned ranges are one where the sign is known; those of 32 and 64 bits learn nothing. */
function deduceOlder(s: Scalar): void {
  if (s.s32min >= 0 || s.s32max < 0) {
    s.u32min = Math.max(s.s32min >>> 0, s.u32min);
    s.u32max = Math.min(s.s32max >>> 0, s.u32max);
    s.s32min = s.u32min | 0;
    s.s32max = s.u32max | 0;
  } else if ((s.u32max | 0) >= 0) {
    s.u32max = Math.min(s.s32max >>> 0, s.u32max);
    s.s32min = s.u32min | 0;
    s.s32max = s.u32max | 0;
  } else if ((s.u32min | 0) < 0) {
    s.u32min = Math.max(s.s32min >>> 0, s.u32min);
    s.s32min = s.u32min | 0;
    s.s32max = s.u32max | 0;
  }
  const low = BigInt.asUintN(64, s.smin);
  const high = BigInt.asUintN(64, s.smax);
  const knownSign = s.smin >= 0n || s.smax < 0n;
  if (!knownSign && s.umax > BigInt(S64_MAX) && s.umin <= BigInt(S64_MAX)) return;
  // Where the ranges disagree about the sign only one end of the signed range says something.
  const positive = s.umax <= BigInt(S64_MAX);
  if ((knownSign || !positive) && low > s.umin) s.umin = low;
  if ((knownSign || positive) && high < s.umax) s.umax = high;
  s.smin = BigInt.asIntN(64, s.umin);
  s.smax = BigInt.asIntN(64, s.umax);
}

/** Lets tnum and ranges learn from each other; changes and returns `s`. Each step only intersects sound facts. */
export function sync(s: Scalar): Scalar {
  learnFromTnum(s);
  if (kernel < 608) {
    deduceOlder(s);
    learnBits(s);
    learnFromTnum(s);
    return s;
  }
  for (let round = 0; round < 3; round++) {
    const { smin, smax, umin, umax, s32min, s32max, u32min, u32max } = s;
    deduce32(s);
    deduce64(s);
    deduceMixed(s);
    // A round that moves no bound is the last: another would find the same.
    if (s.umin !== umin || s.umax !== umax || s.smin !== smin || s.smax !== smax) continue;
    if (s.u32min === u32min && s.u32max === u32max && s.s32min === s32min && s.s32max === s32max) break;
  }
  learnBits(s);
  learnFromTnum(s);
  return s;
}

/**
 * True when some view is empty or the known bits are not the range's: the state cannot happen (a branch that the bounds
 * could not yet rule out). Source: kernel/bpf/verifier.c `reg_bounds_sanity_check`.
 */
export function isContradiction(s: Scalar): boolean {
  if (s.umin > s.umax || s.smin > s.smax || s.u32min > s.u32max || s.s32min > s.s32max) return true;
  const { value, mask } = s.tnum;
  if (mask === 0n) {
    const signed = BigInt.asIntN(64, value);
    if (s.umin !== value || s.umax !== value || s.smin !== signed || s.smax !== signed) return true;
  }
  if ((mask & U32) !== 0n) return false;
  const low = Number(value & U32);
  return s.u32min !== low || s.u32max !== low || s.s32min !== (low | 0) || s.s32max !== (low | 0);
}

/** A Scalar that contradicts itself keeps only its known bits, as in the kernel since 6.8. Changes and returns `s`. */
export function settle(s: Scalar): Scalar {
  if (kernel >= 608 && isContradiction(s)) forgetRanges(s);
  return s;
}

/** True when every number of `inner` is in `outer`, by every view. */
export function scalarIn(outer: Scalar, inner: Scalar): boolean {
  if (outer === inner || outer === UNKNOWN) return true;
  return (
    outer.umin <= inner.umin &&
    outer.umax >= inner.umax &&
    outer.smin <= inner.smin &&
    outer.smax >= inner.smax &&
    outer.u32min <= inner.u32min &&
    outer.u32max >= inner.u32max &&
    outer.s32min <= inner.s32min &&
    outer.s32max >= inner.s32max &&
    tnumIn(outer.tnum, inner.tnum)
  );
}

export function scalarEqual(a: Scalar, b: Scalar): boolean {
  if (a === b) return true;
  return (
    a.umin === b.umin &&
    a.umax === b.umax &&
    a.smin === b.smin &&
    a.smax === b.smax &&
    a.u32min === b.u32min &&
    a.u32max === b.u32max &&
    a.s32min === b.s32min &&
    a.s32max === b.s32max &&
    a.tnum.value === b.tnum.value &&
    a.tnum.mask === b.tnum.mask
  );
}

/** True when the concrete 64-bit `value` (unsigned) is one of the numbers: what the soundness tests ask. */
export function scalarHolds(s: Scalar, value: bigint): boolean {
  const signed = BigInt.asIntN(64, value);
  const low = Number(value & U32);
  return (
    (value & ~s.tnum.mask) === s.tnum.value &&
    s.umin <= value &&
    value <= s.umax &&
    s.smin <= signed &&
    signed <= s.smax &&
    s.u32min <= low &&
    low <= s.u32max &&
    s.s32min <= (low | 0) &&
    (low | 0) <= s.s32max
  );
}

/** Bits that a spill or load of `size` bytes keeps of this number: all of them when it fits. */
export function fitsBytes(s: Scalar, size: number): boolean {
  return s.umax <= LARGEST[size]!;
}

/** By number of bytes. */
const LARGEST = Array.from({ length: 9 }, (_, size) => (1n << BigInt(size * 8)) - 1n);

/** `low` known in the lower 32 bits, the upper half as before. */
export function withConst32(s: Scalar, low: number): Scalar {
  const r = s.clone();
  r.tnum = {
    value: (r.tnum.value & HIGH) | BigInt(low >>> 0),
    mask: r.tnum.mask & HIGH,
  };
  r.s32min = r.s32max = low | 0;
  r.u32min = r.u32max = low >>> 0;
  return sync(r);
}
