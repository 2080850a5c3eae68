/**
 * Writing to a user ring buffer (BPF_MAP_TYPE_USER_RINGBUF), which a program drains with `bpf_user_ringbuf_drain`.
 * Source: kernel/bpf/ringbuf.c `__bpf_user_ringbuf_peek`.
 */
import { MapType } from "@ebplane/core/object";
import type { LinuxMap } from "../bpf/index.ts";
import { mapFd, type Region, releaseRegion } from "../mem/index.ts";
import { MAP_SHARED, PAGE_SIZE, PROT_READ, PROT_WRITE } from "../sys/index.ts";

const HEADER = 8;

export class UserRingBufWriter {
  readonly #name: string;
  readonly #consumer: Region;
  readonly #producer: Region;
  readonly #consumerPosition: BigUint64Array;
  readonly #producerPosition: BigUint64Array;
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #size: number;
  #position: number;
  #open = true;

  /** The map stays the caller's and must outlive the writer. One writer a map. */
  constructor(map: LinuxMap) {
    if (map.spec.type !== MapType.BPF_MAP_TYPE_USER_RINGBUF) {
      throw new TypeError(`map ${map.spec.name}: expected a user_ringbuf`);
    }
    this.#name = map.spec.name;
    this.#size = map.spec.maxEntries;
    this.#consumer = mapFd(map.fd, PAGE_SIZE, 0, PROT_READ, MAP_SHARED);
    try {
      const length = PAGE_SIZE + 2 * this.#size;
      this.#producer = mapFd(map.fd, length, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED);
    } catch (error) {
      releaseRegion(this.#consumer);
      throw error;
    }
    this.#consumerPosition = new BigUint64Array(this.#consumer.buffer, 0, 1);
    this.#producerPosition = new BigUint64Array(this.#producer.buffer, 0, 1);
    this.#words = new Int32Array(this.#producer.buffer, PAGE_SIZE, (2 * this.#size) / 4);
    this.#bytes = new Uint8Array(this.#producer.buffer, PAGE_SIZE, 2 * this.#size);
    this.#position = Number(this.#producerPosition[0]);
  }

  /** Puts a record into the ring. False when there is no room for it now. @throws RangeError when there never is. */
  write(record: Uint8Array): boolean {
    if (!this.#open) throw new TypeError(`user ring buffer ${this.#name}: is closed`);
    const total = (record.length + HEADER + 7) & ~7;
    if (total > this.#size) {
      throw new RangeError(`user ring buffer ${this.#name}: need ${total} bytes, the ring has ${this.#size}`);
    }
    const used = this.#position - Number(Atomics.load(this.#consumerPosition, 0));
    if (used + total > this.#size) return false;
    const at = this.#position & (this.#size - 1);
    this.#bytes.set(record, at + HEADER);
    this.#words[(at >>> 2) + 1] = 0;
    Atomics.store(this.#words, at >>> 2, record.length);
    this.#position += total;
    // The kernel reads the position first and the header after it.
    Atomics.store(this.#producerPosition, 0, BigInt(this.#position));
    return true;
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    releaseRegion(this.#consumer);
    releaseRegion(this.#producer);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
