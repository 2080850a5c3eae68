/**
 * Copies between two memories that stay the same for many calls: a million frames a second, 64 bytes most of them. By words
 * where both sides are aligned, for `set` needs a subarray, which costs more than the bytes of a short frame.
 */

/** Longer copies are `set`'s: measured, it is even near here. */
const LONG = 384;

export class FrameCopier {
  #from: Uint8Array | undefined;
  #to: Uint8Array | undefined;
  #fromWords: Uint32Array | undefined;
  #toWords: Uint32Array | undefined;

  /** The ranges must be inside, and not overlap in one memory. */
  copy(to: Uint8Array, toAt: number, from: Uint8Array, fromAt: number, length: number): void {
    if (length > LONG) {
      to.set(from.subarray(fromAt, fromAt + length), toAt);
      return;
    }
    if (from !== this.#from) {
      this.#from = from;
      this.#fromWords = wordsOf(from);
    }
    if (to !== this.#to) {
      this.#to = to;
      this.#toWords = wordsOf(to);
    }
    const [source, target] = [this.#fromWords, this.#toWords];
    let done = 0;
    if (source && target && ((fromAt | toAt) & 3) === 0) {
      const words = length >>> 2;
      const [s, t] = [fromAt >>> 2, toAt >>> 2];
      for (let i = 0; i < words; i++) target[t + i] = source[s + i]!;
      done = words << 2;
    }
    for (; done < length; done++) to[toAt + done] = from[fromAt + done]!;
  }
}

/** Undefined where the array does not begin on a word. */
function wordsOf(bytes: Uint8Array): Uint32Array | undefined {
  if (bytes.byteOffset & 3) return undefined;
  return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >>> 2);
}
