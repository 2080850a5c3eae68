/**
 * The map runtime on a memory: one wasm instance a thread that the interpreter and the control plane call. The JIT
 * appends its code to the same image (`RuntimeImage.bytes`), so its programs call the same functions directly.
 */
import { Errno } from "../errors/index.ts";
import type { Memory } from "../mem/index.ts";
import type { MapSpec } from "../object/index.ts";
import { SHARED, SINGLE } from "./runtime.generated.ts";

/** What scripts/generate/runtime.mjs makes of runtime/*.as.ts. */
export interface RuntimeImage {
  /** In index order; all from module `env`. */
  readonly imports: readonly { readonly name: string; readonly kind: string }[];
  /** Exported function → its index in the module. Stable within one image: what is appended comes after. */
  readonly functions: Readonly<Record<RuntimeFunction, number>>;
  readonly base64: string;
}

/** Addresses are i32: `>>> 0` what a lookup returns. Errors are -errno. */
export interface RuntimeExports {
  map_lookup(map: number, key: number): number;
  map_lookup_percpu(map: number, key: number, cpu: number): number;
  /** `flags` is 64 bits wide. */
  map_update(map: number, key: number, value: number, flags: bigint): number;
  map_delete(map: number, key: number): number;
  /** `key` 0 asks for the first. */
  map_next_key(map: number, key: number, out: number): number;
  map_push(map: number, value: number, flags: bigint): number;
  map_pop(map: number, value: number): number;
  map_peek(map: number, value: number): number;

  array_lookup(map: number, key: number): number;
  array_lookup_percpu(map: number, key: number, cpu: number): number;
  array_next_key(map: number, key: number, out: number): number;
  array_update(map: number, key: number, value: number, flags: number): number;
  percpu_array_lookup(map: number, key: number): number;
  percpu_array_update(map: number, key: number, value: number, flags: number): number;
  percpu_array_update_all(map: number, key: number, values: number, flags: number): number;

  hash_init(map: number): number;
  hash_lookup(map: number, key: number): number;
  /** The key by value; for maps whose MAP_HASH_KIND is HASH_4. */
  hash_lookup4(map: number, key: number): number;
  /** The key by value; HASH_8. */
  hash_lookup8(map: number, key: bigint): number;
  /** Key size 16, HASH_ANY. */
  hash_lookup16(map: number, key: number): number;
  /** Keys of 8 and 16 bytes by value, in words. */
  hash_lookup8_words(map: number, lo: number, hi: number): number;
  hash_lookup16_words(map: number, a: number, b: number, c: number, d: number): number;
  /** Many keys at once; see hash.as.ts. */
  hash_lookup_many(map: number, keys: number, count: number, values: number, found: number, work: number): number;
  hash_lookup_percpu(map: number, key: number, cpu: number): number;
  hash_update(map: number, key: number, value: number, flags: number): number;
  hash_delete(map: number, key: number): number;
  hash_next_key(map: number, key: number, out: number): number;
  percpu_hash_lookup(map: number, key: number): number;
  percpu_hash_update(map: number, key: number, value: number, flags: number): number;
  percpu_hash_update_all(map: number, key: number, values: number, flags: number): number;

  lru_init(map: number): number;
  /** Counts as a use. */
  lru_lookup(map: number, key: number): number;
  lru_lookup_percpu(map: number, key: number, cpu: number): number;
  lru_update(map: number, key: number, value: number, flags: number): number;
  lru_percpu_update(map: number, key: number, value: number, flags: number): number;
  lru_percpu_update_all(map: number, key: number, values: number, flags: number): number;
  lru_delete(map: number, key: number): number;

  /** -E2BIG when full, unless flags are BPF_EXIST. */
  queue_push(map: number, value: number, flags: bigint): number;
  queue_peek(map: number, value: number): number;
  queue_pop(map: number, value: number): number;
  stack_peek(map: number, value: number): number;
  stack_pop(map: number, value: number): number;
  bloom_push(map: number, value: number, flags: bigint): number;
  bloom_peek(map: number, value: number): number;

  /** The record's address, or 0 without room; it may lie over the end of the data, in one piece. */
  ringbuf_reserve(map: number, size: bigint, flags: bigint): number;
  /** `sample` is what reserve gave. */
  ringbuf_submit(sample: number, flags: bigint): void;
  ringbuf_discard(sample: number, flags: bigint): void;
  ringbuf_output(map: number, data: number, size: bigint, flags: bigint): number;
  ringbuf_query(map: number, what: bigint): bigint;
  /** The next record's length, its address at `out`; -ENODATA, -EAGAIN (a discarded one was skipped), -EINVAL, -E2BIG. */
  user_ringbuf_peek(map: number, out: number): number;
  user_ringbuf_release(map: number, length: number): void;

  /** bpf_sk_storage_get and the like; flag 1 creates, from `init` or zeroed when that is 0. */
  storage_get(map: number, owner: number, init: number, flags: bigint): number;
  storage_delete(map: number, owner: number): number;
  /** bpf_get_local_storage: what `CgroupStorageMap.setCurrent` said, on this CPU. */
  cgroup_storage_current(map: number): number;

  /** devmap, cpumap, xskmap, sockmap, prog_array: the slot, or 0 when it is empty. */
  slot_lookup(map: number, key: number): number;
  /** The inner map's address or 0. */
  inner_map_array(map: number, key: number): number;
  inner_map_hash(map: number, key: number): number;

  lpm_lookup(map: number, key: number): number;
  /** A full-length lookup; `addr` points at the address, without a prefix length before it. */
  lpm_lookup_full(map: number, addr: number): number;
  /** A full-length lookup with 4-byte addresses; `addr` is the address read as a little-endian u32. */
  lpm_lookup_v4(map: number, addr: number): number;
  lpm_update(map: number, key: number, value: number, flags: number): number;
  lpm_delete(map: number, key: number): number;
  lpm_next_key(map: number, key: number, out: number): number;
}
export type RuntimeFunction = keyof RuntimeExports;

export interface RuntimeOptions {
  /** Possible CPUs: how many values a per-CPU map holds for a key. Default 1. */
  readonly cpus?: number;
  /** 32 random bits a call, for hash seeds; a fixed generator makes a machine reproducible. Default crypto. */
  readonly random?: () => number;
  /** NR_CPUS: the largest cpumap. Default 64. */
  readonly maxCpus?: number;
  readonly host?: MapHost;
  /** Told when a value with timers, kptrs or the like ends, before those fields are zeroed. */
  readonly releaseFields?: (map: number, value: number) => void;
}

/** What maps are made on. One a thread; threads that share a memory share its maps by address. */
export interface MapRuntime {
  readonly memory: Memory;
  readonly cpus: number;
  readonly maxCpus: number;
  readonly host: MapHost;
  readonly image: RuntimeImage;
  readonly exports: RuntimeExports;
  /** The CPU that this thread runs as; set its `value` before running a program. Import it as `env.cpu` (global 0). */
  readonly cpu: WebAssembly.Global<"i32">;
  /** The `env` that any module made from the image needs. */
  readonly env: Record<string, WebAssembly.ImportValue>;
  readonly random: () => number;
  /** A value of a map with special fields ends: what they own ends with it. */
  releaseFields(map: number, value: number): void;
  /** Live maps by header address and by id; `createMap` and `close` keep them. */
  readonly byAddress: Map<number, LiveMap>;
  readonly byId: Map<number, LiveMap>;
  /** The next map's id. */
  takeId(): number;
}

/** What maps of references ask of the machine. What is not answered for exists. */
export interface MapHost {
  program?(id: number): boolean;
  netdev?(ifindex: number): boolean;
  cgroup?(handle: number): boolean;
  /** Does this object (socket, task, inode, cgroup) of a local storage exist? */
  owner?(handle: number, mapType: number): boolean;
  /** 0 when the map type takes this socket, or the errno it answers with. */
  socket?(handle: number, mapType: number): number;
}

/** What the runtime itself asks of a map. */
export interface LiveMap {
  readonly spec: MapSpec;
  /** One user more; `close` takes one away. */
  retain(): void;
  close(): void;
  readonly id: number;
  readonly addr: number;
  /** A program gives an object where others give a value, or takes one out: 0 or -errno. Of maps of sockets. */
  putObject?(keyAddr: number, object: number, flags: number): number;
  dropObject?(keyAddr: number): number;
  /** Its consumer is to be woken (ring buffers). */
  notified(): void;
  /** Element memory was added at `start`. */
  grown(start: number, end: number): void;
}

/** The module's bytes, to which a JIT appends. */
export function imageBytes(image: RuntimeImage): Uint8Array {
  const text = atob(image.base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

const modules = new Map<RuntimeImage, WebAssembly.Module>();

/** The compiled image; compiled once a thread. */
export function runtimeModule(image: RuntimeImage): WebAssembly.Module {
  let module = modules.get(image);
  if (!module) modules.set(image, (module = new WebAssembly.Module(imageBytes(image) as BufferSource)));
  return module;
}

/** A runtime over `memory`: the variant with atomics when the memory is shared. */
export function createRuntime(memory: Memory, options: RuntimeOptions = {}): MapRuntime {
  const image = memory.shared ? SHARED : SINGLE;
  const cpu = new WebAssembly.Global({ value: "i32", mutable: true }, 0);
  const byAddress = new Map<number, LiveMap>();
  let lastId = 0;
  const releaseFields = (map: number, value: number): void => options.releaseFields?.(map >>> 0, value >>> 0);
  const env: Record<string, WebAssembly.ImportValue> = {
    memory: memory.wasm,
    cpu,
    alloc: (map: number, size: number, align: number) => {
      const start = memory.tryAlloc(size >>> 0, align);
      if (start) byAddress.get(map >>> 0)?.grown(start, start + (size >>> 0));
      return start;
    },
    notify: (map: number) => byAddress.get(map >>> 0)?.notified(),
    release_fields: releaseFields,
    object_update: (map: number, key: number, object: number, flags: number) =>
      byAddress.get(map >>> 0)?.putObject?.(key >>> 0, object >>> 0, flags >>> 0) ?? -Errno.EOPNOTSUPP,
    object_delete: (map: number, key: number) => byAddress.get(map >>> 0)?.dropObject?.(key >>> 0) ?? -Errno.EOPNOTSUPP,
  };
  const instance = new WebAssembly.Instance(runtimeModule(image), { env });
  return {
    memory,
    cpus: options.cpus ?? 1,
    maxCpus: options.maxCpus ?? 64,
    host: options.host ?? {},
    image,
    exports: instance.exports as unknown as RuntimeExports,
    cpu,
    env,
    releaseFields,
    random: options.random ?? (() => crypto.getRandomValues(new Uint32Array(1))[0]!),
    byAddress,
    byId: new Map(),
    takeId: () => ++lastId,
  };
}
