/**
 * The one table of map types. Verifier, engines, loaders and printers read it; nobody keeps a second list.
 * Source: include/uapi/linux/bpf.h `enum bpf_map_type` (numbers), kernel/bpf/*.c map_alloc_check (size rules).
 */

/** Map type numbers with the kernel's spelling. */
export const MapType = {
  BPF_MAP_TYPE_UNSPEC: 0,
  BPF_MAP_TYPE_HASH: 1,
  BPF_MAP_TYPE_ARRAY: 2,
  BPF_MAP_TYPE_PROG_ARRAY: 3,
  BPF_MAP_TYPE_PERF_EVENT_ARRAY: 4,
  BPF_MAP_TYPE_PERCPU_HASH: 5,
  BPF_MAP_TYPE_PERCPU_ARRAY: 6,
  BPF_MAP_TYPE_STACK_TRACE: 7,
  BPF_MAP_TYPE_CGROUP_ARRAY: 8,
  BPF_MAP_TYPE_LRU_HASH: 9,
  BPF_MAP_TYPE_LRU_PERCPU_HASH: 10,
  BPF_MAP_TYPE_LPM_TRIE: 11,
  BPF_MAP_TYPE_ARRAY_OF_MAPS: 12,
  BPF_MAP_TYPE_HASH_OF_MAPS: 13,
  BPF_MAP_TYPE_DEVMAP: 14,
  BPF_MAP_TYPE_SOCKMAP: 15,
  BPF_MAP_TYPE_CPUMAP: 16,
  BPF_MAP_TYPE_XSKMAP: 17,
  BPF_MAP_TYPE_SOCKHASH: 18,
  BPF_MAP_TYPE_CGROUP_STORAGE: 19,
  BPF_MAP_TYPE_REUSEPORT_SOCKARRAY: 20,
  BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE: 21,
  BPF_MAP_TYPE_QUEUE: 22,
  BPF_MAP_TYPE_STACK: 23,
  BPF_MAP_TYPE_SK_STORAGE: 24,
  BPF_MAP_TYPE_DEVMAP_HASH: 25,
  BPF_MAP_TYPE_STRUCT_OPS: 26,
  BPF_MAP_TYPE_RINGBUF: 27,
  BPF_MAP_TYPE_INODE_STORAGE: 28,
  BPF_MAP_TYPE_TASK_STORAGE: 29,
  BPF_MAP_TYPE_BLOOM_FILTER: 30,
  BPF_MAP_TYPE_USER_RINGBUF: 31,
  BPF_MAP_TYPE_CGRP_STORAGE: 32,
  BPF_MAP_TYPE_ARENA: 33,
} as const;
export type MapTypeName = keyof typeof MapType;

const NAMES = new Map<number, string>(
  Object.entries(MapType).map(([name, n]) => [n, name.slice("BPF_MAP_TYPE_".length).toLowerCase()]),
);

/** The short lower-case name that bpftool prints (`lpm_trie`), or `type N` for a number that is not in the table. */
export function mapTypeName(type: number): string {
  return NAMES.get(type) ?? `type ${type}`;
}

/** A map type by its short (`lpm_trie`) or full (`BPF_MAP_TYPE_LPM_TRIE`) name, any case. */
export function mapTypeByName(name: string): number | undefined {
  const full = `BPF_MAP_TYPE_${name.toUpperCase().replace(/^BPF_MAP_TYPE_/, "")}`;
  return (MapType as Record<string, number>)[full];
}

/** Flags of map creation. Source: include/uapi/linux/bpf.h `BPF_F_*`. */
export const BPF_F_NO_PREALLOC = 1 << 0;
export const BPF_F_NO_COMMON_LRU = 1 << 1;
export const BPF_F_NUMA_NODE = 1 << 2;
export const BPF_F_RDONLY = 1 << 3;
export const BPF_F_WRONLY = 1 << 4;
export const BPF_F_STACK_BUILD_ID = 1 << 5;
export const BPF_F_ZERO_SEED = 1 << 6;
export const BPF_F_RDONLY_PROG = 1 << 7;
export const BPF_F_WRONLY_PROG = 1 << 8;
export const BPF_F_CLONE = 1 << 9;
export const BPF_F_MMAPABLE = 1 << 10;
/** Of an arena: userspace may touch only pages that a program allocated. */
export const BPF_F_SEGV_ON_FAULT = 1 << 17;
/** Bytes of an arena's page, of which `maxEntries` are counted. */
export const ARENA_PAGE = 4096;
export const BPF_F_INNER_MAP = 1 << 12;

/** Flags of an element update. */
export const BPF_ANY = 0;
export const BPF_NOEXIST = 1;
export const BPF_EXIST = 2;
export const BPF_F_LOCK = 4;

/** True when each key holds one value a possible CPU. */
export function isPerCpu(type: number): boolean {
  return (
    type === MapType.BPF_MAP_TYPE_PERCPU_HASH ||
    type === MapType.BPF_MAP_TYPE_PERCPU_ARRAY ||
    type === MapType.BPF_MAP_TYPE_LRU_PERCPU_HASH ||
    type === MapType.BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE
  );
}
