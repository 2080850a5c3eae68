/**
 * A live map in wasm memory: what all types share of the control plane (what bpf(2) does before it reaches the type):
 * access flags, freezing, key and value sizes, copying in and out, iteration, and the life of its memory.
 */
import { Errno, errnoName, SysError } from "../errors/index.ts";
import {
  BPF_F_LOCK,
  BPF_F_RDONLY,
  BPF_F_RDONLY_PROG,
  BPF_F_WRONLY,
  type BpfMap,
  isPerCpu,
  type MapSpec,
  mapTypeName,
} from "../object/index.ts";
import { type Batch, walkBatch } from "./batch.ts";
import * as L from "./layout.ts";
import type { LiveMap, MapRuntime } from "./runtime.ts";

/**
 * A map as the VM and the control plane use it. Methods taking bytes copy; methods taking addresses work in place and
 * return -errno instead of throwing: they are the fast path (write the key at `keyAddr`, call, read at the result).
 */
export interface VmMap extends BpfMap, LiveMap {
  readonly type: number;
  /** Address of the header: the map pointer that a program holds. */
  readonly addr: number;
  readonly frozen: boolean;
  /** No more changes from userspace. */
  freeze(): void;
  /**
   * Address for a program's direct access to byte `offset` of the only value (BPF_PSEUDO_MAP_VALUE).
   * @throws SysError ENOTSUPP for other maps than arrays of one element, EINVAL past the value's end.
   */
  valueAddr(offset: number): number;
  /** The key after `key`, the first without one or when it is not there; undefined after the last. */
  nextKey(key?: Uint8Array): Uint8Array | undefined;
  /** Takes the value out; for queues and stacks, `key` is empty. */
  lookupAndDelete(key: Uint8Array): Uint8Array | undefined;

  /** The value copied into `out`, which has room for it, without an allocation: false on a miss. */
  lookupInto(key: Uint8Array, out: Uint8Array): boolean;
  /**
   * The values of many keys, which lie one after the other in `keys`, to the same places of `values`; zeroes for a key that
   * is not there, and 0 in its byte of `found`. Answers how many are there. On a large hash this is several times
   * faster than single lookups: cache misses overlap. @throws SysError EINVAL for lengths that do not agree.
   */
  lookupMany(keys: Uint8Array, values: Uint8Array, found?: Uint8Array): number;
  /**
   * Up to `max` elements from `cursor` on (the start without one). Of a hash whole buckets: -ENOSPC when the first does
   * not fit. @throws SysError ENOTSUPP where the type has no such command, EPERM by the map's flags.
   */
  lookupBatch(max: number, cursor?: Uint8Array): Batch;
  lookupAndDeleteBatch(max: number, cursor?: Uint8Array): Batch;
  /** Updates in order until one is refused; `keys` and `values` hold `count` of them. */
  updateBatch(keys: Uint8Array, values: Uint8Array, count: number): BatchDone;
  deleteBatch(keys: Uint8Array, count: number): BatchDone;

  /** Room for a key and for a value (all CPUs' of a per-CPU map), for the fast path's callers. */
  readonly keyAddr: number;
  readonly scratchAddr: number;
  /** Address of the value of the key at `keyAddr` (this CPU's), or 0. Not to be kept over an update. */
  lookupAt(keyAddr: number): number;
  /** 0 or -errno. `flags` below 2^32. */
  updateAt(keyAddr: number, valueAddr: number, flags: number): number;
  deleteAt(keyAddr: number): number;
}

/** What a batch that writes has done: the last element's -errno or 0, and how many went well. */
export interface BatchDone {
  readonly result: number;
  readonly count: number;
}

/** Which batch commands a type has. */
export interface BatchCommands {
  readonly lookup?: true;
  readonly take?: true;
  readonly update?: true;
  readonly delete?: true;
}

/** A special field in a map's values, as BTF describes it: never copied by an update or a lookup. */
export interface ValueField {
  /** Bytes from the start of the value. */
  readonly offset: number;
  readonly size: number;
  readonly kind:
    | "spin_lock"
    | "res_spin_lock"
    | "timer"
    | "workqueue"
    | "task_work"
    | "kptr"
    | "list_head"
    | "list_node"
    | "rb_root"
    | "rb_node"
    | "refcount";
}

/** Fields that stay when a value is replaced and own nothing. */
const FIELD_KINDS: Readonly<Partial<Record<ValueField["kind"], number>>> = {
  spin_lock: L.FIELD_SPIN_LOCK,
  res_spin_lock: L.FIELD_KEPT,
  refcount: L.FIELD_KEPT,
};

/** How one map type is made. */
export interface MapKind {
  readonly type: number;
  /** The kernel's answer to the attributes of creation: 0 or an errno. */
  check(spec: MapSpec, rt: MapRuntime): number;
  create(rt: MapRuntime, spec: MapSpec): MapBase;
}

export abstract class MapBase implements VmMap {
  readonly spec: MapSpec;
  readonly id: number;
  readonly type: number;
  readonly addr: number;
  readonly keyAddr: number;
  readonly rt: MapRuntime;
  /** Value size rounded up to 8. */
  readonly stride: number;
  protected readonly outKey: number;
  protected readonly perCpu: boolean;
  #owned: number[] = [];
  #regions: (() => void)[] = [];
  #scratch = 0;
  #frozen = false;
  #closed = false;
  #users = 1;
  #fields: readonly ValueField[] = [];

  /** @param headerSize at least MAP_HEADER_SIZE. */
  constructor(rt: MapRuntime, spec: MapSpec, headerSize: number = L.MAP_HEADER_SIZE) {
    this.rt = rt;
    this.spec = spec;
    this.type = spec.type;
    this.stride = Math.ceil(spec.valueSize / 8) * 8;
    this.perCpu = isPerCpu(spec.type);
    this.addr = this.own(headerSize, 64);
    const keyRoom = Math.max(8, Math.ceil(spec.keySize / 8) * 8);
    this.keyAddr = this.own(2 * keyRoom);
    this.outKey = this.keyAddr + keyRoom;
    this.id = rt.takeId();
    this.set(L.MAP_TYPE, spec.type);
    this.set(L.MAP_ID, this.id);
    this.set(L.MAP_KEY_SIZE, spec.keySize);
    this.set(L.MAP_VALUE_SIZE, spec.valueSize);
    this.set(L.MAP_MAX_ENTRIES, spec.maxEntries);
    this.set(L.MAP_FLAGS, spec.flags);
    this.set(L.MAP_STRIDE, this.stride);
    this.set(L.MAP_CPUS, rt.cpus);
    rt.byAddress.set(this.addr, this);
    rt.byId.set(this.id, this);
  }

  get frozen(): boolean {
    return this.#frozen;
  }

  get scratchAddr(): number {
    return (this.#scratch ||= this.own(Math.max(8, this.perCpu ? this.stride * this.rt.cpus : this.stride)));
  }

  /** The special fields of the values, ascending. To be called once, before the first update. */
  defineFields(fields: readonly ValueField[]): void {
    const table = this.own(4 + L.FIELD_ROW * fields.length);
    this.setWord(table, fields.length);
    fields.forEach((field, i) => {
      const row = table + 4 + L.FIELD_ROW * i;
      this.setWord(row, field.offset);
      this.setWord(row + 4, field.size);
      this.setWord(row + 8, FIELD_KINDS[field.kind] ?? L.FIELD_OWNED);
    });
    this.set(L.MAP_FIELDS, table);
    this.#fields = fields;
  }

  freeze(): void {
    this.alive();
    if (this.#fields.length) this.fail("BPF_MAP_FREEZE", Errno.ENOTSUPP, "the values hold special fields");
    this.writable("BPF_MAP_FREEZE");
    this.#frozen = true;
  }

  valueAddr(_offset: number): number {
    return this.fail("BPF_PROG_LOAD", Errno.ENOTSUPP, "no direct value access");
  }

  // ---- bpf(2) ----

  lookup(key: Uint8Array): Uint8Array | undefined {
    this.readable("BPF_MAP_LOOKUP_ELEM");
    this.putKey("BPF_MAP_LOOKUP_ELEM", key);
    return this.readValue(this.keyAddr);
  }

  lookupInto(key: Uint8Array, out: Uint8Array): boolean {
    const value = this.lookup(key);
    if (!value) return false;
    out.set(value);
    return true;
  }

  lookupMany(keys: Uint8Array, values: Uint8Array, found?: Uint8Array): number {
    const { keySize } = this.spec;
    const count = this.countMany(keys, values, found);
    const size = this.valueLength;
    let hits = 0;
    for (let i = 0; i < count; i++) {
      const value = this.lookup(keys.subarray(i * keySize, (i + 1) * keySize));
      if (value) values.set(value, i * size);
      else values.fill(0, i * size, (i + 1) * size);
      if (found) found[i] = value ? 1 : 0;
      if (value) hits++;
    }
    return hits;
  }

  /** Bytes of a value as bpf(2) shows it. */
  protected get valueLength(): number {
    return this.perCpu ? this.stride * this.rt.cpus : this.spec.valueSize;
  }

  /** How many keys `lookupMany` is asked for. */
  protected countMany(keys: Uint8Array, values: Uint8Array, found: Uint8Array | undefined): number {
    const count = keys.length / (this.spec.keySize || 1);
    const room = Math.min(values.length / this.valueLength, found?.length ?? Number.POSITIVE_INFINITY);
    if (Number.isInteger(count) && count <= room) return count;
    const given = `${keys.length} bytes of keys, ${values.length} of values`;
    return this.fail("lookupMany", Errno.EINVAL, `expected whole keys and room for their values, got ${given}`);
  }

  update(key: Uint8Array, value: Uint8Array, flags = 0): void {
    this.writable("BPF_MAP_UPDATE_ELEM");
    if (flags & BPF_F_LOCK && !this.#fields.some((f) => f.kind === "spin_lock")) {
      this.fail("BPF_MAP_UPDATE_ELEM", Errno.EINVAL, "BPF_F_LOCK needs a spin lock in the value");
    }
    this.putKey("BPF_MAP_UPDATE_ELEM", key);
    this.putValue("BPF_MAP_UPDATE_ELEM", value);
    const result = this.updateSys(this.keyAddr, this.scratchAddr, flags);
    if (result) this.fail("BPF_MAP_UPDATE_ELEM", -result);
  }

  delete(key: Uint8Array): boolean {
    this.writable("BPF_MAP_DELETE_ELEM");
    this.putKey("BPF_MAP_DELETE_ELEM", key);
    const result = this.deleteAt(this.keyAddr);
    if (result === -Errno.ENOENT) return false;
    if (result) this.fail("BPF_MAP_DELETE_ELEM", -result);
    return true;
  }

  nextKey(key?: Uint8Array): Uint8Array | undefined {
    this.readable("BPF_MAP_GET_NEXT_KEY");
    if (key) this.putKey("BPF_MAP_GET_NEXT_KEY", key);
    const result = this.nextKeyAt(key ? this.keyAddr : 0, this.outKey);
    if (result === -Errno.ENOENT) return undefined;
    if (result) this.fail("BPF_MAP_GET_NEXT_KEY", -result);
    return this.bytes(this.outKey, this.spec.keySize);
  }

  /** Whether bpf(2) takes elements out by key. */
  protected get takes(): boolean {
    return false;
  }

  lookupAndDelete(key: Uint8Array): Uint8Array | undefined {
    const command = "BPF_MAP_LOOKUP_AND_DELETE_ELEM";
    this.readable(command);
    this.writable(command);
    if (!this.takes) this.fail(command, Errno.ENOTSUPP);
    this.putKey(command, key);
    const value = this.readValue(this.keyAddr);
    if (value) this.deleteAt(this.keyAddr);
    return value;
  }

  // ---- batches ----

  /** Default: none. */
  protected get batches(): BatchCommands {
    return {};
  }

  lookupBatch(max: number, cursor?: Uint8Array): Batch {
    this.readable("BPF_MAP_LOOKUP_BATCH");
    if (!this.batches.lookup) this.fail("BPF_MAP_LOOKUP_BATCH", Errno.ENOTSUPP);
    return this.readBatch(max, cursor, false);
  }

  lookupAndDeleteBatch(max: number, cursor?: Uint8Array): Batch {
    const command = "BPF_MAP_LOOKUP_AND_DELETE_BATCH";
    this.readable(command);
    this.writable(command);
    if (!this.batches.take) this.fail(command, Errno.ENOTSUPP);
    return this.readBatch(max, cursor, true);
  }

  protected readBatch(max: number, cursor: Uint8Array | undefined, _take: boolean): Batch {
    return walkBatch({ nextKey: (key) => this.nextKey(key), read: (key) => this.lookup(key) }, max, cursor);
  }

  updateBatch(keys: Uint8Array, values: Uint8Array, count: number): BatchDone {
    const command = "BPF_MAP_UPDATE_BATCH";
    this.writable(command);
    if (!this.batches.update) this.fail(command, Errno.ENOTSUPP);
    const { keySize } = this.spec;
    const valueSize = this.valueLength;
    for (let i = 0; i < count; i++) {
      this.putKey(command, keys.subarray(i * keySize, (i + 1) * keySize));
      this.putValue(command, values.subarray(i * valueSize, (i + 1) * valueSize));
      const result = this.updateSys(this.keyAddr, this.scratchAddr, 0);
      if (result) return { result, count: i };
    }
    return { result: 0, count };
  }

  deleteBatch(keys: Uint8Array, count: number): BatchDone {
    const command = "BPF_MAP_DELETE_BATCH";
    this.writable(command);
    if (!this.batches.delete) this.fail(command, Errno.ENOTSUPP);
    const { keySize } = this.spec;
    for (let i = 0; i < count; i++) {
      this.putKey(command, keys.subarray(i * keySize, (i + 1) * keySize));
      const result = this.deleteAt(this.keyAddr);
      if (result) return { result, count: i };
    }
    return { result: 0, count };
  }

  abstract entries(): IterableIterator<[key: Uint8Array, value: Uint8Array]>;

  // ---- addresses ----

  lookupAt(keyAddr: number): number {
    return this.rt.exports.map_lookup(this.addr, keyAddr) >>> 0;
  }

  /** bpf(2)'s update: of per-CPU maps it writes all CPUs' values. */
  protected updateSys(keyAddr: number, valueAddr: number, flags: number): number {
    return this.updateAt(keyAddr, valueAddr, flags);
  }

  abstract updateAt(keyAddr: number, valueAddr: number, flags: number): number;
  abstract deleteAt(keyAddr: number): number;
  protected abstract nextKeyAt(keyAddr: number, out: number): number;

  /** What bpf(2) returns for the key at `keyAddr`; special fields read as zero. */
  protected readValue(keyAddr: number): Uint8Array | undefined {
    const at = this.lookupAt(keyAddr);
    return at ? this.valueBytes(at) : undefined;
  }

  // ---- helpers of the types ----

  /** Ends a creation that cannot be finished; nothing stays behind. */
  protected refuse(errno: number): never {
    this.#giveBack();
    this.fail("BPF_MAP_CREATE", errno);
  }

  /** Memory that lives as long as the map. */
  protected own(size: number, align = 16): number {
    const at = this.rt.memory.tryAlloc(size, align);
    if (!at) this.refuse(Errno.ENOMEM);
    this.#owned.push(at);
    return at;
  }

  /** Announces values to the region registry: every `stride` bytes from `start`, `valueSize` belong to a value. */
  protected announce(
    start: number,
    end: number,
    stride: number,
    writable = !(this.spec.flags & BPF_F_RDONLY_PROG),
  ): void {
    if (end <= start) return;
    const slots = { stride, size: this.spec.valueSize };
    this.#regions.push(this.rt.memory.addRegion({ name: `map ${this.spec.name}`, start, end, writable, slots }));
  }

  /** Announces memory that is not cut into values. */
  protected announceWhole(start: number, end: number, writable: boolean): void {
    this.#regions.push(this.rt.memory.addRegion({ name: `map ${this.spec.name}`, start, end, writable }));
  }

  notified(): void {}

  /** Element memory is found again by the header's list of chunks: other threads add to it too. */
  grown(_start: number, _end: number): void {}

  /** What a type gives back at close beyond its `own` memory; the header is still there. */
  protected release(): void {}

  word(at: number): number {
    return this.rt.memory.u32[at >>> 2]!;
  }

  protected setWord(at: number, value: number): void {
    this.rt.memory.u32[at >>> 2] = value;
  }

  protected get(field: number): number {
    return this.word(this.addr + field);
  }

  protected set(field: number, value: number): void {
    this.setWord(this.addr + field, value);
  }

  /** A value as bpf(2) shows it: special fields read as zero. */
  protected valueBytes(at: number): Uint8Array {
    const value = this.bytes(at, this.spec.valueSize);
    if (this.#fields.length) this.hideFields(value);
    return value;
  }

  protected hideFields(value: Uint8Array): void {
    for (const { offset, size } of this.#fields) value.fill(0, offset, offset + size);
  }

  protected get hasFields(): boolean {
    return this.#fields.length > 0;
  }

  protected bytes(at: number, size: number): Uint8Array {
    const copy = new Uint8Array(size);
    const { u8 } = this.rt.memory;
    // A loop beats the two calls of set(subarray) for what keys and values mostly are.
    if (size <= 32) for (let i = 0; i < size; i++) copy[i] = u8[at + i]!;
    else copy.set(u8.subarray(at, at + size));
    return copy;
  }

  /** One value a CPU, each padded to 8, as bpf(2) returns them. */
  protected allCpus(first: number, cpuStride: number): Uint8Array {
    const all = new Uint8Array(this.stride * this.rt.cpus);
    for (let cpu = 0; cpu < this.rt.cpus; cpu++) {
      const at = first + cpu * cpuStride;
      const to = cpu * this.stride;
      all.set(this.rt.memory.u8.subarray(at, at + this.stride), to);
      for (const { offset, size } of this.#fields) all.fill(0, to + offset, to + offset + size);
    }
    return all;
  }

  protected putKey(command: string, key: Uint8Array): void {
    this.checkKey(command, key);
    this.write(key, this.keyAddr);
  }

  protected checkKey(command: string, key: Uint8Array): void {
    if (key.length !== this.spec.keySize) {
      this.fail(command, Errno.EINVAL, `expected a key of ${this.spec.keySize} bytes, got ${key.length}`);
    }
  }

  protected write(bytes: Uint8Array, at: number): void {
    const { u8 } = this.rt.memory;
    if (bytes.length <= 32) for (let i = 0; i < bytes.length; i++) u8[at + i] = bytes[i]!;
    else u8.set(bytes, at);
  }

  protected putValue(command: string, value: Uint8Array): void {
    const size = this.valueLength;
    if (value.length !== size) {
      this.fail(command, Errno.EINVAL, `expected a value of ${size} bytes, got ${value.length}`);
    }
    this.write(value, this.scratchAddr);
  }

  protected readable(command: string): void {
    this.alive();
    if (this.spec.flags & BPF_F_WRONLY) this.fail(command, Errno.EPERM, "the map is write-only");
  }

  protected writable(command: string): void {
    this.alive();
    if (this.spec.flags & BPF_F_RDONLY) this.fail(command, Errno.EPERM, "the map is read-only");
    if (this.#frozen) this.fail(command, Errno.EPERM, "the map is frozen");
  }

  protected alive(): void {
    if (this.#closed) throw new TypeError(`map ${this.spec.name}: used after close`);
  }

  protected fail(command: string, errno: number, detail = ""): never {
    const what = `${mapTypeName(this.spec.type)} ${this.spec.name}`;
    throw new SysError(command, errno, errnoName(errno), detail ? `${what}: ${detail}` : what);
  }

  retain(): void {
    this.#users++;
  }

  /** Ends one use; the last one frees the memory. */
  close(): void {
    if (this.#closed || --this.#users > 0) return;
    if (this.#fields.length && this.addr) this.#endFields();
    this.release();
    this.#giveBack();
  }

  /** What the fields of the last values own ends with the map: on every CPU, of every entry. */
  #endFields(): void {
    const { exports } = this.rt;
    const { addr, keyAddr, outKey } = this;
    const size = Math.max(1, this.spec.keySize);
    // Storages are hashes that bpf(2) cannot walk.
    const isStorage = this.spec.maxEntries === 0;
    const after = isStorage ? exports.hash_next_key : exports.map_next_key;
    const find = isStorage ? exports.hash_lookup : exports.map_lookup;
    for (let more = after(addr, 0, outKey); more === 0; ) {
      this.rt.memory.u8.copyWithin(keyAddr, outKey, outKey + size);
      for (let cpu = 0; cpu < (this.perCpu ? this.rt.cpus : 1); cpu++) {
        const value = this.perCpu ? exports.map_lookup_percpu(addr, keyAddr, cpu) : find(addr, keyAddr);
        if (value) this.rt.releaseFields(addr, value >>> 0);
      }
      more = after(addr, keyAddr, outKey);
    }
  }

  /** Everything, in whatever state creation left it. */
  #giveBack(): void {
    this.#closed = true;
    if (!this.addr) return;
    for (const drop of this.#regions) drop();
    for (let chunk = this.get(L.MAP_CHUNKS); chunk; ) {
      const next = this.word(chunk);
      this.rt.memory.free(chunk);
      chunk = next;
    }
    for (const at of this.#owned) this.rt.memory.free(at);
    this.rt.byAddress.delete(this.addr);
    this.rt.byId.delete(this.id);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** What creating any map checks: both access directions forbidden, or map_extra where no type reads it. */
export function checkCommon(spec: MapSpec, usesExtra = false): number {
  if (spec.mapExtra && !usesExtra) return Errno.EINVAL;
  if (spec.flags & BPF_F_RDONLY && spec.flags & BPF_F_WRONLY) return Errno.EINVAL;
  return 0;
}

/** BPF_F_RDONLY_PROG and BPF_F_WRONLY_PROG exclude each other. */
export function accessOk(flags: number): boolean {
  const both = BPF_F_RDONLY_PROG | (1 << 8);
  return (flags & both) !== both;
}
