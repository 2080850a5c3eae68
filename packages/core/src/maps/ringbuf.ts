/**
 * ringbuf: records from programs to one consumer; user_ringbuf: the other way. Positions, record heads and flags lie in
 * memory as the kernel's mmap shows them. Source: kernel/bpf/ringbuf.c.
 */
import { Errno } from "../errors/index.ts";
import { BPF_F_NUMA_NODE, type MapSpec, MapType } from "../object/index.ts";
import * as L from "./layout.ts";
import { checkCommon, MapBase, type MapKind } from "./map.ts";
import type { MapRuntime } from "./runtime.ts";

/** ringbuf_map_alloc. */
function check(spec: MapSpec): number {
  const common = checkCommon(spec);
  if (common) return common;
  const size = spec.maxEntries;
  const pow2 = size > 0 && 2 ** Math.round(Math.log2(size)) === size;
  if (spec.flags & ~BPF_F_NUMA_NODE || spec.keySize || spec.valueSize || !pow2 || size % L.RING_PAGE) {
    return Errno.EINVAL;
  }
  return 0;
}

abstract class RingBase extends MapBase {
  protected readonly data: number;

  constructor(rt: MapRuntime, spec: MapSpec) {
    super(rt, spec);
    const start = this.own(3 * L.RING_PAGE + 2 * spec.maxEntries, L.RING_PAGE);
    this.data = start + 3 * L.RING_PAGE;
    this.set(L.MAP_VALUES, this.data);
    this.setWord(this.data + L.RING_SELF, this.addr);
    this.announceRing();
  }

  /** Programs touch the records only: a record's own bounds are the verifier's. */
  protected announceRing(): void {
    this.announceWhole(this.data, this.data + 2 * this.spec.maxEntries, true);
  }

  /** Bytes consumed since the beginning. */
  get consumerPosition(): bigint {
    return this.position(L.RING_CONSUMER);
  }

  /** Bytes produced since the beginning. */
  get producerPosition(): bigint {
    return this.position(L.RING_PRODUCER);
  }

  protected position(page: number): bigint {
    const { view } = this.rt.memory;
    if (!this.rt.memory.shared) return view.getBigUint64(this.data + page, true);
    return Atomics.load(new BigUint64Array(this.rt.memory.wasm.buffer, this.data + page, 1), 0);
  }

  protected setPosition(page: number, value: bigint): void {
    const { view } = this.rt.memory;
    if (!this.rt.memory.shared) view.setBigUint64(this.data + page, value, true);
    else Atomics.store(new BigUint64Array(this.rt.memory.wasm.buffer, this.data + page, 1), 0, value);
  }

  protected headAt(position: bigint): number {
    return this.data + Number(position & BigInt(this.spec.maxEntries - 1));
  }

  override lookup(): undefined {
    this.readable("BPF_MAP_LOOKUP_ELEM");
    return this.fail("BPF_MAP_LOOKUP_ELEM", Errno.ENOTSUPP);
  }

  updateAt(): number {
    return -Errno.ENOTSUPP;
  }

  deleteAt(): number {
    return -Errno.ENOTSUPP;
  }

  protected nextKeyAt(): number {
    return -Errno.ENOTSUPP;
  }

  // biome-ignore lint/correctness/useYield: records are consumed, not walked.
  *entries(): IterableIterator<[Uint8Array, Uint8Array]> {
    this.readable("BPF_MAP_GET_NEXT_KEY");
  }
}

export class RingbufMap extends RingBase {
  /** Called when a program's record wakes the consumer (and may already be read). */
  onWakeup: (() => void) | undefined;

  /**
   * Hands each committed record to `take`, oldest first, and makes its room free again; stops at one that is still being
   * written, or after `max`. The bytes are a view for the length of the call only. @returns how many records were taken.
   */
  consume(take: (record: Uint8Array) => void, max = Number.POSITIVE_INFINITY): number {
    this.alive();
    const { memory } = this.rt;
    let at = this.consumerPosition;
    let taken = 0;
    while (taken < max && at < this.producerPosition) {
      const head = this.headAt(at);
      const word = memory.shared ? Atomics.load(memory.u32, head >>> 2) : this.word(head);
      if (word & L.RING_BUSY) break;
      const length = word & ~L.RING_DISCARD;
      if (!(word & L.RING_DISCARD)) {
        take(memory.u8.subarray(head + L.RECORD_HEAD, head + L.RECORD_HEAD + length));
        taken++;
      }
      at += BigInt(wholeRecord(length));
      this.setPosition(L.RING_CONSUMER, at);
    }
    return taken;
  }

  override notified(): void {
    this.onWakeup?.();
  }
}

export class UserRingbufMap extends RingBase {
  /** Adds a record for programs to drain. False when there is no room. */
  produce(record: Uint8Array): boolean {
    this.alive();
    const from = this.producerPosition;
    const size = wholeRecord(record.length);
    if (Number(from - this.consumerPosition) + size > this.spec.maxEntries) return false;
    const head = this.headAt(from);
    this.setWord(head, record.length);
    this.setWord(head + 4, 0);
    this.rt.memory.u8.set(record, head + L.RECORD_HEAD);
    this.setPosition(L.RING_PRODUCER, from + BigInt(size));
    return true;
  }
}

function wholeRecord(length: number): number {
  return Math.ceil((length + L.RECORD_HEAD) / 8) * 8;
}

export const ringbufKind: MapKind = {
  type: MapType.BPF_MAP_TYPE_RINGBUF,
  check,
  create: (rt, spec) => new RingbufMap(rt, spec),
};

export const userRingbufKind: MapKind = {
  type: MapType.BPF_MAP_TYPE_USER_RINGBUF,
  check,
  create: (rt, spec) => new UserRingbufMap(rt, spec),
};
