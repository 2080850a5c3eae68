/**
 * The declarations of `ebplane/bpf` that editors type-check packet programs (`*.bpf.ts`) with.
 * The compiler does not read this file: it knows the same names itself (`src/check/builtins.ts`) and is stricter.
 * The reference with examples is docs/language.md.
 */

export * from "./prelude.bpf.js";
export * from "./tables.js";

import type { AnyContext, Socket, TcpSocket } from "./tables.js";

declare const type: unique symbol;
declare const order: unique symbol;

// ---- integers ----

/** Unsigned and signed integers up to 32 bits are numbers with a flavour: a wider one holds a narrower one. */
export type u8 = number & { readonly __int?: "u8" };
export type u16 = number & { readonly __int?: "u8" | "u16" };
export type u32 = number & { readonly __int?: "u8" | "u16" | "u32" };
export type i8 = number & { readonly __int?: "i8" };
export type i16 = number & { readonly __int?: "i8" | "u8" | "i16" };
export type i32 = number & { readonly __int?: "i8" | "u8" | "i16" | "u16" | "i32" };
/** 64-bit integers are bigint: literals end in n. */
export type u64 = bigint & { readonly __int?: "u64" };
export type i64 = bigint & { readonly __int?: "i64" };

/** Integers in network byte order. They compare, and mask with `& | ^ ~`, only with their own kind. */
export type be16 = number & { readonly [order]: 16 };
export type be32 = number & { readonly [order]: 32 };
export type be64 = bigint & { readonly [order]: 64 };

/** A type as a value: what `struct`, `header` and the maps are built from. */
export interface Type<T> {
  readonly [type]: T;
}
/** The TypeScript type behind a type value: `type FlowKey = Infer<typeof FlowKey>`. */
export type Infer<T> = T extends Type<infer U> ? U : never;

/** An integer type; called, it converts: truncates, zero- or sign-extends, or takes a boolean as 0 or 1. */
export interface IntType<T> extends Type<T> {
  (value: number | bigint | boolean): T;
}
export declare const u8: IntType<u8>;
export declare const u16: IntType<u16>;
export declare const u32: IntType<u32>;
export declare const u64: IntType<u64>;
export declare const i8: IntType<i8>;
export declare const i16: IntType<i16>;
export declare const i32: IntType<i32>;
export declare const i64: IntType<i64>;
export declare const bool: Type<boolean>;

/** A network-order type; called, it converts from host order (`be16(53)` is folded at compile time). */
export interface BeType<H, T> extends Type<T> {
  (host: H): T;
}
export declare const be16: BeType<number, be16>;
export declare const be32: BeType<number, be32>;
export declare const be64: BeType<bigint, be64>;

export declare function htons(host: number): be16;
export declare function htonl(host: number): be32;
export declare function htonll(host: bigint): be64;
export declare function ntohs(net: be16): u16;
export declare function ntohl(net: be32): u32;
export declare function ntohll(net: be64): u64;

/** The bits of a network-order value as they lie in memory, and back: for checksums, hashes and shared maps. */
export declare function raw(net: be16): u16;
export declare function raw(net: be32): u32;
export declare function raw(net: be64): u64;
export declare function asBe16(bits: number): be16;
export declare function asBe32(bits: number): be32;
export declare function asBe64(bits: bigint): be64;

/** An IPv4 address of a literal, folded at compile time. */
export declare function ip4(text: string): be32;

// ---- structs, arrays, headers ----

export interface ArrayOf<T> {
  [index: number]: T;
  readonly length: number;
}
export declare function arrayOf<T>(element: Type<T>, length: number): Type<ArrayOf<T>>;
export declare function bytes(length: number): Type<ArrayOf<u8>>;

export type Fields = { readonly [name: string]: Type<unknown> };
export type FieldsOf<F extends Fields> = { -readonly [K in keyof F]: Infer<F[K]> };
type InitValue<T> = T extends number | bigint | boolean
  ? T
  : T extends ArrayOf<infer E>
    ? T | readonly E[]
    : T | { readonly [K in keyof T]?: InitValue<T[K]> };

/**
 * A struct; called, it allocates one on the stack with every field that is not given, and all padding, zero. At the top
 * level it is global data, which all runs share.
 */
export interface StructType<F extends Fields> extends Type<FieldsOf<F>> {
  (init?: { readonly [K in keyof F]?: InitValue<Infer<F[K]>> } | FieldsOf<F>): FieldsOf<F>;
  /** Bytes. */
  readonly size: number;
}
/** C layout: fields at their natural alignment. `packed: true` leaves no padding. */
export declare function struct<F extends Fields>(fields: F, options?: { readonly packed?: boolean }): StructType<F>;
/** All fields at offset 0. */
export declare function union<F extends Fields>(fields: F): StructType<F>;

export interface TupleType<T extends readonly unknown[]> extends Type<T> {
  (items: T): T;
  readonly size: number;
}
/** A struct whose fields are known by their places: `hash(tuple(be32, be16), …)` is looked up with `[addr, port]`. */
export declare function tuple<const T extends readonly Type<unknown>[]>(
  ...items: T
): TupleType<{ -readonly [K in keyof T]: Infer<T[K]> }>;

/**
 * A packet header: fields in wire order, no padding, integers of more than 8 bits as be16, be32, be64, and bit fields
 * (`bits(4)`) from the most significant bit. `length` makes its size variable: it is computed from the fixed part.
 */
export interface HeaderType<F extends Fields> extends StructType<F> {
  readonly header: true;
}
export declare function header<F extends Fields>(
  fields: F,
  options?: {
    /** Bytes, of a header whose size varies, from its fixed part. */
    readonly length?: (fixed: FieldsOf<F>) => number;
    /** What announces it, for `parse`: numbers in host order. */
    readonly is?: readonly (readonly [Protocols, number])[];
    /** What it announces; `behind` is a cursor behind it. */
    readonly next?: readonly [Protocols, (h: FieldsOf<F>, behind: Packet) => number];
  },
): HeaderType<F>;
/** A space of numbers by which headers announce each other: `etherType`, `ipProtocol`, `udpPort` … or one's own. */
export interface Protocols {
  readonly protocols: unknown;
}
export declare function protocols(type: Type<number>): Protocols;
/** Up to `most` (1 to 16) of the header in a row, for `parse`; its name holds the last. */
export interface Repeated<T> {
  readonly last: Type<T>;
}
export declare function repeat<T>(header: Type<T>, most: number): Repeated<T>;
/** A bit field of 1 to 32 bits: most significant bit first in a header, C's order in a struct. */
export declare function bits(width: number): Type<u32>;

/** True when both hold the same bytes; compared by the widest loads. */
export declare function equal<T extends object>(a: T, b: T): boolean;
/** Copies `from` into the place `to`. */
export declare function copy<T extends object>(to: T, from: T): void;
export declare function sizeOf(type: Type<unknown>): number;

/** Constant data, in `.rodata`: what a program looks up by an index that it computes. At the top level. */
export declare function table<T>(element: Type<T>, values: readonly InitValue<T>[]): Readonly<ArrayOf<T>>;

// ---- control ----

/** `for (const i of range(n))`: i counts from 0, or from `start`, up to and without `end`. */
export declare function range(end: number): Iterable<u32>;
export declare function range(start: number, end: number): Iterable<u32>;

/**
 * A function of its own in the program's code instead of one that is lowered where it is called: up to five numbers,
 * structs, ctx. `subprog` is walked by the verifier with each caller's values; `subprog.global` is checked once, by what
 * its types say, and takes and gives numbers, takes structs and ctx. Declared at the top level.
 */
export declare const subprog: {
  <F extends (...args: never[]) => unknown>(run: F): F;
  global<F extends (...args: never[]) => unknown>(run: F): F;
};

/**
 * A constant of the configuration: its value is given to the compiler and folded, `fallback` where none is given.
 * The fallback's type is the constant's: `config("PORT", u16(53))`.
 */
export declare function config(name: string, fallback: boolean): boolean;
export declare function config<T extends number | bigint>(name: string, fallback: T): Widen<T>;
type Widen<T> = T extends { readonly __int?: string }
  ? T
  : T extends { readonly [order]: number }
    ? T
    : T extends number
      ? number
      : bigint;

/** The licence of the object; GPL-only helpers need a compatible one. Once, at the top level. */
export declare function license(text: string): void;

// ---- packets ----

export interface ParseHeaders {
  readonly [name: string]: Type<unknown> | Repeated<unknown>;
}
/** What `parse` found. */
export type Parsed<H extends ParseHeaders> = {
  readonly [K in keyof H]: (H[K] extends Repeated<infer U> ? U : H[K] extends Type<infer U> ? U : never) | undefined;
} & {
  /** A header was announced that does not lie whole in the packet, or is shorter than its fixed part. */
  readonly truncated: boolean;
};

/** A place in the packet that moves forward. Every `take` is one bounds check and moves on by the header's length. */
export interface Packet {
  /** The header here, or undefined when the packet ends before it (or its `length` is below the fixed part). */
  take<T>(header: Type<T>): T | undefined;
  /** As `take`, but stays. */
  peek<T>(header: Type<T>): T | undefined;
  /**
   * Parses from here: `p.parse({ eth: ethernet, ip: ipv4, tcp })`. Each header is looked for behind those named before it
   * that announce it, and is undefined where there is none. `start` says what comes first, where that is not the first
   * named: `[etherType, ctx.protocol]`. Only what the program uses of the result is in it.
   */
  parse<H extends ParseHeaders>(headers: H, start?: readonly [Protocols, number]): Parsed<H>;
  /** Moves on by 0 to 65535 bytes without a check. */
  skip(bytes: number): void;
  /** Bytes from the packet's start. */
  readonly offset: u32;
  /** Bytes from here to the packet's end (linear part). */
  readonly left: u32;
}

/**
 * Hands the parse result on in the packet's metadata, to the next XDP program (a tail call, a chain) and to tc: 0, or
 * -errno where the driver has no room. The last thing before that: headers taken before must be taken again, and what
 * moves the packet afterwards makes the offsets wrong.
 */
export declare function saveParsed(ctx: XdpContext, parsed: { readonly truncated: boolean }): i32;
/**
 * What the program before handed on, or undefined where none handed on these headers (by these names, in this order), or
 * where the kernel has taken a VLAN tag out meanwhile. Every header is checked against the packet's end again.
 */
export declare function restoreParsed<H extends ParseHeaders>(
  ctx: XdpContext | TcContext,
  headers: H,
): Parsed<H> | undefined;

export interface PacketContext {
  /** A cursor at the packet's first byte. */
  packet(): Packet;
  /**
   * The header at `offset` (0 to 65535) from the packet's start, or undefined when the packet is too short; beyond 64,512
   * nothing is found.
   */
  header<T>(header: Type<T>, offset?: number): T | undefined;
  /** Bytes from the packet's start to a header in it. */
  offset(header: object): u32;
  /** Bytes of the (linear) packet. */
  readonly length: u32;
}

/** What a tracepoint or a traced function hands over. */
export interface TracedContext {
  /** The bytes as the struct that the tracepoint's format describes (`/sys/kernel/tracing/events/…/format`). */
  as<T>(type: Type<T>): Readonly<T>;
}

/** What is traced, with its arguments. */
export interface ArgumentsContext {
  /**
   * Argument `n` (from 0) as a number or as a part of a kernel struct. Of `tpBtf`, `fentry` and `fexit` the verifier knows
   * what it points to; of a kprobe and a raw tracepoint fields are read by a helper, which is GPL only.
   */
  arg<T>(n: number, type: Type<T>): T;
  /** As `arg`, of a pointer that may be missing. */
  argOrUndefined<T extends object>(n: number, type: Type<T>): T | undefined;
}

// ---- the kernel's own structs ----

declare const kernelName: unique symbol;
/** A pointer to the kernel's struct of this name: `View(x)` shows it with the fields of a `kernelStruct`. */
export interface KernelStruct<N extends string> {
  readonly [kernelName]: N;
}
export type KernelView<N extends string, F extends Fields> = KernelStruct<N> & Readonly<FieldsOf<F>>;
export interface KernelType<N extends string, F extends Fields> extends Type<KernelView<N, F>> {
  /** The same struct, with these fields. */
  (pointer: KernelStruct<N>): KernelView<N, F>;
  (pointer: KernelStruct<N> | undefined): KernelView<N, F> | undefined;
  /** What lies at an address: each field is read by `bpf_probe_read_kernel` (GPL only), 0 where nothing is. */
  (address: bigint): KernelView<N, F>;
}
/**
 * The part of a kernel struct that a program wants, by the kernel's names of struct and fields. Where the fields lie is
 * put in when the program is loaded, by the running kernel's BTF (CO-RE). They can only be read.
 */
export declare function kernelStruct<const N extends string, F extends Fields>(name: N, fields: F): KernelType<N, F>;
/** A field that points to another kernel struct, or to nothing. */
export declare function pointerTo<T extends KernelStruct<string>>(type: Type<T>): Type<T | undefined>;
/** A field that is a pointer of which only the address is wanted: `probeReadKernelStr(name, file.path)`. */
export declare const address: Type<u64>;
/** A field that is one of the kernel's enums. */
export declare function kernelEnum(name: string): Type<u32>;
/** Whether the running kernel's struct has the field. Decided at load: what is only done then is not verified otherwise. */
export declare function fieldExists<N extends string, F extends Fields>(
  type: KernelType<N, F>,
  field: keyof F & string,
): boolean;
/** Bytes from the struct's start, and bytes of the field, as the running kernel has them. */
export declare function fieldOffset<N extends string, F extends Fields>(
  type: KernelType<N, F>,
  field: keyof F & string,
): u32;
export declare function fieldSize<N extends string, F extends Fields>(
  type: KernelType<N, F>,
  field: keyof F & string,
): u32;
/** Whether the running kernel has such a struct, and its bytes. */
export declare function typeExists(type: Type<KernelStruct<string>>): boolean;
export declare function typeSize(type: Type<KernelStruct<string>>): u32;
/** The number of an enumerator in the running kernel, and whether it has one. */
export declare function enumValue(type: string, enumerator: string): i32;
export declare function enumValueExists(type: string, enumerator: string): boolean;
/** A socket as a helper gives it, or as the kernel's struct. */
export type AnySocket = Readonly<Socket> | Readonly<TcpSocket> | KernelStruct<string>;

/**
 * A range of bytes that may lie in several pieces, or move: a packet with its fragments, ring buffer memory, a map's value.
 * Made by `dynptrFromXdp`, `dynptrFromSkb`, `dynptrFromMem`, `ringbufReserveDynptr`; where that fails it is empty
 * (`dynptrIsNull`) and all that is done with it fails. It lives on the stack and cannot be kept elsewhere.
 */
export interface Dynptr {
  readonly [opaque]: "dynptr";
}

// ---- programs ----

export interface Program<C> {
  readonly ctx?: C;
}
export interface ProgramOptions {
  /** ELF section; the kind's own (`xdp`, `tc/ingress` …) when absent. */
  readonly section?: string;
}
export interface XdpOptions extends ProgramOptions {
  /** The program handles packets of several fragments (`xdp.frags`). */
  readonly frags?: boolean;
}

// ---- maps ----

export interface MapOptions {
  /** Entries at most. */
  readonly maxEntries: number;
  /** `BPF_F_*`. */
  readonly flags?: number;
  /** Pinned and reused by name. */
  readonly pinned?: boolean;
}
/** What lookup gives: the struct itself, in the map's memory; a scalar as `.value`. */
export type RefTo<V> = V extends number | bigint | boolean ? { value: V } : V;

interface Lookup<K, V> extends MapOf<K, V> {
  /** The live value (reads and writes go to the map), or undefined. */
  lookup(key: K): RefTo<V> | undefined;
}
/** True ends the round. */
// biome-ignore lint/suspicious/noConfusingVoidType: of what a function gives, void is nothing
type Ends = boolean | void;
interface Visit<K, V> {
  /**
   * Calls the function for every entry until it gives true: how many were visited. It is a function of its own: it sees
   * what it is handed, maps and global data, not the variables around it. The state is a struct on the stack.
   */
  forEach(visit: (key: Readonly<RefTo<K>>, value: RefTo<V>) => Ends): i32;
  forEach<S extends object>(visit: (key: Readonly<RefTo<K>>, value: RefTo<V>, state: S) => Ends, state: S): i32;
}
interface PerCpu<K, V> {
  /** The value that another CPU has. */
  lookupCpu(key: K, cpu: number): RefTo<V> | undefined;
}
interface Keyed<K, V> extends Lookup<K, V> {
  /** 0, or -errno. `flags`: BPF_ANY (default), BPF_NOEXIST, BPF_EXIST. */
  update(key: K, value: V, flags?: number): i32;
  delete(key: K): i32;
}
export interface KeyedMap<K, V> extends Keyed<K, V>, Visit<K, V> {}
export interface ArrayMap<V> extends Lookup<u32, V>, Visit<u32, V> {
  update(key: u32, value: V, flags?: number): i32;
}
export declare function hash<K, V>(key: Type<K>, value: Type<V>, options: MapOptions): KeyedMap<K, V>;
export declare function percpuHash<K, V>(
  key: Type<K>,
  value: Type<V>,
  options: MapOptions,
): KeyedMap<K, V> & PerCpu<K, V>;
export declare function lruHash<K, V>(key: Type<K>, value: Type<V>, options: MapOptions): KeyedMap<K, V>;
export declare function lruPercpuHash<K, V>(
  key: Type<K>,
  value: Type<V>,
  options: MapOptions,
): KeyedMap<K, V> & PerCpu<K, V>;
/** The key starts with a u32 prefix length, then the data in network order. */
export declare function lpmTrie<K, V>(key: Type<K>, value: Type<V>, options: MapOptions): Keyed<K, V>;
export declare function array<V>(value: Type<V>, options: MapOptions): ArrayMap<V>;
export declare function percpuArray<V>(value: Type<V>, options: MapOptions): ArrayMap<V> & PerCpu<u32, V>;

/** Maps of maps: `lookup` gives the map in the slot. `maps` fills an array's first slots at load. */
export interface MapOfMaps<K, M> extends AnyMap {
  lookup(key: K): M | undefined;
}
export declare function arrayOfMaps<M extends AnyMap>(
  like: M,
  options: MapOptions & { readonly maps?: readonly M[] },
): MapOfMaps<u32, M>;
export declare function hashOfMaps<K, M extends AnyMap>(key: Type<K>, like: M, options: MapOptions): MapOfMaps<K, M>;

/** First in, first out; `stack` last in. */
export interface Queue<V> extends AnyMap {
  push(value: V, flags?: number | bigint): i32;
  pop(): V | undefined;
  peek(): V | undefined;
}
export declare function queue<V>(value: Type<V>, options: MapOptions): Queue<V>;
export declare function stack<V>(value: Type<V>, options: MapOptions): Queue<V>;
export interface BloomFilter<V> extends AnyMap {
  add(value: V, flags?: number | bigint): i32;
  /** False only when it was never added. */
  has(value: V): boolean;
}
export declare function bloomFilter<V>(value: Type<V>, options: MapOptions): BloomFilter<V>;

/** Sockets, for `skRedirectMap`, `msgRedirectMap`, `sockMapUpdate`, `skSelectReuseport` and their kin. */
export declare function sockmap(options: MapOptions): MapOf<u32, u32>;
export declare function sockhash<K>(key: Type<K>, options: MapOptions): MapOf<K, u32>;
export declare function reuseportSockarray(options: MapOptions): MapOf<u32, u32>;
/** A value for each socket, for `skStorageGet`. */
export declare function skStorage<V>(value: Type<V>, options?: Omit<MapOptions, "maxEntries">): MapOf<Socket, V>;
/** A value for each attachment to a cgroup, for `getLocalStorage`. */
export declare function cgroupStorage<V>(value: Type<V>, options?: Omit<MapOptions, "maxEntries">): MapOf<object, V>;
export declare function percpuCgroupStorage<V>(
  value: Type<V>,
  options?: Omit<MapOptions, "maxEntries">,
): MapOf<object, V>;
/** Cgroups, for `skbUnderCgroup` and `currentTaskUnderCgroup`. */
export declare function cgroupArray(options: MapOptions): AnyMap;
/** Stacks, for `getStackid`. */
export declare function stackTrace(options: MapOptions): AnyMap;

export interface PerfEventArray extends AnyMap {
  /** Copies `value` to the reader of this CPU: 0, or -errno. */
  output(ctx: AnyContext, value: object, flags?: bigint): i32;
}
export declare function perfEventArray(options: MapOptions): PerfEventArray;

/** Where packets are redirected to: interfaces, CPUs or AF_XDP sockets. */
export interface RedirectMap extends AnyMap {
  /** XDP_REDIRECT, or the action in the low bits of `flags` (default 0, XDP_ABORTED) when there is no entry. */
  redirect(key: number, flags?: bigint): u32;
}
export declare function devmap(options: MapOptions): RedirectMap;
export declare function devmapHash(options: MapOptions): RedirectMap;
export declare function cpumap(options: MapOptions): RedirectMap;
export declare function xskmap(options: MapOptions): RedirectMap;

export interface ProgArray extends AnyMap {
  /** Runs the program at `index` in place of this one; goes on with the next statement when there is none. */
  tailCall(ctx: AnyContext, index: number): void;
}
/** `programs` fills the first slots at load; all are of one type. A program that calls through it needs its type written: `const next: ProgArray = …`. */
export declare function progArray(
  options: MapOptions & { readonly programs?: readonly Program<AnyContext>[] },
): ProgArray;

export interface RingBuffer extends AnyMap {
  /** Copies `value` into the ring: 0, or -errno when it is full. */
  output(value: object, flags?: bigint): i32;
  /**
   * Room for one record in the ring itself, or undefined when it is full. Its bytes are whatever was there before: set
   * every field. On every path it must go to `submit` or `discard` once, and is gone then.
   */
  reserve<T>(type: Type<T>, flags?: bigint): RefTo<T> | undefined;
  /** Shows the record to the reader. `flags`: BPF_RB_NO_WAKEUP, BPF_RB_FORCE_WAKEUP. */
  submit(record: object, flags?: bigint): void;
  /** Gives the room back; the reader skips it. */
  discard(record: object, flags?: bigint): void;
}
/** `maxEntries` is the ring's size in bytes: a power of two, at least a page. */
export declare function ringBuffer(options: MapOptions): RingBuffer;

/** A line in the kernel's trace (`/sys/kernel/tracing/trace_pipe`), with up to three numbers. GPL only. */
export declare function printk(text: string, ...numbers: (number | bigint)[]): void;

/** A line of what is read from an iterator (`iter`), with up to twelve numbers. GPL only. */
export declare function seqPrintf(seq: KernelStruct<"seq_file">, text: string, ...numbers: (number | bigint)[]): void;

/** What an `asm` text works on: numbers by value; structs, arrays, headers and ctx by address. */
export type AsmOperand = number | bigint | boolean | object;
/**
 * Instructions as they are (the kernel's notation or mnemonics), each ended by its line or by `;`. The operands come in
 * r1, r2 … (numbers as wide as the register), up to five; the result is what r0 holds at the end, cut to the type. It may
 * change r0 to r9; jumps go to labels of the text; calls, returns and r10 are not for it.
 */
export declare function asm<T extends number | bigint | boolean>(
  result: Type<T>,
  text: string,
  operands?: readonly AsmOperand[],
): T;
export declare function asm(text: string, operands?: readonly AsmOperand[]): void;

// ---- functions that helpers call back, locks, timers ----

/**
 * Runs the function up to `count` times, until it gives true: how often it ran. Verified once, however often it runs. It
 * is a function of its own: it sees the index, the state (a struct on the stack), maps and global data.
 */
export declare function bpfLoop(count: number, body: (index: u32) => Ends): i32;
export declare function bpfLoop<S extends object>(count: number, body: (index: u32, state: S) => Ends, state: S): i32;

declare const opaque: unique symbol;
/** `struct bpf_spin_lock`, a field of a map's value: between the two calls nothing else is called. */
export interface bpfSpinLock {
  readonly [opaque]: "lock";
}
export declare const bpfSpinLock: Type<bpfSpinLock>;
export declare function spinLock(lock: bpfSpinLock): void;
export declare function spinUnlock(lock: bpfSpinLock): void;

/** `struct bpf_timer`, a field of a map's value. GPL only. */
export interface bpfTimer {
  readonly [opaque]: "timer";
}
export declare const bpfTimer: Type<bpfTimer>;
/** 0, or -EBUSY when it was begun before. `clock`: 0 realtime, 1 monotonic (default), 7 boot time. */
export declare function timerInit(timer: bpfTimer, map: AnyMap, clock?: number): i32;
/** What runs when it fires, with the map's key and value. */
export declare function timerSetCallback<K, V>(
  timer: bpfTimer,
  map: MapOf<K, V>,
  fires: (key: Readonly<RefTo<K>>, value: RefTo<V>) => void,
): i32;
export declare function timerStart(timer: bpfTimer, ns: bigint, flags?: bigint): i32;
/** 1 when it was waiting, 0 when not, or -errno. */
export declare function timerCancel(timer: bpfTimer): i32;

// ---- atomics: the first argument is a field in a map or in global data ----

export declare function atomicAdd(place: u32, value: number): void;
export declare function atomicAdd(place: u64, value: bigint): void;
export declare function atomicOr(place: u32, value: number): void;
export declare function atomicOr(place: u64, value: bigint): void;
export declare function atomicAnd(place: u32, value: number): void;
export declare function atomicAnd(place: u64, value: bigint): void;

// ---- helpers: each by its kernel name in camel case, in tables.d.ts ----

/** A struct or an array whose size is taken from its type, or with the number of bytes that count: `[ip, bytes]`. */
export type Memory = object | readonly [memory: object, bytes: number];
/** Any map. */
export interface AnyMap {
  readonly [map]?: unknown;
}
/** A map of these keys and values. */
export interface MapOf<K, V> extends AnyMap {
  readonly [keyOf]?: K;
  readonly [entryOf]?: V;
}
declare const map: unique symbol;
declare const keyOf: unique symbol;
declare const entryOf: unique symbol;
