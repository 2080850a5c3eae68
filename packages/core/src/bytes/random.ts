/** Seeded randomness: the same seed gives the same draws, everywhere. Not for secrets. */

export interface SeededRandom {
  /** Uniform unsigned 32 bits. */
  u32(): number;
  /** Uniform from 0 to n - 1, for n up to 2^32. */
  below(n: number): number;
  /** True with probability `p`. */
  chance(p: number): boolean;
  /** One of a list that is not empty. */
  pick<T>(from: readonly T[]): T;
  bytes(length: number): Uint8Array;
}

/** SplitMix32. Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", with 32-bit constants. */
export function seededRandom(seed: number): SeededRandom {
  let state = seed >>> 0;
  const u32 = () => {
    state = (state + 0x9e3779b9) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  };
  const below = (n: number) => Math.floor((u32() / 2 ** 32) * n);
  return {
    u32,
    below,
    chance: (p) => u32() < p * 2 ** 32,
    pick: (from) => from[below(from.length)]!,
    bytes: (length) => {
      const out = new Uint8Array(length);
      for (let i = 0; i < length; i++) out[i] = u32();
      return out;
    },
  };
}
