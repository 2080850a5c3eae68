/**
 * Small blocks of mapped memory for what the kernel reads or writes through a pointer: attrs, keys, values, messages.
 * A JavaScript buffer may move or be collected during a call that holds only its address; these stay.
 *
 * Blocks come in powers of two from 64 bytes, cut from shared regions, and go back to a free list: a long-lived object
 * takes its block once. For the length of one call use `scratch`.
 */
import { mapAnonymous, type Region, releaseRegion } from "./region.ts";

/** Memory of one owner. `bytes` and `view` cover the whole block from `address`. */
export interface Block {
  readonly address: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

const MIN_SHIFT = 6;
const MAX_SHIFT = 16;
const CHUNK = 1 << 20;

const free: Block[][] = [];
let chunk: Region | undefined;
let used = CHUNK;
const large = new WeakMap<Block, Region>();

/** A zeroed block of at least `size` bytes. Give it back with `freeBlock`, once. */
export function allocBlock(size: number): Block {
  if (size > 1 << MAX_SHIFT) {
    const region = mapAnonymous(size);
    const block = blockAt(region, 0, region.length);
    large.set(block, region);
    return block;
  }
  const shift = Math.max(MIN_SHIFT, 32 - Math.clz32(Math.max(size, 1) - 1));
  const reused = free[shift]?.pop();
  if (reused) {
    reused.bytes.fill(0);
    return reused;
  }
  const length = 1 << shift;
  if (chunk === undefined || used + length > CHUNK) {
    chunk = mapAnonymous(CHUNK);
    used = 0;
  }
  // Blocks of mixed sizes follow one another: aligned to 64 bytes is enough for every UAPI struct.
  const block = blockAt(chunk, used, length);
  used += length;
  return block;
}

export function freeBlock(block: Block): void {
  const region = large.get(block);
  if (region) {
    large.delete(block);
    releaseRegion(region);
    return;
  }
  const shift = 31 - Math.clz32(block.bytes.length);
  (free[shift] ??= []).push(block);
}

/** Runs `body` with a block that lives as long as the call. */
export function withBlock<T>(size: number, body: (block: Block) => T): T {
  const block = allocBlock(size);
  try {
    return body(block);
  } finally {
    freeBlock(block);
  }
}

function blockAt(region: Region, at: number, length: number): Block {
  return {
    address: region.address + at,
    bytes: new Uint8Array(region.buffer, at, length),
    view: new DataView(region.buffer, at, length),
  };
}
