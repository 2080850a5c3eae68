/**
 * Batch commands as bpf(2) answers them: how many elements were done, and where to go on. Which types have which is
 * the kernel's choice; the others answer ENOTSUPP. Source: kernel/bpf/syscall.c generic_map_*_batch, hashtab.c.
 */
import { Errno } from "../errors/index.ts";

export interface Batch {
  /** 0, or -errno; -ENOENT says that the end was reached, with the last elements in hand. */
  readonly result: number;
  /** Elements done, also when the result is an error. */
  readonly count: number;
  /** `count` keys and values, one after the other. */
  readonly keys: Uint8Array;
  readonly values: Uint8Array;
  /** To give to the next call; undefined when none was written. */
  readonly cursor: Uint8Array | undefined;
}

/** Where a batch reads: a map's own single operations. */
export interface BatchSource {
  nextKey(key?: Uint8Array): Uint8Array | undefined;
  read(key: Uint8Array): Uint8Array | undefined;
}

export const emptyBatch = (result: number): Batch => ({
  result,
  count: 0,
  keys: new Uint8Array(0),
  values: new Uint8Array(0),
  cursor: undefined,
});

/** By next key: the cursor is the last key. */
export function walkBatch(source: BatchSource, max: number, cursor: Uint8Array | undefined): Batch {
  const keys: Uint8Array[] = [];
  const values: Uint8Array[] = [];
  let last = cursor;
  while (keys.length < max) {
    const key = source.nextKey(last);
    if (!key) break;
    last = key;
    const value = source.read(key);
    if (!value) continue;
    keys.push(key);
    values.push(value);
  }
  // Whether a full batch was the last one only the next call tells.
  const result = keys.length < max ? -Errno.ENOENT : 0;
  return { result, count: keys.length, ...join(keys, values), cursor: keys.length ? last : undefined };
}

export function join(keys: readonly Uint8Array[], values: readonly Uint8Array[]) {
  return { keys: concat(keys), values: concat(values) };
}

/** All parts are of one size. */
function concat(parts: readonly Uint8Array[]): Uint8Array {
  const size = parts[0]?.length ?? 0;
  const out = new Uint8Array(size * parts.length);
  parts.forEach((part, i) => {
    out.set(part, i * size);
  });
  return out;
}
