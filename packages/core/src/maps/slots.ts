/**
 * What the arrays of references share: an index, a slot a key, empty while its first word is 0. The types differ in
 * what they take, what bpf(2) reads back and what a program may see. There are no fds here: where bpf(2) takes an fd
 * these take the object's id or handle, and the machine's host says which exist.
 */
import { Errno } from "../errors/index.ts";
import { BPF_F_NUMA_NODE, BPF_F_RDONLY, BPF_F_WRONLY, type MapSpec } from "../object/index.ts";
import * as L from "./layout.ts";
import { checkCommon, MapBase } from "./map.ts";
import type { MapRuntime } from "./runtime.ts";

export abstract class SlotMap extends MapBase {
  protected readonly slots: number;

  /** @param visible programs may read the slots (never write them). */
  constructor(rt: MapRuntime, spec: MapSpec, visible: boolean) {
    super(rt, spec);
    const size = this.stride * spec.maxEntries;
    this.slots = this.own(size);
    this.set(L.MAP_VALUES, this.slots);
    if (visible) this.announce(this.slots, this.slots + size, this.stride, false);
  }

  /** Fills slot `index` from the value: 0 or -errno. An index in range, flags ANY, NOEXIST or EXIST. */
  protected abstract put(index: number, valueAddr: number, flags: number): number;

  /** What bpf(2) answers for a filled slot, or an errno. Default: the value as programs see it. */
  protected show(slot: number): Uint8Array | number {
    return this.bytes(slot, this.spec.valueSize);
  }

  /** A slot is emptied or refilled: what it refers to loses a user. */
  protected drop(_slot: number): void {}

  override lookup(key: Uint8Array): Uint8Array | undefined {
    const command = "BPF_MAP_LOOKUP_ELEM";
    this.readable(command);
    this.putKey(command, key);
    const shown = this.read(this.keyAddr);
    if (typeof shown !== "number") return shown;
    return shown === Errno.ENOENT ? undefined : this.fail(command, shown);
  }

  protected read(keyAddr: number): Uint8Array | number {
    const slot = this.rt.exports.slot_lookup(this.addr, keyAddr) >>> 0;
    return slot ? this.show(slot) : Errno.ENOENT;
  }

  override lookupAt(keyAddr: number): number {
    return this.rt.exports.slot_lookup(this.addr, keyAddr) >>> 0;
  }

  updateAt(keyAddr: number, valueAddr: number, flags: number): number {
    if (flags > 2) return -Errno.EINVAL;
    const index = this.word(keyAddr);
    if (index >= this.spec.maxEntries) return -Errno.E2BIG;
    return this.put(index, valueAddr, flags);
  }

  /** Empties a slot. devmap's rule: EINVAL out of range, and an empty slot is no error. */
  deleteAt(keyAddr: number): number {
    const index = this.word(keyAddr);
    if (index >= this.spec.maxEntries) return -Errno.EINVAL;
    this.clear(this.slotAt(index));
    return 0;
  }

  protected nextKeyAt(keyAddr: number, out: number): number {
    return this.rt.exports.array_next_key(this.addr, keyAddr, out);
  }

  *entries(): IterableIterator<[Uint8Array, Uint8Array]> {
    this.readable("BPF_MAP_LOOKUP_ELEM");
    for (let i = 0; i < this.spec.maxEntries; i++) {
      this.alive();
      this.rt.memory.u32[this.keyAddr >>> 2] = i;
      const shown = this.read(this.keyAddr);
      if (typeof shown !== "number") yield [this.bytes(this.keyAddr, 4), shown];
    }
  }

  protected slotAt(index: number): number {
    return this.slots + index * this.stride;
  }

  protected clear(slot: number): void {
    if (!this.word(slot)) return;
    this.drop(slot);
    this.rt.memory.u8.fill(0, slot, slot + this.stride);
  }

  /** Refills a slot with two words. */
  protected fill(slot: number, first: number, second = 0): void {
    if (this.word(slot)) this.drop(slot);
    this.setWord(slot, first);
    this.setWord(slot + 4, second);
  }

  /** Empties all slots at close, so that what they refer to is let go. */
  protected override release(): void {
    for (let i = 0; i < this.spec.maxEntries; i++) this.clear(this.slotAt(i));
  }
}

/** Index keys and a value of `sizes` bytes; EINVAL otherwise. */
export function checkSlots(spec: MapSpec, sizes: readonly number[], flags: number): number {
  const common = checkCommon(spec);
  if (common) return common;
  const wrong =
    spec.maxEntries === 0 || spec.keySize !== 4 || !sizes.includes(spec.valueSize) || (spec.flags & ~flags) !== 0;
  return wrong ? Errno.EINVAL : 0;
}

/** The flags that maps of devices and sockets take. */
export const DEVICE_FLAGS = BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY;
