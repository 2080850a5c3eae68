/**
 * An array whose values are read and written in place, without a system call (BPF_F_MMAPABLE, Linux 5.5): global
 * variables of programs, counters that are polled. Memory never leaves this class, so neither a closed mapping nor a
 * read-only one can be touched by mistake.
 * Source: kernel/bpf/arraymap.c `array_map_mmap`, `array_map_elem_size`.
 */
import { Errno } from "@ebplane/core/errors";
import { BPF_F_MMAPABLE, MapType } from "@ebplane/core/object";
import type { LinuxMap } from "../bpf/index.ts";
import { mapFd, type Region, releaseRegion } from "../mem/index.ts";
import { MAP_SHARED, PROT_READ, PROT_WRITE } from "../sys/index.ts";

export class MappedArray {
  /** Number of values. */
  readonly length: number;
  /** False for a map that is frozen or that userspace may only read. */
  readonly writable: boolean;
  readonly #map: LinuxMap;
  readonly #region: Region;
  readonly #bytes: Uint8Array;
  readonly #words: BigInt64Array;
  /** Bytes from one value to the next. */
  readonly #stride: number;
  #open = true;

  /** The map stays the caller's and may be closed before. @throws TypeError for a map that is not an mmapable array. */
  constructor(map: LinuxMap) {
    const { type, flags, maxEntries, valueSize, name } = map.spec;
    if (type !== MapType.BPF_MAP_TYPE_ARRAY || !(flags & BPF_F_MMAPABLE)) {
      throw new TypeError(`map ${name}: expected an array with BPF_F_MMAPABLE`);
    }
    this.#map = map;
    this.length = maxEntries;
    this.#stride = (valueSize + 7) & -8;
    const size = this.#stride * maxEntries;
    let region: Region;
    let writable = true;
    try {
      region = mapFd(map.fd, size, 0, PROT_READ | PROT_WRITE, MAP_SHARED);
    } catch (error) {
      const { errno } = error as { errno?: number };
      if (errno !== Errno.EPERM && errno !== Errno.EACCES) throw error;
      region = mapFd(map.fd, size, 0, PROT_READ, MAP_SHARED);
      writable = false;
    }
    this.writable = writable;
    this.#region = region;
    this.#bytes = new Uint8Array(region.buffer, 0, size);
    this.#words = new BigInt64Array(region.buffer, 0, size / 8);
  }

  /** A copy of a value. It may be torn where a program writes it meanwhile: `load` of 8 bytes is not. */
  read(index: number): Uint8Array {
    const at = this.#at(index, 0, this.#map.spec.valueSize);
    return this.#bytes.slice(at, at + this.#map.spec.valueSize);
  }

  /** Writes bytes of a value, from its byte `offset` on. @throws TypeError where it may only be read. */
  write(index: number, bytes: Uint8Array, offset = 0): void {
    this.#checkWritable();
    this.#bytes.set(bytes, this.#at(index, offset, bytes.length));
  }

  /** The signed 8-byte word at `offset`, in one piece. */
  load(index: number, offset = 0): bigint {
    return Atomics.load(this.#words, this.#word(index, offset));
  }

  store(index: number, value: bigint, offset = 0): void {
    this.#checkWritable();
    Atomics.store(this.#words, this.#word(index, offset), value);
  }

  /** Adds in one step that programs' atomic adds do not interfere with. @returns what was there before. */
  add(index: number, value: bigint, offset = 0): bigint {
    this.#checkWritable();
    return Atomics.add(this.#words, this.#word(index, offset), value);
  }

  #word(index: number, offset: number): number {
    if (offset % 8) throw new RangeError(`map ${this.#map.spec.name}: need an offset in steps of 8, have ${offset}`);
    return this.#at(index, offset, 8) / 8;
  }

  #at(index: number, offset: number, length: number): number {
    const { name, valueSize } = this.#map.spec;
    if (!this.#open) throw new TypeError(`mapped array ${name}: is closed`);
    if (!Number.isInteger(index) || index < 0 || index >= this.length) {
      throw new RangeError(`map ${name}: need an index below ${this.length}, have ${index}`);
    }
    if (!Number.isInteger(offset) || offset < 0 || offset + length > valueSize) {
      throw new RangeError(`map ${name}: need ${length} bytes at ${offset}, a value has ${valueSize}`);
    }
    return index * this.#stride + offset;
  }

  #checkWritable(): void {
    if (!this.writable) throw new TypeError(`map ${this.#map.spec.name}: may only be read`);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    releaseRegion(this.#region);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
