/**
 * Reading a BPF ring buffer (BPF_MAP_TYPE_RINGBUF) through its mapping: no system call but to wait.
 *
 * Records are copied into memory of JavaScript's own before anyone sees them: the mapping is read-only, and writing to
 * a view of it would end the process. What does not fit is refused to the *program* (`bpf_ringbuf_reserve` fails) and
 * is its to count; nothing is lost between kernel and reader.
 * Source: Documentation/bpf/ringbuf.rst, kernel/bpf/ringbuf.c.
 */
import { MapType } from "@ebplane/core/object";
import type { LinuxMap } from "../bpf/index.ts";
import { mapFd, type Region, releaseRegion } from "../mem/index.ts";
import { MAP_SHARED, PAGE_SIZE, PROT_READ, PROT_WRITE, pollReadable } from "../sys/index.ts";
import { CopyBuffer } from "./copy.ts";

const BUSY = 0x80000000 | 0; // Being written: as a signed number, below zero.
const DISCARD = 1 << 30;
const LENGTH = DISCARD - 1;
const HEADER = 8;

export class RingBufReader {
  readonly #map: LinuxMap;
  readonly #consumer: Region;
  readonly #producer: Region;
  readonly #consumerPosition: BigUint64Array;
  readonly #producerPosition: BigUint64Array;
  readonly #words: Int32Array;
  readonly #mask: number;
  readonly #copy = new CopyBuffer();
  #position: number;
  /** What ends each watch; closing ends them all. */
  readonly #watches = new Set<() => void>();
  #open = true;

  /** The map stays the caller's and must outlive the reader. One reader a map: positions are the map's. */
  constructor(map: LinuxMap) {
    if (map.spec.type !== MapType.BPF_MAP_TYPE_RINGBUF) throw new TypeError(`map ${map.spec.name}: expected a ringbuf`);
    this.#map = map;
    const size = map.spec.maxEntries;
    this.#consumer = mapFd(map.fd, PAGE_SIZE, 0, PROT_READ | PROT_WRITE, MAP_SHARED);
    try {
      // The data follow the producer's page twice over, so that no record is in two pieces.
      this.#producer = mapFd(map.fd, PAGE_SIZE + 2 * size, PAGE_SIZE, PROT_READ, MAP_SHARED);
    } catch (error) {
      releaseRegion(this.#consumer);
      throw error;
    }
    this.#consumerPosition = new BigUint64Array(this.#consumer.buffer, 0, 1);
    this.#producerPosition = new BigUint64Array(this.#producer.buffer, 0, 1);
    this.#words = new Int32Array(this.#producer.buffer, PAGE_SIZE, (2 * size) / 4);
    this.#mask = size - 1;
    this.#position = Number(this.#consumerPosition[0]);
  }

  /** Bytes that wait to be read, headers included. */
  get pending(): number {
    this.#check();
    return Number(Atomics.load(this.#producerPosition, 0)) - this.#position;
  }

  /**
   * Hands every record that is there to `callback`, at most `max`. The bytes are valid until it returns.
   * @returns how many.
   */
  consume(callback: (record: Uint8Array) => void, max = Number.POSITIVE_INFINITY): number {
    this.#check();
    const words = this.#words;
    let count = 0;
    let position = this.#position;
    try {
      for (let end = this.#end(); position < end && count < max; end = this.#end()) {
        while (position < end && count < max) {
          const at = position & this.#mask;
          const header = Atomics.load(words, at >>> 2);
          // A record that a program is still writing holds up those after it.
          if (header & BUSY) return count;
          const length = header & LENGTH;
          position += (length + HEADER + 7) & ~7;
          if (header & DISCARD) continue;
          count++;
          callback(this.#copy.words(words, (at + HEADER) >>> 2, length));
        }
        this.#release(position);
      }
      return count;
    } finally {
      // Also when the callback throws: its record counts as read.
      if (this.#open) this.#release(position);
    }
  }

  #end(): number {
    return Number(Atomics.load(this.#producerPosition, 0));
  }

  #release(position: number): void {
    if (position === this.#position) return;
    this.#position = position;
    Atomics.store(this.#consumerPosition, 0, BigInt(position));
  }

  /** Calls `callback` for each record as they come, until the returned function is called. */
  watch(callback: (record: Uint8Array) => void): () => void {
    this.#check();
    const poll = pollReadable(this.#map.fd, () => this.consume(callback));
    this.consume(callback);
    const stop = () => {
      this.#watches.delete(stop);
      poll.close();
    };
    this.#watches.add(stop);
    return stop;
  }

  /** Records as they come, each an array of its own. Leaving the loop stops the watching. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    const waiting: Uint8Array[] = [];
    let wake: (() => void) | undefined;
    const stop = this.watch((record) => {
      waiting.push(record.slice());
      wake?.();
    });
    try {
      for (;;) {
        const batch = waiting.splice(0);
        yield* batch;
        if (waiting.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      stop();
    }
  }

  #check(): void {
    if (!this.#open) throw new TypeError(`ring buffer ${this.#map.spec.name}: is closed`);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    for (const stop of this.#watches) stop();
    releaseRegion(this.#consumer);
    releaseRegion(this.#producer);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
