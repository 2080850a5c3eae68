/**
 * What functions of two Scalars gave lately. A program's insns are walked again and again with the same numbers, and a
 * Scalar is immutable: the same objects in, the same object out. So results keep their identity from path to path, too,
 * and comparing states seldom has to look inside of them.
 */
import { kernel } from "./kernel.ts";
import type { Scalar } from "./scalar.ts";

const SLOTS = 4096;

export class Memo<T> {
  readonly #ops = new Int32Array(SLOTS).fill(-1);
  readonly #as: (Scalar | undefined)[] = new Array(SLOTS).fill(undefined);
  readonly #bs: (Scalar | undefined)[] = new Array(SLOTS).fill(undefined);
  readonly #results: (T | undefined)[] = new Array(SLOTS).fill(undefined);

  /** What `code` (below 4,096) gave for these two; undefined where another result took its place, or none was kept. */
  get(code: number, a: Scalar, b: Scalar): T | undefined {
    const op = code + kernel * 4096;
    const slot = slotOf(op, a, b);
    if (this.#as[slot] !== a || this.#bs[slot] !== b || this.#ops[slot] !== op) return undefined;
    return this.#results[slot];
  }

  keep(code: number, a: Scalar, b: Scalar, result: T): T {
    const op = code + kernel * 4096;
    const slot = slotOf(op, a, b);
    this.#ops[slot] = op;
    this.#as[slot] = a;
    this.#bs[slot] = b;
    this.#results[slot] = result;
    return result;
  }
}

function slotOf(op: number, a: Scalar, b: Scalar): number {
  return (Math.imul(a.serial, 0x9e3d) + Math.imul(b.serial, 0x61c9) + Math.imul(op, 0x2545)) & (SLOTS - 1);
}
