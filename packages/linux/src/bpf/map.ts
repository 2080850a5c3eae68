/**
 * A live map of the kernel: `BpfMap` over bpf(2). Each object owns one block of mapped memory for keys and values, so
 * an operation costs one system call and one copy. Bulk operations are in map-batch.ts.
 */
import { Errno, UnsupportedError } from "@ebplane/core/errors";
import { type BpfMap, isPerCpu, type MapSpec, MapType, mapTypeName } from "@ebplane/core/object";
import { allocBlock, type Block, freeBlock } from "../mem/index.ts";
import { check, close, inNetns, kernelOlder, sysError } from "../sys/index.ts";
import { Cmd, cmdName } from "./command.ts";
import { possibleCpus } from "./cpus.ts";
import { mapInfo } from "./info.ts";
import { mapBatch, mapElem } from "./map-calls.ts";

/** Elements of one batch to begin with; a hash bucket that holds more asks for a larger one. */
const BATCH = 256;
/** How many keys back a walk looks for one that is still there. */
const LOOK_BACK = 16;

const DEVICE_MAPS: ReadonlySet<number> = new Set([MapType.BPF_MAP_TYPE_DEVMAP, MapType.BPF_MAP_TYPE_DEVMAP_HASH]);

export class LinuxMap implements BpfMap {
  readonly spec: MapSpec;
  readonly id: number;
  /** Bytes that userspace sees of one value: of a per-CPU map all of them, each padded to 8. */
  readonly userValueSize: number;
  #fd: number;
  /** Where a device map's indexes are; the calling thread's namespace when absent. */
  #netns: number | undefined;
  /** Key, next key, value: each aligned to 8. */
  readonly #block: Block;
  readonly #keyAddress: number;
  readonly #nextAddress: number;
  readonly #valueAddress: number;
  readonly #next: number;
  readonly #value: number;

  /** Takes over `fd`; `close` closes it. */
  constructor(fd: number, spec: MapSpec) {
    this.#fd = fd;
    this.spec = spec;
    this.id = mapInfo(fd).id;
    this.userValueSize = isPerCpu(spec.type) ? align8(spec.valueSize) * possibleCpus() : spec.valueSize;
    this.#next = align8(spec.keySize);
    this.#value = this.#next * 2;
    this.#block = allocBlock(this.#value + this.userValueSize);
    this.#keyAddress = spec.keySize === 0 ? 0 : this.#block.address;
    this.#nextAddress = this.#block.address + this.#next;
    this.#valueAddress = this.#block.address + this.#value;
  }

  /**
   * Of a map of devices: the namespace (an fd, borrowed) whose indexes it is written with. The kernel takes those of the
   * calling thread's, and a device there of the same number would be taken without a word.
   */
  devicesOf(netns: number): void {
    if (DEVICE_MAPS.has(this.spec.type)) this.#netns = netns;
  }

  /** Runs what writes entries where their indexes are right. */
  inside<T>(write: () => T): T {
    return this.#netns === undefined ? write() : inNetns(this.#netns, write);
  }

  /** The map's file descriptor; it stays this object's. @throws TypeError after `close`. */
  get fd(): number {
    if (this.#fd < 0) throw new TypeError(`map ${this.spec.name}: is closed`);
    return this.#fd;
  }

  lookup(key: Uint8Array): Uint8Array | undefined {
    return this.#lookup(Cmd.MAP_LOOKUP_ELEM, key, 0);
  }

  /** Takes the value out: of a hash by key, of a queue or stack (empty key) the next one. */
  lookupAndDelete(key: Uint8Array): Uint8Array | undefined {
    return this.#lookup(Cmd.MAP_LOOKUP_AND_DELETE_ELEM, key, 0);
  }

  #lookup(cmd: number, key: Uint8Array, flags: number): Uint8Array | undefined {
    const fd = this.fd;
    this.#setKey(key);
    const result = mapElem(cmd, fd, this.#keyAddress, this.#valueAddress, flags);
    if (result === -Errno.ENOENT || result === -Errno.EAGAIN) return undefined;
    if (result === -Errno.ENOTSUPP && cmd === Cmd.MAP_LOOKUP_AND_DELETE_ELEM && kernelOlder("5.14")) {
      const why = `map ${this.spec.name}: this kernel takes values out of queues and stacks alone; look up, then delete`;
      throw new UnsupportedError("lookup and delete", why, "5.14");
    }
    if (result < 0) throw this.#error(cmd, result);
    return this.#block.bytes.slice(this.#value, this.#value + this.userValueSize);
  }

  update(key: Uint8Array, value: Uint8Array, flags = 0): void {
    const fd = this.fd;
    this.#setKey(key);
    if (value.length !== this.userValueSize) {
      throw new RangeError(`map ${this.spec.name}: need a value of ${this.userValueSize} bytes, have ${value.length}`);
    }
    this.#block.bytes.set(value, this.#value);
    const result = this.inside(() => mapElem(Cmd.MAP_UPDATE_ELEM, fd, this.#keyAddress, this.#valueAddress, flags));
    if (result < 0) throw this.#error(Cmd.MAP_UPDATE_ELEM, result);
  }

  delete(key: Uint8Array): boolean {
    const fd = this.fd;
    this.#setKey(key);
    const result = mapElem(Cmd.MAP_DELETE_ELEM, fd, this.#keyAddress, 0, 0);
    if (result === -Errno.ENOENT) return false;
    if (result < 0) throw this.#error(Cmd.MAP_DELETE_ELEM, result);
    return true;
  }

  /**
   * Every entry once. Entries that are deleted meanwhile, by this process or by a program, neither end the walk nor
   * make it start over for the caller.
   */
  *entries(): IterableIterator<[key: Uint8Array, value: Uint8Array]> {
    if (this.spec.keySize === 0) return;
    if (hasBucketCursor(this.spec.type)) yield* this.#batches();
    else yield* this.#walk();
  }

  /**
   * The keys, in the map's order. When the key that the walk stands on is deleted by another, the kernel starts over
   * from the first without a word. A key that was seen already tells: the walk then goes on from the last seen key that
   * is still there. A map that is emptied and refilled all the time ends the walk after as many turns as it has room.
   */
  *keys(): IterableIterator<Uint8Array> {
    if (this.spec.keySize === 0) return;
    if (isIndexed(this.spec.type)) {
      for (let key = this.nextKey(undefined); key; key = this.nextKey(key)) yield key;
      return;
    }
    const seen = new Set<string>();
    const order: Uint8Array[] = [];
    let turns = 0;
    let key = this.nextKey(undefined);
    while (key) {
      const text = String.fromCharCode(...key);
      if (seen.has(text)) {
        if (++turns > this.spec.maxEntries) return;
        key = this.#resume(order, seen);
        continue;
      }
      seen.add(text);
      order.push(key);
      // The next key is taken before the caller sees this one: deleting what was yielded does no harm.
      const next = this.nextKey(key);
      yield key;
      key = next;
    }
  }

  /** Where a walk that was thrown back goes on: behind the last seen key that is still there, else from the first. */
  #resume(order: readonly Uint8Array[], seen: ReadonlySet<string>): Uint8Array | undefined {
    const alive = order.slice(-LOOK_BACK).findLast((key) => this.lookup(key) !== undefined);
    let key = this.nextKey(alive);
    if (alive && key && seen.has(String.fromCharCode(...key))) key = this.nextKey(undefined);
    for (let steps = 0; key && steps <= order.length; steps++) {
      if (!seen.has(String.fromCharCode(...key))) return key;
      key = this.nextKey(key);
    }
    return undefined;
  }

  *#walk(): IterableIterator<[Uint8Array, Uint8Array]> {
    for (const key of this.keys()) {
      const value = this.lookup(key);
      if (value) yield [key, value];
    }
  }

  /** The key after this one in the order of the map, or the first; undefined after the last. */
  nextKey(key?: Uint8Array): Uint8Array | undefined {
    const fd = this.fd;
    if (key) this.#setKey(key);
    const result = mapElem(Cmd.MAP_GET_NEXT_KEY, fd, key ? this.#keyAddress : 0, this.#nextAddress, 0);
    if (result === -Errno.ENOENT) return undefined;
    if (result < 0) throw this.#error(Cmd.MAP_GET_NEXT_KEY, result);
    return this.#block.bytes.slice(this.#next, this.#next + this.spec.keySize);
  }

  /** Bucket by bucket: the cursor is a bucket's number, so deletes cannot move it. */
  *#batches(): IterableIterator<[Uint8Array, Uint8Array]> {
    const { keySize } = this.spec;
    let room = BATCH;
    let block = allocBlock(16 + room * (keySize + this.userValueSize));
    try {
      for (let first = true, more = true; more; ) {
        const keys = 16;
        const values = keys + room * keySize;
        const { result, count } = mapBatch(Cmd.MAP_LOOKUP_BATCH, {
          fd: this.fd,
          inBatch: first ? 0 : block.address,
          outBatch: block.address + 8,
          keys: block.address + keys,
          values: block.address + values,
          count: room,
        });
        if (result === -Errno.ENOSPC) {
          const cursor = block.bytes.slice(0, 8);
          freeBlock(block);
          room *= 4;
          block = allocBlock(16 + room * (keySize + this.userValueSize));
          block.bytes.set(cursor);
          continue;
        }
        if (result < 0 && result !== -Errno.ENOENT) throw this.#error(Cmd.MAP_LOOKUP_BATCH, result);
        more = result >= 0;
        first = false;
        block.bytes.copyWithin(0, 8, 16);
        const got: [Uint8Array, Uint8Array][] = [];
        for (let i = 0; i < count; i++) {
          const k = keys + i * keySize;
          const v = values + i * this.userValueSize;
          got.push([block.bytes.slice(k, k + keySize), block.bytes.slice(v, v + this.userValueSize)]);
        }
        yield* got;
      }
    } finally {
      freeBlock(block);
    }
  }

  #setKey(key: Uint8Array): void {
    if (key.length !== this.spec.keySize) {
      throw new RangeError(`map ${this.spec.name}: need a key of ${this.spec.keySize} bytes, have ${key.length}`);
    }
    this.#block.bytes.set(key);
  }

  #error(cmd: number, result: number): Error {
    return sysError(cmdName(cmd), -result, `map ${this.spec.name} (${mapTypeName(this.spec.type)})`);
  }

  close(): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    freeBlock(this.#block);
    check("close", close(fd));
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Types whose batch cursor is a bucket. HASH_OF_MAPS has it too. */
function hasBucketCursor(type: number): boolean {
  return (
    type === MapType.BPF_MAP_TYPE_HASH ||
    type === MapType.BPF_MAP_TYPE_LRU_HASH ||
    type === MapType.BPF_MAP_TYPE_PERCPU_HASH ||
    type === MapType.BPF_MAP_TYPE_LRU_PERCPU_HASH
  );
}

/** Types whose keys are the numbers below max_entries and cannot be deleted from under a walk. */
function isIndexed(type: number): boolean {
  return type === MapType.BPF_MAP_TYPE_ARRAY || type === MapType.BPF_MAP_TYPE_PERCPU_ARRAY;
}

function align8(size: number): number {
  return (size + 7) & -8;
}
