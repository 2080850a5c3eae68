/**
 * Reading what programs send with `bpf_perf_event_output`: one ring for each CPU. Prefer a ring buffer: this is for
 * programs that were written for kernels before 5.8, and for packet samples.
 * Source: include/uapi/linux/perf_event.h `struct perf_event_mmap_page`, `enum perf_event_type`.
 */
import { MapType } from "@ebplane/core/object";
import { type LinuxMap, onlineCpus } from "../bpf/index.ts";
import { mapFd, type Region, releaseRegion, scratch } from "../mem/index.ts";
import { check, close, MAP_SHARED, NR, PAGE_SIZE, PROT_READ, PROT_WRITE, pollReadable, syscall } from "../sys/index.ts";
import { CopyBuffer } from "./copy.ts";

const PERF_TYPE_SOFTWARE = 1;
const PERF_COUNT_SW_BPF_OUTPUT = 10;
const PERF_SAMPLE_RAW = 1 << 10;
const PERF_FORMAT_LOST = 1 << 4;
const PERF_FLAG_FD_CLOEXEC = 8;
const PERF_EVENT_IOC_ENABLE = 0x2400;
const PERF_RECORD_LOST = 2;
const PERF_RECORD_SAMPLE = 9;
const ATTR_SIZE = 128;
/** Where `data_head` and `data_tail` stand in the first page, in 8-byte words. */
const DATA_HEAD = 1024 / 8;
const DATA_TAIL = DATA_HEAD + 1;

interface CpuRing {
  readonly cpu: number;
  readonly fd: number;
  /** The kernel counts what it lost (Linux 6.0). */
  readonly counts: boolean;
  readonly region: Region;
  readonly positions: BigUint64Array;
  readonly words: Int32Array;
  readonly bytes: Uint8Array;
}

export class PerfReader {
  readonly #map: LinuxMap;
  readonly #rings: CpuRing[] = [];
  readonly #copy = new CopyBuffer();
  #lost = 0;
  /** What ends each watch; closing ends them all. */
  readonly #watches = new Set<() => void>();
  #open = true;

  /**
   * Opens a ring for each online CPU and puts it into the map, which stays the caller's and must outlive the reader.
   * `pages` of data a CPU, a power of two.
   */
  constructor(map: LinuxMap, pages = 64) {
    if (map.spec.type !== MapType.BPF_MAP_TYPE_PERF_EVENT_ARRAY) {
      throw new TypeError(`map ${map.spec.name}: expected a perf_event_array`);
    }
    if (!Number.isInteger(Math.log2(pages))) throw new RangeError(`pages: expected a power of two, got ${pages}`);
    this.#map = map;
    try {
      for (const cpu of onlineCpus()) this.#rings.push(openRing(map, cpu, pages));
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /**
   * Events that the kernel had no room for. Before Linux 6.0 as far as it has said so: with the next event of that CPU
   * that it had room for.
   */
  get lost(): number {
    if (!this.#open) return this.#lost;
    const counted = this.#rings.map(({ fd, counts }) => (counts ? readLost(fd) : undefined));
    return counted.every((n) => n !== undefined) ? counted.reduce((sum, n) => sum + n, 0) : this.#lost;
  }

  /** Hands every event that is there to `callback`. The bytes are valid until it returns. @returns how many. */
  consume(callback: (event: Uint8Array, cpu: number) => void): number {
    this.#check();
    let count = 0;
    for (const ring of this.#rings) count += this.#consumeRing(ring, callback);
    return count;
  }

  #consumeRing({ positions, words, bytes, cpu }: CpuRing, callback: (event: Uint8Array, cpu: number) => void): number {
    this.#check();
    const mask = bytes.length - 1;
    const head = Number(Atomics.load(positions, DATA_HEAD));
    let tail = Number(positions[DATA_TAIL]);
    let count = 0;
    try {
      while (tail < head) {
        const at = tail & mask;
        const type = words[at >>> 2];
        const size = words[((at + 4) & mask) >>> 2]! >>> 16;
        tail += size;
        if (type === PERF_RECORD_SAMPLE) {
          const length = words[((at + 8) & mask) >>> 2]!;
          count++;
          callback(this.#event(words, bytes, (at + 12) & mask, length), cpu);
        } else if (type === PERF_RECORD_LOST) this.#lost += words[((at + 16) & mask) >>> 2]!;
      }
    } finally {
      if (this.#open) Atomics.store(positions, DATA_TAIL, BigInt(tail));
    }
    return count;
  }

  /** A record may go on at the ring's start. */
  #event(words: Int32Array, bytes: Uint8Array, at: number, length: number): Uint8Array {
    const first = bytes.length - at;
    if (length <= first) return this.#copy.words(words, at >>> 2, length);
    const out = this.#copy.room(length);
    out.set(bytes.subarray(at));
    out.set(bytes.subarray(0, length - first), first);
    return out;
  }

  /** Calls `callback` for each event as they come, until the returned function is called. */
  watch(callback: (event: Uint8Array, cpu: number) => void): () => void {
    this.#check();
    const polls = this.#rings.map((ring) => pollReadable(ring.fd, () => this.#consumeRing(ring, callback)));
    this.consume(callback);
    // The kernel says once that events are there: not to a loop that does not wait yet. It does so after the next timers
    // at the latest, of which this is the second turn.
    let look = setImmediate(() => {
      look = setImmediate(() => this.consume(callback));
    });
    const stop = () => {
      this.#watches.delete(stop);
      clearImmediate(look);
      for (const poll of polls) poll.close();
    };
    this.#watches.add(stop);
    return stop;
  }

  /** Events as they come, each an array of its own, with their CPU. Leaving the loop stops the watching. */
  async *[Symbol.asyncIterator](): AsyncGenerator<{ readonly cpu: number; readonly event: Uint8Array }> {
    const waiting: { cpu: number; event: Uint8Array }[] = [];
    let wake: (() => void) | undefined;
    const stop = this.watch((event, cpu) => {
      waiting.push({ cpu, event: event.slice() });
      wake?.();
    });
    try {
      for (;;) {
        yield* waiting.splice(0);
        if (waiting.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      stop();
    }
  }

  #check(): void {
    if (!this.#open) throw new TypeError(`perf reader ${this.#map.spec.name}: is closed`);
  }

  close(): void {
    if (!this.#open) return;
    this.#lost = this.lost;
    this.#open = false;
    for (const stop of this.#watches) stop();
    for (const { fd, region } of this.#rings) {
      releaseRegion(region);
      close(fd);
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** `{ u64 value; u64 lost; }` by PERF_FORMAT_LOST. */
function readLost(fd: number): number {
  return scratch((memory) => {
    const { address, view } = memory.take(16);
    check("read", syscall(NR.read, fd, address, 16), "perf event");
    return Number(view.getBigUint64(8, true));
  });
}

function openRing(map: LinuxMap, cpu: number, pages: number): CpuRing {
  const counting = openEvent(cpu, PERF_FORMAT_LOST);
  const counts = counting >= 0;
  const fd = counts ? counting : check("perf_event_open", openEvent(cpu, 0), `cpu ${cpu}`);
  try {
    const region = mapFd(fd, (pages + 1) * PAGE_SIZE, 0, PROT_READ | PROT_WRITE, MAP_SHARED);
    const size = pages * PAGE_SIZE;
    const key = new Uint8Array(Uint32Array.of(cpu).buffer);
    map.update(key, new Uint8Array(Uint32Array.of(fd).buffer));
    check("ioctl(PERF_EVENT_IOC_ENABLE)", syscall(NR.ioctl, fd, PERF_EVENT_IOC_ENABLE, 0));
    return {
      cpu,
      fd,
      counts,
      region,
      positions: new BigUint64Array(region.buffer, 0, PAGE_SIZE / 8),
      words: new Int32Array(region.buffer, PAGE_SIZE, size / 4),
      bytes: new Uint8Array(region.buffer, PAGE_SIZE, size),
    };
  } catch (error) {
    close(fd);
    throw error;
  }
}

/** @returns the fd, or `-errno`. */
function openEvent(cpu: number, readFormat: number): number {
  return scratch((memory) => {
    const attr = memory.take(ATTR_SIZE);
    attr.view.setUint32(0, PERF_TYPE_SOFTWARE, true);
    attr.view.setUint32(4, ATTR_SIZE, true);
    attr.view.setBigUint64(8, BigInt(PERF_COUNT_SW_BPF_OUTPUT), true);
    attr.view.setBigUint64(16, 1n, true); // sample_period
    attr.view.setBigUint64(24, BigInt(PERF_SAMPLE_RAW), true);
    attr.view.setBigUint64(32, BigInt(readFormat), true);
    attr.view.setUint32(48, 1, true); // wakeup_events
    return syscall(NR.perf_event_open, attr.address, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
  });
}
