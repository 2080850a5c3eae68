/**
 * hash and percpu_hash, and what the LRU types share with them: creation, seeds, iteration. The operations are in
 * runtime/hash.as.ts. Source: kernel/bpf/hashtab.c.
 */
import { Errno } from "../errors/index.ts";
import {
  BPF_F_NO_COMMON_LRU,
  BPF_F_NO_PREALLOC,
  BPF_F_NUMA_NODE,
  BPF_F_RDONLY,
  BPF_F_RDONLY_PROG,
  BPF_F_WRONLY,
  BPF_F_WRONLY_PROG,
  BPF_F_ZERO_SEED,
  type MapSpec,
  MapType,
} from "../object/index.ts";
import { MAX_PERCPU_VALUE } from "./array.ts";
import { type Batch, emptyBatch, join } from "./batch.ts";
import * as L from "./layout.ts";
import { accessOk, type BatchCommands, checkCommon, MapBase, type MapKind } from "./map.ts";
import { drawMultiplier } from "./multiplier.ts";
import type { MapRuntime } from "./runtime.ts";

const ALLOWED =
  BPF_F_NO_PREALLOC |
  BPF_F_NO_COMMON_LRU |
  BPF_F_NUMA_NODE |
  BPF_F_RDONLY |
  BPF_F_WRONLY |
  BPF_F_RDONLY_PROG |
  BPF_F_WRONLY_PROG |
  BPF_F_ZERO_SEED;
/** KMALLOC_MAX_SIZE less sizeof(struct htab_elem): key and value together stay below. */
const MAX_ELEM = (4 << 20) - 48;
/** Bytes of a chunk of elements that are allocated as they are needed. */
const CHUNK = 16 << 10;

const isLru = (type: number) => type === MapType.BPF_MAP_TYPE_LRU_HASH || type === MapType.BPF_MAP_TYPE_LRU_PERCPU_HASH;

/** htab_map_alloc_check. */
export function checkHash(spec: MapSpec): number {
  const common = checkCommon(spec);
  if (common) return common;
  const lru = isLru(spec.type);
  const percpu = spec.type === MapType.BPF_MAP_TYPE_PERCPU_HASH || spec.type === MapType.BPF_MAP_TYPE_LRU_PERCPU_HASH;
  const perCpuLru = (spec.flags & BPF_F_NO_COMMON_LRU) !== 0;
  if (spec.flags & ~ALLOWED || !accessOk(spec.flags)) return Errno.EINVAL;
  if (!lru && perCpuLru) return Errno.EINVAL;
  if (lru && spec.flags & BPF_F_NO_PREALLOC) return Errno.ENOTSUPP;
  if (spec.flags & BPF_F_NUMA_NODE && (percpu || perCpuLru)) return Errno.EINVAL;
  if (spec.maxEntries === 0 || spec.keySize === 0 || spec.valueSize === 0) return Errno.EINVAL;
  if (spec.keySize + spec.valueSize >= MAX_ELEM) return Errno.E2BIG;
  if (percpu && Math.ceil(spec.valueSize / 8) * 8 > MAX_PERCPU_VALUE) return Errno.E2BIG;
  if (spec.maxEntries > 2 ** 31) return Errno.E2BIG;
  return 0;
}

/** Bytes before an element that belong to it (the LRU's node). */
export interface HashShape {
  readonly lead: number;
  /** Spare elements for replacing: full preallocated maps that are not per-CPU. */
  readonly spares: number;
  /** `HASH_*`, where it is not the key's size and BPF_F_ZERO_SEED that decide. */
  readonly kind?: number;
  /** Elements come as they are needed, whatever the flags say. */
  readonly onDemand?: boolean;
  /** Buckets for so many elements, where max_entries says nothing. */
  readonly expected?: number;
}

/** What the spare elements of an ordinary hash number. */
export function sparesOf(rt: MapRuntime, spec: MapSpec): number {
  return spec.flags & BPF_F_NO_PREALLOC ? 0 : rt.cpus;
}

export abstract class HashBase extends MapBase {
  readonly #lead: number;
  readonly #valueOffset: number;
  readonly #elemSize: number;

  constructor(rt: MapRuntime, spec: MapSpec, shape: HashShape) {
    super(rt, spec);
    this.#lead = shape.lead;
    const prealloc = !shape.onDemand && !(spec.flags & BPF_F_NO_PREALLOC);
    if (!prealloc) this.set(L.MAP_FLAGS, spec.flags | BPF_F_NO_PREALLOC);
    this.#valueOffset = L.ELEM_KEY + Math.ceil(spec.keySize / 8) * 8;
    this.#elemSize = shape.lead + this.#valueOffset + (this.perCpu ? 8 : this.stride);
    // At least two buckets: a shift by 32 is none. With one element the order is the same.
    const bits = Math.max(1, Math.ceil(Math.log2(shape.expected ?? spec.maxEntries)));
    const elems = prealloc
      ? spec.maxEntries + shape.spares
      : Math.min(
          shape.expected ?? spec.maxEntries,
          Math.max(1, Math.floor(CHUNK / (this.#elemSize + (this.perCpu ? this.stride * rt.cpus : 0)))),
        );
    const perCpuBytes = this.perCpu ? Math.ceil((elems * this.stride) / 64) * 64 : 0;
    // The header holds 32 bits; what does not fit them fits no memory either.
    if (elems * this.#elemSize + perCpuBytes * rt.cpus >= 2 ** 32) this.refuse(Errno.ENOMEM);
    this.set(L.MAP_BUCKETS, this.own(4 * 2 ** bits, 64));
    this.set(L.MAP_SHIFT, 32 - bits);
    this.set(L.MAP_ELEM_SIZE, this.#elemSize);
    this.set(L.MAP_VALUE_OFFSET, this.#valueOffset);
    this.set(L.MAP_CHUNK_ELEMS, elems);
    this.set(L.MAP_CPU_STRIDE, perCpuBytes);
    if (shape.spares) this.set(L.MAP_EXTRA, this.own(4 * shape.spares));
    this.#seed(shape.kind);
    const result = this.prepare();
    if (result) this.refuse(-result);
  }

  /** Fills in what the type adds to the header and makes the elements: 0 or -errno. */
  protected prepare(): number {
    return this.rt.exports.hash_init(this.addr);
  }

  #seed(kind?: number): void {
    const { spec } = this;
    const zero = (spec.flags & BPF_F_ZERO_SEED) !== 0;
    const bySize = spec.keySize === 4 ? L.HASH_4 : spec.keySize === 8 ? L.HASH_8 : L.HASH_ANY;
    this.set(L.MAP_HASH_KIND, kind ?? (zero ? L.HASH_JHASH : bySize));
    // A fixed order wants the kernel's fixed seed, 0.
    if (zero || kind === L.HASH_JHASH) return;
    const [low, high] = drawMultiplier(this.rt.random, 32 - this.get(L.MAP_SHIFT), spec.keySize === 4 ? 4 : 8);
    this.set(L.MAP_SEED, low);
    this.set(L.MAP_SEED + 4, high);
    for (let i = 0; i < 8; i++) this.set(L.MAP_SEEDS + 4 * i, this.rt.random());
  }

  override grown(start: number): void {
    const elems = start + 16;
    const count = this.get(L.MAP_CHUNK_ELEMS);
    if (!this.perCpu) {
      // The last element ends with its value: slots stay whole.
      const first = elems + this.#lead + this.#valueOffset;
      this.announce(first, elems + count * this.#elemSize, this.#elemSize);
      return;
    }
    const values = elems + count * this.#elemSize;
    const cpuStride = this.get(L.MAP_CPU_STRIDE);
    for (let cpu = 0; cpu < this.rt.cpus; cpu++) {
      this.announce(values + cpu * cpuStride, values + cpu * cpuStride + count * this.stride, this.stride);
    }
  }

  override lookupAt(keyAddr: number): number {
    return this.rt.exports.hash_lookup(this.addr, keyAddr) >>> 0;
  }

  deleteAt(keyAddr: number): number {
    return this.rt.exports.hash_delete(this.addr, keyAddr);
  }

  protected nextKeyAt(keyAddr: number, out: number): number {
    return this.rt.exports.hash_next_key(this.addr, keyAddr, out);
  }

  protected override readValue(keyAddr: number): Uint8Array | undefined {
    const at = this.rt.exports.hash_lookup(this.addr, keyAddr) >>> 0;
    return at ? this.valueOfElem(at - this.#valueOffset) : undefined;
  }

  protected valueAt(elem: number): number {
    return elem + this.#valueOffset;
  }

  /** All of an element's value as bpf(2) shows it. */
  protected valueOfElem(elem: number): Uint8Array {
    const at = elem + this.#valueOffset;
    if (!this.perCpu) return this.valueBytes(at);
    return this.allCpus(this.rt.memory.u32[at >>> 2]!, this.get(L.MAP_CPU_STRIDE));
  }

  protected override get batches(): BatchCommands {
    return { lookup: true, take: true, update: true, delete: true };
  }

  /** Whole buckets; the cursor is the next one's number. */
  protected override readBatch(max: number, cursor: Uint8Array | undefined, take: boolean): Batch {
    if (max === 0) return emptyBatch(0);
    const buckets = 2 ** (32 - this.get(L.MAP_SHIFT));
    let bucket = cursor ? new DataView(cursor.buffer, cursor.byteOffset).getUint32(0, true) : 0;
    if (bucket >= buckets) return emptyBatch(-Errno.ENOENT);
    const keys: Uint8Array[] = [];
    const values: Uint8Array[] = [];
    let result = 0;
    for (;;) {
      const found = this.bucket(bucket);
      if (found.length > max - keys.length) {
        if (!keys.length) result = -Errno.ENOSPC;
        break;
      }
      for (const [key, value] of found) {
        keys.push(key);
        values.push(value);
        if (!take) continue;
        this.write(key, this.keyAddr);
        this.deleteAt(this.keyAddr);
      }
      if (++bucket >= buckets) {
        result = -Errno.ENOENT;
        break;
      }
    }
    const next = new Uint8Array(new Uint32Array([bucket]).buffer);
    return { result, count: keys.length, ...join(keys, values), cursor: next };
  }

  /** Bucket by bucket, each read at once: an entry that stays is met exactly once. */
  *entries(): IterableIterator<[Uint8Array, Uint8Array]> {
    this.readable("BPF_MAP_LOOKUP_ELEM");
    const buckets = 2 ** (32 - this.get(L.MAP_SHIFT));
    for (let bucket = 0; bucket < buckets; bucket++) {
      const found = this.bucket(bucket);
      for (const entry of found) yield entry;
      if (found.length) this.alive();
    }
  }

  /** The entries of one bucket, in chain order. */
  protected bucket(index: number): [Uint8Array, Uint8Array][] {
    return this.chain(index).map((elem) => [this.bytes(elem + L.ELEM_KEY, this.spec.keySize), this.valueOfElem(elem)]);
  }

  /** The elements of one bucket. */
  protected chain(bucket: number): number[] {
    const found: number[] = [];
    let elem = (this.word(this.get(L.MAP_BUCKETS) + 4 * bucket) & ~2) >>> 0;
    for (; !(elem & 1); elem = this.word(elem)) found.push(elem);
    return found;
  }

  /** All elements. */
  protected *elems(): IterableIterator<number> {
    for (let bucket = 0; bucket < 2 ** (32 - this.get(L.MAP_SHIFT)); bucket++) yield* this.chain(bucket);
  }
}

/** Keys that one call into wasm looks up, and the bytes that it may have for them and their values. */
const MANY = 1024;
const MANY_ROOM = 1 << 17;
/** Words that it works with. */
const WORK = 2 * 16;

class HashMap extends HashBase {
  /** Address of the key's value, or 0; the key has the right length. */
  readonly #find: (key: Uint8Array) => number;
  #many = 0;

  constructor(rt: MapRuntime, spec: MapSpec) {
    super(rt, spec, { lead: 0, spares: sparesOf(rt, spec) });
    this.#find = this.#finder();
  }

  protected override get takes(): boolean {
    return true;
  }

  updateAt(keyAddr: number, valueAddr: number, flags: number): number {
    return this.rt.exports.hash_update(this.addr, keyAddr, valueAddr, flags);
  }

  /**
   * By value where the hash's kind allows: a key that is written byte by byte and then read as a word makes the processor
   * wait for its own stores, and lookups behind each other no longer overlap their cache misses.
   */
  #finder(): (key: Uint8Array) => number {
    const { addr } = this;
    const { hash_lookup, hash_lookup4, hash_lookup8_words, hash_lookup16_words } = this.rt.exports;
    const kind = this.get(L.MAP_HASH_KIND);
    if (kind === L.HASH_4) return (key) => hash_lookup4(addr, word(key, 0)) >>> 0;
    if (kind === L.HASH_8) return (key) => hash_lookup8_words(addr, word(key, 0), word(key, 4)) >>> 0;
    if (kind === L.HASH_ANY && this.spec.keySize === 16) {
      return (key) => hash_lookup16_words(addr, word(key, 0), word(key, 4), word(key, 8), word(key, 12)) >>> 0;
    }
    return (key) => {
      this.write(key, this.keyAddr);
      return hash_lookup(addr, this.keyAddr) >>> 0;
    };
  }

  #locate(key: Uint8Array): number {
    this.readable("BPF_MAP_LOOKUP_ELEM");
    this.checkKey("BPF_MAP_LOOKUP_ELEM", key);
    return this.#find(key);
  }

  override lookup(key: Uint8Array): Uint8Array | undefined {
    const at = this.#locate(key);
    if (!at) return undefined;
    // Few instructions, so that the processor has several lookups under way: a loop over the bytes takes four times as long
    // where they miss the cache.
    const value = this.rt.memory.u8.slice(at, at + this.spec.valueSize);
    if (this.hasFields) this.hideFields(value);
    return value;
  }

  override lookupInto(key: Uint8Array, out: Uint8Array): boolean {
    const at = this.#locate(key);
    if (!at) return false;
    const { u8, u32 } = this.rt.memory;
    const size = this.spec.valueSize;
    if (size > 32) out.set(u8.subarray(at, at + size));
    else {
      let i = 0;
      for (; i + 4 <= size; i += 4) {
        const four = u32[(at + i) >>> 2]!;
        out[i] = four;
        out[i + 1] = four >>> 8;
        out[i + 2] = four >>> 16;
        out[i + 3] = four >>> 24;
      }
      for (; i < size; i++) out[i] = u8[at + i]!;
    }
    if (this.hasFields) this.hideFields(out);
    return true;
  }

  override lookupMany(keys: Uint8Array, values: Uint8Array, found?: Uint8Array): number {
    if (this.hasFields) return super.lookupMany(keys, values, found);
    this.readable("BPF_MAP_LOOKUP_ELEM");
    const count = this.countMany(keys, values, found);
    const { keySize, valueSize } = this.spec;
    const most = Math.max(1, Math.min(MANY, Math.floor(MANY_ROOM / (keySize + valueSize + 1))));
    this.#many ||= this.rt.memory.tryAlloc(4 * WORK + most * (keySize + valueSize + 1));
    if (!this.#many) return super.lookupMany(keys, values, found);
    const work = this.#many;
    const keysAt = work + 4 * WORK;
    const valuesAt = keysAt + most * keySize;
    const foundAt = valuesAt + most * valueSize;
    const { u8 } = this.rt.memory;
    let hits = 0;
    for (let at = 0; at < count; at += most) {
      const n = Math.min(most, count - at);
      u8.set(keys.subarray(at * keySize, (at + n) * keySize), keysAt);
      hits += this.rt.exports.hash_lookup_many(this.addr, keysAt, n, valuesAt, foundAt, work);
      values.set(u8.subarray(valuesAt, valuesAt + n * valueSize), at * valueSize);
      found?.set(u8.subarray(foundAt, foundAt + n), at);
    }
    return hits;
  }

  protected override release(): void {
    if (this.#many) this.rt.memory.free(this.#many);
  }
}

/** Four bytes of a key, little-endian. */
function word(key: Uint8Array, at: number): number {
  return key[at]! | (key[at + 1]! << 8) | (key[at + 2]! << 16) | (key[at + 3]! << 24);
}

export const hashKind: MapKind = {
  type: MapType.BPF_MAP_TYPE_HASH,
  check: checkHash,
  create: (rt, spec) => new HashMap(rt, spec),
};
