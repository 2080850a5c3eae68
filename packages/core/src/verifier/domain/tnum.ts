/**
 * Tristate numbers: 64 bits of which each is 0, 1 or unknown. A bit is unknown where `mask` has it; `value` holds the
 * known ones, and is 0 under the mask. Every operation is sound: for all a in A and b in B, `a op b` is in `A op B`.
 *
 * Values and masks are unsigned 64-bit bigints. A Tnum is immutable.
 * Source: Vishwanathan et al., "Sound, Precise, and Fast Abstract Interpretation with Tristate Numbers", CGO 2022;
 * kernel/bpf/tnum.c for which approximation the kernel takes where several are sound.
 */

export interface Tnum {
  readonly value: bigint;
  readonly mask: bigint;
}

export const U64 = 0xffff_ffff_ffff_ffffn;
export const U32 = 0xffff_ffffn;

export const TNUM_UNKNOWN: Tnum = { value: 0n, mask: U64 };
export const TNUM_ZERO: Tnum = { value: 0n, mask: 0n };

/** The exact number `value`, unsigned 64 bits. */
export function tnumConst(value: bigint): Tnum {
  return { value, mask: 0n };
}

/** The smallest tnum that holds every number of the unsigned range: the common leading bits are known. */
export function tnumRange(min: bigint, max: bigint): Tnum {
  if (min === max) return tnumConst(min);
  const bits = bitLength(min ^ max);
  if (bits > 63) return TNUM_UNKNOWN;
  const delta = (1n << BigInt(bits)) - 1n;
  return { value: min & ~delta, mask: delta };
}

/** The smallest member above `z`; the largest member where there is none. Source: kernel/bpf/tnum.c `tnum_step`. */
export function tnumStep({ value, mask }: Tnum, z: bigint): bigint {
  if (z < value) return value;
  if (z >= (value | mask)) return value | mask;
  const d = z - value;
  // Below the highest bit that no member has, all members are smaller: the next one carries out of it.
  const outside = d & ~mask;
  const carry = outside === 0n ? 0n : (1n << BigInt(bitLength(outside))) - 1n;
  const filled = d | carry | (U64 & ~mask);
  return value | ((filled + 1n) & mask);
}

function bitLength(n: bigint): number {
  const high = Number(n >> 32n);
  return high ? 64 - Math.clz32(high) : 32 - Math.clz32(Number(n & U32));
}

export function tnumIsConst(t: Tnum): boolean {
  return t.mask === 0n;
}

export function tnumShl(a: Tnum, by: bigint): Tnum {
  return { value: (a.value << by) & U64, mask: (a.mask << by) & U64 };
}

export function tnumShr(a: Tnum, by: bigint): Tnum {
  return { value: a.value >> by, mask: a.mask >> by };
}

/** Arithmetic shift of the low `width` bits: an unknown sign bit spreads as unknown bits. */
export function tnumSar(a: Tnum, by: bigint, width: 32 | 64): Tnum {
  return {
    value: BigInt.asUintN(width, BigInt.asIntN(width, a.value) >> by),
    mask: BigInt.asUintN(width, BigInt.asIntN(width, a.mask) >> by),
  };
}

/** Bits that a carry may reach differ between the sums with all unknown bits 0 and all 1. */
export function tnumAdd(a: Tnum, b: Tnum): Tnum {
  const value = a.value + b.value;
  const reach = a.mask + b.mask + value;
  const mask = ((reach ^ value) | a.mask | b.mask) & U64;
  return { value: value & U64 & ~mask, mask };
}

export function tnumSub(a: Tnum, b: Tnum): Tnum {
  const value = (a.value - b.value) & U64;
  const mask = ((((value + a.mask) & U64) ^ ((value - b.mask) & U64)) | a.mask | b.mask) & U64;
  return { value: value & ~mask, mask };
}

export function tnumAnd(a: Tnum, b: Tnum): Tnum {
  const value = a.value & b.value;
  return { value, mask: (a.value | a.mask) & (b.value | b.mask) & ~value };
}

export function tnumOr(a: Tnum, b: Tnum): Tnum {
  const value = a.value | b.value;
  return { value, mask: (a.mask | b.mask) & ~value };
}

export function tnumXor(a: Tnum, b: Tnum): Tnum {
  const mask = a.mask | b.mask;
  return { value: (a.value ^ b.value) & ~mask, mask };
}

/**
 * Long multiplication over the bits of `a`: an unknown one leaves what is known of the sums with and without its partial
 * product. Source: kernel/bpf/tnum.c `tnum_mul` of 6.18; before, unknown bits were added up apart, which knows less.
 */
export function tnumMul(a: Tnum, b: Tnum): Tnum {
  if (a.mask === 0n && b.mask === 0n) return tnumConst((a.value * b.value) & U64);
  let sum = TNUM_ZERO;
  let { value, mask } = a;
  let other = b;
  while (value || mask) {
    if (value & 1n) sum = tnumAdd(sum, other);
    else if (mask & 1n) sum = tnumUnion(sum, tnumAdd(sum, other));
    value >>= 1n;
    mask >>= 1n;
    other = tnumShl(other, 1n);
  }
  return sum;
}

/** As `tnumMul`, Linux 5.14 to 6.17: unknown bits are added up apart from the known product. */
export function tnumMulApart(a: Tnum, b: Tnum): Tnum {
  let unknown = TNUM_ZERO;
  let { value, mask } = a;
  let other = b;
  while (value || mask) {
    if (mask & 1n) unknown = tnumAdd(unknown, { value: 0n, mask: other.value | other.mask });
    else if (value & 1n) unknown = tnumAdd(unknown, { value: 0n, mask: other.mask });
    value >>= 1n;
    mask >>= 1n;
    other = tnumShl(other, 1n);
  }
  return tnumAdd(tnumConst((a.value * b.value) & U64), unknown);
}

/** As `tnumMul`, before 5.14: one unknown bit of a factor after the other adds the other factor's bits. */
export function tnumMulByMask(a: Tnum, b: Tnum): Tnum {
  const known = tnumConst((a.value * b.value) & U64);
  return addEach(addEach(known, a.mask, b.mask | b.value), b.mask, a.value);
}

function addEach(sum: Tnum, mask: bigint, bits: bigint): Tnum {
  let total = sum;
  for (let at = 0n; mask >> at; at++) {
    if ((mask >> at) & 1n) total = tnumAdd(total, { value: 0n, mask: (bits << at) & U64 });
  }
  return total;
}

/** Numbers of either. */
function tnumUnion(a: Tnum, b: Tnum): Tnum {
  const mask = (a.value ^ b.value) | a.mask | b.mask;
  return { value: a.value & b.value & ~mask, mask };
}

/** False when the two can have no number in common. */
export function tnumOverlap(a: Tnum, b: Tnum): boolean {
  return ((a.value ^ b.value) & ~a.mask & ~b.mask) === 0n;
}

/** Numbers in both; meaningful only when they overlap. */
export function tnumIntersect(a: Tnum, b: Tnum): Tnum {
  const mask = a.mask & b.mask;
  return { value: (a.value | b.value) & ~mask, mask };
}

/** The low `size` bytes, zero-extended. */
export function tnumCast(a: Tnum, size: number): Tnum {
  if (size >= 8) return a;
  const keep = (1n << BigInt(size * 8)) - 1n;
  return { value: a.value & keep, mask: a.mask & keep };
}

export function tnumIsAligned(a: Tnum, size: number): boolean {
  return ((a.value | a.mask) & BigInt(size - 1)) === 0n;
}

/** True when every number of `inner` is in `outer`. */
export function tnumIn(outer: Tnum, inner: Tnum): boolean {
  return (inner.mask & ~outer.mask) === 0n && (inner.value & ~outer.mask) === outer.value;
}

/** `high`'s upper 32 bits over `low`'s lower 32. */
export function tnumWithSubreg(high: Tnum, low: Tnum): Tnum {
  return {
    value: (high.value & ~U32) | (low.value & U32),
    mask: (high.mask & ~U32) | (low.mask & U32),
  };
}

export function tnumEqual(a: Tnum, b: Tnum): boolean {
  return a.value === b.value && a.mask === b.mask;
}
