/**
 * One buffer that records are copied into. Making a typed array costs more than copying a small record, so the arrays
 * that callbacks get are made once for each length.
 */

const LOOP_MAX = 256;

export class CopyBuffer {
  #bytes = new Uint8Array(4096);
  #words = new Int32Array(this.#bytes.buffer);
  #views = new Map<number, Uint8Array>();

  /** `length` bytes from word `at` of `source`, in memory of this object's, valid until the next call. */
  words(source: Int32Array, at: number, length: number): Uint8Array {
    const view = this.room(length);
    const count = (length + 3) >>> 2;
    if (length <= LOOP_MAX) {
      const to = this.#words;
      for (let i = 0; i < count; i++) to[i] = source[at + i]!;
    } else this.#words.set(source.subarray(at, at + count));
    return view;
  }

  /** `length` bytes to be filled by the caller. */
  room(length: number): Uint8Array {
    if (length > this.#bytes.length) {
      this.#bytes = new Uint8Array(2 ** Math.ceil(Math.log2(length)));
      this.#words = new Int32Array(this.#bytes.buffer);
      this.#views.clear();
    }
    let view = this.#views.get(length);
    if (view === undefined) {
      // Programs use a handful of lengths; packet samples may use them all.
      if (this.#views.size >= LOOP_MAX) this.#views.clear();
      view = this.#bytes.subarray(0, length);
      this.#views.set(length, view);
    }
    return view;
  }
}
