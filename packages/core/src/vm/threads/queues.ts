/** The receive queues of a card with RSS: a ring of XDP frames for each CPU, filled by flow. */
import { type XdpMeta, XdpRing } from "../ctx/xdp.ts";
import { XDP } from "../layout.ts";
import type { VmProgram } from "../machine.ts";
import type { Cpus } from "./cpus.ts";
import type { Rss } from "./rss.ts";

/** Where a packet lies: which CPU's ring, which frame of it. */
export interface Place {
  readonly cpu: number;
  readonly index: number;
}

/** Owns its rings until `close`. */
export class XdpQueues {
  /** By CPU: read verdicts and packets here after `run`. */
  readonly rings: readonly XdpRing[];
  readonly #cpus: Cpus;
  readonly #rss: Rss;
  readonly #counts: number[];

  /** @param capacity bytes of a frame, as in `XdpRing`. */
  constructor(cpus: Cpus, rss: Rss, depth: number, capacity?: number) {
    this.#cpus = cpus;
    this.#rss = rss;
    this.rings = Array.from({ length: cpus.count }, () => new XdpRing(cpus.machine.memory, depth, capacity));
    this.#counts = new Array(cpus.count).fill(0);
  }

  /**
   * Copies a packet into the ring that its flow belongs to; rx_queue_index is the CPU unless `meta` says otherwise.
   * Undefined when that ring is full: the packet is dropped, as a card would.
   */
  write(packet: Uint8Array, meta: XdpMeta = {}): Place | undefined {
    const cpu = this.#rss.steer(packet);
    const index = this.#counts[cpu]!;
    const ring = this.rings[cpu]!;
    if (index >= ring.count) return undefined;
    ring.write(index, packet, { rxQueueIndex: cpu, ...meta });
    this.#counts[cpu] = index + 1;
    return { cpu, index };
  }

  /** Packets in a CPU's ring. */
  filled(cpu: number): number {
    return this.#counts[cpu]!;
  }

  /** Runs a program on all packets, every CPU at once. @throws BpfError ECPU */
  async run(program: VmProgram, repeat = 1): Promise<void> {
    const runs = this.rings.map(({ ctx, verdicts }, cpu) =>
      this.#cpus.run(cpu, program, { ctx, stride: XDP.STRIDE, count: this.#counts[cpu]!, verdicts, repeat }),
    );
    const failed = (await Promise.allSettled(runs)).find((r) => r.status === "rejected");
    if (failed) throw failed.reason;
  }

  /** Empties the rings for the next packets. */
  clear(): void {
    this.#counts.fill(0);
  }

  close(): void {
    for (const ring of this.rings) ring.close();
  }
  [Symbol.dispose](): void {
    this.close();
  }
}
