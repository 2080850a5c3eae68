/**
 * The Internet checksum: sums over memory, and incremental updates of a header's field.
 * Sums are kept as the kernel keeps them (32 bits with end-around carry), so that intermediate results agree too.
 * Source: net/core/filter.c `bpf_csum_diff` (6.18 takes sizes that are no multiple of 4, older kernels refuse
 * them), include/net/checksum.h, lib/checksum.c.
 */
import type { Memory } from "../../mem/index.ts";
import { type HelperImpl, helper } from "../env.ts";

export const CSUM_HELPERS: readonly (readonly [number, HelperImpl])[] = [
  /* csum_diff(from, from_size, to, to_size, seed) */ [
    28,
    helper("iiiii", "i", (env, from, fromSize, to, toSize, seed) => {
      let sum = seed >>> 0;
      if (fromSize && toSize)
        sum = csumSub(csumBytes(env.memory, to, toSize, sum), csumBytes(env.memory, from, fromSize, 0));
      else if (toSize) sum = csumBytes(env.memory, to, toSize, sum);
      else if (fromSize) sum = ~csumBytes(env.memory, from, fromSize, ~sum >>> 0) >>> 0;
      return from32To16(sum);
    }),
  ],
];

export function csumAdd(a: number, b: number): number {
  const sum = (a >>> 0) + (b >>> 0);
  return (sum > 0xffffffff ? sum - 0xffffffff : sum) >>> 0;
}

export function csumSub(a: number, b: number): number {
  return csumAdd(a, ~b);
}

/** Sum of the little-endian 32-bit words of memory, a rest padded with zeros. */
export function csumBytes(memory: Memory, address: number, size: number, seed: number): number {
  const { view, u8 } = memory;
  const start = address >>> 0;
  const whole = start + ((size >>> 0) & ~3);
  let sum = seed >>> 0;
  for (let at = start; at < whole; at += 4) sum = csumAdd(sum, view.getUint32(at, true));
  let rest = 0;
  for (let i = 0; i < (size & 3); i++) rest |= u8[whole + i]! << (8 * i);
  return rest ? csumAdd(sum, rest) : sum;
}

/** The 16-bit sum that a 32-bit one stands for. */
export function from32To16(sum: number): number {
  const folded = csumAdd(sum, (sum << 16) | (sum >>> 16));
  return folded >>> 16;
}

/** A header field's value for a sum: its complement. */
export function csumFold(sum: number): number {
  return ~from32To16(sum) & 0xffff;
}

/** A field after `diff` (a sum of what came minus what went) is applied. Fields are as read little-endian. */
export function replaceByDiff(field: number, diff: number): number {
  return csumFold(csumAdd(diff, (~field & 0xffff) | 0xffff0000));
}

/** A field after one 32-bit word was replaced. */
export function replace4(field: number, from: number, to: number): number {
  return csumFold(csumAdd(csumSub(~field >>> 0, from), to));
}

/** A field after one 16-bit word was replaced. */
export function replace2(field: number, from: number, to: number): number {
  return ~add16(add16(~field & 0xffff, ~from & 0xffff), to & 0xffff) & 0xffff;
}

function add16(a: number, b: number): number {
  const sum = a + b;
  return sum > 0xffff ? sum - 0xffff : sum;
}
