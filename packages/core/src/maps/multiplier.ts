/**
 * The secret multiplier of the multiply-shift hash. Any odd number keeps two given keys apart with the same chance, but
 * a few in a hundred send keys in arithmetic progression (counters, addresses of one network) to few buckets: those
 * where multiples of stride × multiplier / 2^64 come close to a whole number too soon. They are drawn again.
 */

/** Chains up to about this long are let pass. */
const LONG = 8;
const DRAWS = 100;

/** Two words, low one first and odd. @param random 32 bits a call. @param bits log2 of the buckets. */
export function drawMultiplier(random: () => number, bits: number, keySize: 4 | 8): [low: number, high: number] {
  let low = 1;
  let high = 0;
  for (let draw = 0; draw < DRAWS; draw++) {
    low = (random() | 1) >>> 0;
    high = random() >>> 0;
    if (spreads((BigInt(high) << 32n) | BigInt(low), 2 ** bits, keySize)) break;
  }
  return [low, high];
}

/** Does it spread counters in any byte of the key? */
function spreads(multiplier: bigint, buckets: number, keySize: number): boolean {
  for (let byte = 0; byte < keySize; byte++) {
    const step = Number(BigInt.asUintN(64, multiplier << BigInt(8 * byte))) / 2 ** 64;
    if (longestChain(step, buckets) > LONG) return false;
  }
  return true;
}

/**
 * About how many of `buckets` points i × step (mod 1) share a bucket, by the continued fraction of `step`: after q
 * points the next falls 1 / (a q) beside the first, a being the next quotient, and so do all that follow at distance q.
 */
function longestChain(step: number, buckets: number): number {
  let longest = 0;
  let x = step;
  let q = 1;
  let before = 0;
  while (q < buckets && x > 0) {
    const inverse = 1 / x;
    const quotient = Math.floor(inverse);
    longest = Math.max(longest, Math.min((quotient * q) / buckets, buckets / q));
    x = inverse - quotient;
    [q, before] = [quotient * q + before, q];
  }
  return longest;
}
