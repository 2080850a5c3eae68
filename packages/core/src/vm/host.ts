/** A deterministic host: a clock that moves only when told, seeded randomness, output kept in arrays. */
import { ConnectionTable } from "./conntrack.ts";
import type { Host } from "./env.ts";

export interface VirtualHostOptions {
  readonly seed?: number;
  /** Nanoseconds since boot at the start. Default 1 s. */
  readonly startNs?: bigint;
  /** Unix time of boot in ns, for TAI. Default 2026-01-01. */
  readonly bootUnixNs?: bigint;
  /** Ticks a second. */
  readonly hz?: number;
}

/** Seconds that TAI is ahead of UTC since 2017. */
const TAI_OFFSET_NS = 37_000_000_000n;

/** Lines of trace output that are kept; beyond, the older half goes. */
const MAX_LINES = 1 << 16;

export class VirtualHost implements Host {
  nowNs: bigint;
  /** What programs traced, the latest. */
  readonly lines: string[] = [];
  readonly conntrack = new ConnectionTable();
  #random: number;
  readonly #bootUnixNs: bigint;
  readonly #tickNs: bigint;

  /** Lines that gave way to newer ones. */
  #dropped = 0;

  constructor(options: VirtualHostOptions = {}) {
    this.nowNs = options.startNs ?? 1_000_000_000n;
    this.#random = (options.seed ?? 1) >>> 0;
    this.#bootUnixNs = options.bootUnixNs ?? 1_767_225_600_000_000_000n;
    this.#tickNs = 1_000_000_000n / BigInt(options.hz ?? 1000);
  }

  advance(ns: bigint): void {
    this.nowNs += ns;
  }
  monotonicNs(): bigint {
    return this.nowNs;
  }
  bootNs(): bigint {
    return this.nowNs;
  }
  taiNs(): bigint {
    return this.nowNs + this.#bootUnixNs + TAI_OFFSET_NS;
  }
  jiffies(): bigint {
    return this.nowNs / this.#tickNs;
  }
  /** SplitMix32. */
  random32(): number {
    this.#random = (this.#random + 0x9e3779b9) >>> 0;
    let z = this.#random;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  }
  trace(text: string): void {
    if (this.lines.length >= MAX_LINES) this.#dropped += this.lines.splice(0, MAX_LINES >> 1).length;
    this.lines.push(text);
  }
  save() {
    return {
      now: this.nowNs,
      random: this.#random,
      lines: this.#dropped + this.lines.length,
      conntrack: this.conntrack.save(),
    };
  }
  load(state: unknown): void {
    const s = state as ReturnType<VirtualHost["save"]>;
    this.conntrack.load(s.conntrack);
    this.nowNs = s.now;
    this.#random = s.random;
    // What was dropped meanwhile does not come back.
    this.lines.length = Math.min(this.lines.length, Math.max(0, s.lines - this.#dropped));
  }
}
