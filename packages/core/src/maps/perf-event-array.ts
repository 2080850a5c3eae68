/**
 * perf_event_array: a reader a slot, to which programs write records (bpf_perf_event_output). Here a reader is a
 * bounded queue of the host's; what does not fit is counted as lost. Source: kernel/bpf/arraymap.c, kernel/trace/bpf_trace.c.
 */
import { Errno } from "../errors/index.ts";
import { MapType } from "../object/index.ts";
import type { MapKind } from "./map.ts";
import { checkFdArray, FdArrayMap } from "./prog-array.ts";

/** Reads the records of one slot, oldest first. */
export interface PerfReader {
  /** The next record, or undefined. */
  read(): Uint8Array | undefined;
  /** Records dropped for want of room. */
  readonly lost: number;
  close(): void;
}

interface Buffer {
  readonly room: number;
  readonly records: Uint8Array[];
  used: number;
  lost: number;
}

/** A record's head in the kernel's ring: perf_event_header and the size word. */
const RECORD_HEAD = 12;

export class PerfEventArrayMap extends FdArrayMap {
  readonly #buffers = new Map<number, Buffer>();

  /** Opens slot `index` with room for `bytes` of records, rounded as the kernel's ring rounds them. */
  openReader(index: number, bytes: number): PerfReader {
    this.writable("BPF_MAP_UPDATE_ELEM");
    if (index >= this.spec.maxEntries) this.fail("BPF_MAP_UPDATE_ELEM", Errno.E2BIG, `slot ${index}`);
    const buffer: Buffer = { room: bytes, records: [], used: 0, lost: 0 };
    this.#buffers.set(index, buffer);
    this.fill(this.slotAt(index), 1);
    return {
      read: () => {
        const record = buffer.records.shift();
        if (record) buffer.used -= recordSize(record.length);
        return record;
      },
      get lost() {
        return buffer.lost;
      },
      close: () => {
        if (this.#buffers.get(index) === buffer) this.clear(this.slotAt(index));
      },
    };
  }

  /**
   * bpf_perf_event_output to slot `index`: 0, -E2BIG, -ENOENT without a reader, -ENOSPC when the record was lost. `fill`
   * makes the record's bytes, and is called only where they are kept.
   */
  output(index: number, length: number, fill: (record: Uint8Array) => void): number {
    if (index >= this.spec.maxEntries) return -Errno.E2BIG;
    const buffer = this.#buffers.get(index);
    if (!buffer) return -Errno.ENOENT;
    const size = recordSize(length);
    if (buffer.used + size > buffer.room) {
      buffer.lost++;
      return -Errno.ENOSPC;
    }
    buffer.used += size;
    const record = new Uint8Array(length);
    fill(record);
    buffer.records.push(record);
    return 0;
  }

  /** Only readers that `openReader` made stand in slots: no number names one. */
  protected put(): number {
    return -Errno.EBADF;
  }

  protected override read(): number {
    return Errno.ENOTSUPP;
  }

  protected override drop(slot: number): void {
    this.#buffers.delete((slot - this.slots) / this.stride);
  }
}

function recordSize(length: number): number {
  return Math.ceil((RECORD_HEAD + length) / 8) * 8;
}

export const perfEventArrayKind: MapKind = {
  type: MapType.BPF_MAP_TYPE_PERF_EVENT_ARRAY,
  check: checkFdArray,
  create: (rt, spec) => new PerfEventArrayMap(rt, spec),
};
