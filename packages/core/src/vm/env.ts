/**
 * What helpers stand on: the machine as they see it, the host behind it, and the shape of an implementation.
 * The descriptive side of a helper (name, argument types, program types) is object/helpers.ts; here is only code.
 */

import type { Btf } from "../btf/index.ts";
import type { MapRuntime, RuntimeFunction, VmMap } from "../maps/index.ts";
import type { Memory } from "../mem/index.ts";
import type { Objects } from "./helpers/objects.ts";
import type { CallbackLoop } from "./interp.ts";

/**
 * The world outside of a machine: clocks, randomness, output, and the network model that answers lookups.
 * Everything nondeterministic comes from here, so a run with the same host state and memory repeats exactly.
 */
export interface Host {
  /** CLOCK_MONOTONIC in ns: ktime_get_ns. */
  monotonicNs(): bigint;
  /** CLOCK_BOOTTIME in ns. */
  bootNs(): bigint;
  /** CLOCK_TAI in ns. */
  taiNs(): bigint;
  /** Ticks since boot: jiffies64. */
  jiffies(): bigint;
  /** Uniform unsigned 32 bits. */
  random32(): number;
  /** One line of trace_printk, without its newline if it had one. */
  trace(text: string): void;
  /** struct bpf_fib_lookup at `params` in and out; the answer is BPF_FIB_LKUP_RET_* or -errno. */
  fibLookup?(memory: Memory, params: number, size: number, flags: number, ctx: number): number;
  /** A socket (a SocketBuffer's address, 0 for none) for a struct bpf_sock_tuple of `size` bytes. */
  socketLookup?(memory: Memory, query: SocketQuery): number;
  /** Sends a copy of the packet out of (flags 1: into) a device. 0 or -errno. */
  cloneRedirect?(memory: Memory, skb: number, ifindex: number, flags: number): number;
  /** The cookie of a socket; its address where the host does not say. */
  socketCookie?(memory: Memory, socket: number): bigint;
  /** Sets or reads a socket's option: 0 or -errno. */
  socketOption?(memory: Memory, option: SocketOption): number;
  /** Binds a socket to a struct sockaddr of `length` bytes: 0 or -errno. */
  bindSocket?(memory: Memory, socket: number, address: number, length: number): number;
  /** The cgroup of the task that runs now; the root (1) where the host does not say. */
  currentCgroup?(): bigint;
  /** The ancestor of a cgroup at a level, 0 the root; 0n where there is none. */
  cgroupAncestor?(cgroup: bigint, level: number): bigint;
  netnsCookie?(): bigint;
  /** Gives the packet of a ctx to a socket. 0 or -errno. */
  assignSocket?(memory: Memory, ctx: number, socket: number): number;
  /** The table of connections that kfuncs look into; none answers a miss. */
  readonly conntrack?: Conntrack;
  /** Whether there is a network namespace with this id. */
  hasNetns?(id: number): boolean;
  /** MTU of a device, undefined when there is no such ifindex. */
  deviceMtu?(ifindex: number): number | undefined;
  /** Everything above as data, for snapshots: `load` puts it back. */
  save?(): unknown;
  load?(state: unknown): void;
}

export interface ConnectionKey {
  /** -1 for the program's own namespace. */
  readonly netns: number;
  readonly protocol: number;
  readonly zone: number;
  /** 4 or 16 bytes. */
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

/** One tracked connection; programs change what is not readonly. */
export interface Connection {
  readonly key: ConnectionKey;
  /** IPS_* bits. */
  status: number;
  timeoutMs: number;
  nat?: {
    readonly source?: { readonly address: Uint8Array; readonly port: number };
    readonly destination?: { readonly address: Uint8Array; readonly port: number };
  };
}

export interface Conntrack {
  /** The connection of a packet, and whether the packet goes against its direction. */
  lookup(key: ConnectionKey): { readonly connection: Connection; readonly reply: boolean } | undefined;
  /** A connection that is not in the table yet; undefined when there is no room. */
  create(key: ConnectionKey): Connection | undefined;
  /** Puts it into the table; false when another one is there. */
  insert(connection: Connection): boolean;
}

export interface SocketOption {
  readonly socket: number;
  readonly level: number;
  readonly name: number;
  /** Of the value: read for `set`, else written. */
  readonly address: number;
  readonly length: number;
  readonly set: boolean;
}

export interface SocketQuery {
  readonly ctx: number;
  readonly protocol: "tcp" | "udp";
  /** Only sockets that are not request sockets or time-wait: skc_lookup_tcp sets false. */
  readonly full: boolean;
  readonly tuple: number;
  readonly size: number;
  readonly netns: bigint;
  readonly flags: bigint;
}

/** The machine as helpers see it. */
export interface Env {
  readonly memory: Memory;
  readonly host: Host;
  readonly runtime: MapRuntime;
  /** The CPU that runs now. */
  readonly cpu: number;
  /** Timers by the address of their struct bpf_timer. */
  readonly timers: Map<number, Timer>;
  /** Objects that programs made. */
  readonly objects: Objects;
  /** Address of the CPU block (layout.ts `CPU`). */
  readonly cpuBlock: number;
  /** The map whose header stands at `address`. */
  mapAt(address: number): VmMap | undefined;
  /** Gives a 64-bit result: answers the low half, keeps the high one where engines look for it. */
  wide(value: bigint): number;
  /** Tells a guarded run that the program now owns `size` bytes at `address` (0: nothing). Answers the address. */
  grant(address: number, size: number, name: string, writable: boolean): number;
  /** Takes it back. */
  revoke(address: number): void;
}

/**
 * One helper. `args` has a letter a parameter: `i` the low 32 bits of its register, `w` all 64 as two numbers, low half
 * first. `ret` says how the number that `fn` answers fills r0: `i` sign-extended (int, -errno), `u` zero-extended
 * (pointers, unsigned ints), `w` the low half of a result given to `env.wide`, `v` nothing (r0 becomes 0).
 * Numbers in and out are int32 (unsigned ones may be negative): the shape of a wasm import without i64.
 */
export interface HelperImpl {
  readonly args: string;
  readonly ret: "i" | "u" | "w" | "v";
  readonly fn: (env: Env, ...args: number[]) => number;
  /** The map runtime's function that does the same with the same arguments: an engine may call it directly. */
  readonly runtime?: RuntimeFunction;
}

/** The program that calls a helper, for those that keep it for later; its runner is there once it is loaded. */
export interface Self {
  runner:
    | {
        call(pc: number, args: readonly number[], high?: number): number;
        readonly exceptionCallback: number | undefined;
      }
    | undefined;
  readonly progType: number;
  /** The types of its collection, which name the objects that it makes. */
  readonly btf?: Btf | undefined;
}

/** A helper whose implementation depends on the program that calls it. */
export type HelperFactory = (self: Self) => HelperImpl;

export interface Timer {
  readonly map: number;
  /** CLOCK_MONOTONIC at which it fires; undefined while it is not armed. */
  due: bigint | undefined;
  call: ((args: readonly number[]) => void) | undefined;
  running: boolean;
}

/** A helper that runs a callback many times. `start` answers its r0 at once, or the loop. `args` as in HelperImpl. */
export interface LoopHelper {
  readonly args: string;
  /** The register with the callback; 2 when absent. */
  readonly callback?: number;
  readonly start: (env: Env, ...args: [number, number, number, number, number]) => CallbackLoop | number;
}

/** Up to ten numbers: five registers, of which some are two. */
type Halves = [number, number, number, number, number, number, number, number, number, number];

export function helper(args: string, ret: HelperImpl["ret"], fn: (env: Env, ...args: Halves) => number): HelperImpl {
  return { args, ret, fn: fn as HelperImpl["fn"] };
}

/** Names under which helpers grant what only other helpers may take. */
export const RINGBUF_RECORD = "ring buffer record";
export const SOCKET = "socket";
