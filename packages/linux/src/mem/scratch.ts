/**
 * A stack of temporary memory for the arguments of one system call. `scratch(body)` hands `body` an allocator; all it
 * gave is taken back when `body` returns. Calls nest.
 */
import { concatBytes } from "@ebplane/core/bytes";
import { allocBlock, type Block, freeBlock } from "./block.ts";

const STACK = 1 << 16;
const ALIGN = 8;

let stack: Block | undefined;
let top = 0;

/** Memory that lives until the enclosing `scratch` call returns. */
export class Scratch {
  readonly #large: Block[] = [];

  /** Zeroed memory of `size` bytes, aligned to 8. */
  take(size: number): Block {
    stack ??= allocBlock(STACK);
    if (top + size > STACK) {
      const block = allocBlock(size);
      this.#large.push(block);
      return { address: block.address, bytes: block.bytes.subarray(0, size), view: block.view };
    }
    const at = top;
    top = (top + size + ALIGN - 1) & -ALIGN;
    const bytes = stack.bytes.subarray(at, at + size);
    bytes.fill(0);
    return { address: stack.address + at, bytes, view: new DataView(bytes.buffer, bytes.byteOffset, size) };
  }

  /** The address of a copy of `bytes`; 0 (NULL) for no bytes. */
  put(bytes: Uint8Array): number {
    if (bytes.length === 0) return 0;
    const block = this.take(bytes.length);
    block.bytes.set(bytes);
    return block.address;
  }

  /** The address of a NUL-terminated copy of `text` in UTF-8. */
  cstring(text: string): number {
    return this.put(concatBytes([new TextEncoder().encode(text), new Uint8Array(1)]));
  }

  /** @internal Called by `scratch`. */
  release(): void {
    for (const block of this.#large) freeBlock(block);
  }
}

export function scratch<T>(body: (memory: Scratch) => T): T {
  const mark = top;
  const memory = new Scratch();
  try {
    return body(memory);
  } finally {
    memory.release();
    top = mark;
  }
}

/** Writes a 64-bit pointer or length that is exact in a Number, little-endian. */
export function setPointer(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setUint32(at + 4, Math.floor(value / 0x1_0000_0000), true);
}
