/**
 * `Target`: the one interface behind which `sim` and `linux` stand. Network functions, the plane and the command use
 * nothing else, so the same test suite runs on both.
 *
 * All calls are synchronous: bpf(2) answers in microseconds, the simulator in less. Every live object holds kernel or
 * engine resources until `close()` (also `using`); closing twice is fine, using a closed object is a TypeError.
 */
import type { Hook, XdpHook } from "./hook.ts";
import type { CollectionSpec, MapSpec, ProgramSpec } from "./spec.ts";

export interface Target {
  readonly name: "sim" | "linux";
  /** Online CPUs that per-CPU values are spread over (the kernel's *possible* CPUs on linux). */
  readonly cpus: number;
  /**
   * Creates the maps, fills their contents and loads the programs; nothing stays behind when it throws.
   * @throws VerifierError for a refused program, UnsupportedError for a missing feature, SysError on linux.
   */
  load(spec: CollectionSpec, options?: LoadOptions): Collection;
  /**
   * The index of a network device, as redirects and devmaps name it.
   * @throws RangeError when there is no such device.
   */
  ifindex(device: string): number;
  /**
   * Attaches a loaded program to a hook until the link is closed.
   * @throws RangeError for a hook that does not exist, SysError with the kernel's answer,
   * UnsupportedError for a kind of hook that the target does not have.
   */
  attach(program: Program, hook: XdpHook): Link;
  attach(program: Program, hook: Hook): Link<Hook>;
}

export interface LoadOptions {
  /** Only these programs (and the maps they use); all of them when absent. */
  readonly programs?: readonly string[];
  /** Live maps to use in place of creating them, by map name: shared state between collections. */
  readonly reuse?: ReadonlyMap<string, BpfMap>;
}

export interface Collection {
  readonly spec: CollectionSpec;
  readonly programs: ReadonlyMap<string, Program>;
  readonly maps: ReadonlyMap<string, BpfMap>;
  close(): void;
  [Symbol.dispose](): void;
}

export interface Program {
  readonly spec: ProgramSpec;
  /** Kernel id on linux, a running number on sim. */
  readonly id: number;
  /** Runs once (or `repeat` times) on a packet, as BPF_PROG_TEST_RUN does. */
  testRun(input: TestRunInput): TestRunResult;
  close(): void;
  [Symbol.dispose](): void;
}

export interface TestRunInput {
  /** The frame from its Ethernet header; not changed. The kernel refuses fewer than 14 bytes with EINVAL. */
  readonly packet: Uint8Array;
  /** The ctx to start with, in the kernel's layout (for XDP `struct xdp_md`: data_meta, data, data_end as offsets). */
  readonly ctx?: Uint8Array;
  /** How often to run on the same bytes; packet changes accumulate as in the kernel. Default 1. */
  readonly repeat?: number;
}

export interface TestRunResult {
  /** r0 as an unsigned 32-bit number. */
  readonly verdict: number;
  /** The packet after the run: a copy, its length changed by head and tail adjusts. */
  readonly packet: Uint8Array;
  /** The ctx after the run where one was given. */
  readonly ctx: Uint8Array | undefined;
  /** Mean nanoseconds a run, as the target measures it. */
  readonly durationNs: number;
}

/** A live map. Keys and values are bytes in memory order; what is returned is a copy, never a view. */
export interface BpfMap {
  readonly spec: MapSpec;
  readonly id: number;
  /** The value, or undefined on a miss. Of a per-CPU map: all values, one after the other, each padded to 8 bytes. */
  lookup(key: Uint8Array): Uint8Array | undefined;
  /** @throws SysError: E2BIG when full, EEXIST and ENOENT by flag, EINVAL for a bad key. */
  update(key: Uint8Array, value: Uint8Array, flags?: number): void;
  /** False when there was no such key. @throws SysError EINVAL where the type has no delete (arrays). */
  delete(key: Uint8Array): boolean;
  /** Every entry once, in the map's own order; entries added or deleted meanwhile may or may not appear. */
  entries(): IterableIterator<[key: Uint8Array, value: Uint8Array]>;
  close(): void;
  [Symbol.dispose](): void;
}

/** One attachment. */
export interface Link<H extends Hook = XdpHook> {
  readonly hook: H;
  /** The kernel's id of its link; 0 where the attachment is no link there. On sim a running number. */
  readonly id: number;
  /** The XDP mode in force; `native` on linux for hooks that have no modes. */
  readonly mode: "native" | "generic" | "sim";
  /** Why native mode was not had, in one line; undefined when it was or was not asked for. */
  readonly fallbackReason: string | undefined;
  /** Puts another program in place atomically: no packet meets neither. */
  update(program: Program): void;
  close(): void;
  [Symbol.dispose](): void;
}
