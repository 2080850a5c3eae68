/** The table of map types, and creation as BPF_MAP_CREATE does it. */
import { Errno, errnoName, SysError } from "../errors/index.ts";
import { BPF_F_RDONLY_PROG, BPF_F_WRONLY_PROG, type MapSpec, MapType, mapTypeName } from "../object/index.ts";
import { arenaKind } from "./arena.ts";
import { arrayKind } from "./array.ts";
import { bloomFilterKind } from "./bloom-filter.ts";
import { cgroupArrayKind } from "./cgroup-array.ts";
import { cgroupStorageKind, percpuCgroupStorageKind } from "./cgroup-storage.ts";
import { cpumapKind } from "./cpumap.ts";
import { devmapHashKind, devmapKind } from "./devmap.ts";
import { hashKind } from "./hash.ts";
import { cgrpStorageKind, inodeStorageKind, skStorageKind, taskStorageKind } from "./local-storage.ts";
import { lpmTrieKind } from "./lpm-trie.ts";
import { lruHashKind, lruPercpuHashKind } from "./lru-hash.ts";
import type { MapKind, ValueField, VmMap } from "./map.ts";
import { arrayOfMapsKind, hashOfMapsKind } from "./map-in-map.ts";
import { percpuArrayKind } from "./percpu-array.ts";
import { percpuHashKind } from "./percpu-hash.ts";
import { perfEventArrayKind } from "./perf-event-array.ts";
import { progArrayKind } from "./prog-array.ts";
import { queueKind, stackKind } from "./queue.ts";
import { reuseportArrayKind } from "./reuseport-array.ts";
import { ringbufKind, userRingbufKind } from "./ringbuf.ts";
import type { MapRuntime } from "./runtime.ts";
import { sockhashKind, sockmapKind } from "./sockmap.ts";
import { stackTraceKind } from "./stack-trace.ts";
import { xskmapKind } from "./xskmap.ts";

const KINDS = new Map<number, MapKind>(
  [
    arenaKind,
    arrayKind,
    arrayOfMapsKind,
    bloomFilterKind,
    cgroupArrayKind,
    cgroupStorageKind,
    cgrpStorageKind,
    cpumapKind,
    devmapHashKind,
    devmapKind,
    hashKind,
    hashOfMapsKind,
    inodeStorageKind,
    lpmTrieKind,
    lruHashKind,
    lruPercpuHashKind,
    percpuArrayKind,
    percpuCgroupStorageKind,
    percpuHashKind,
    perfEventArrayKind,
    progArrayKind,
    queueKind,
    reuseportArrayKind,
    ringbufKind,
    skStorageKind,
    sockhashKind,
    sockmapKind,
    stackKind,
    stackTraceKind,
    taskStorageKind,
    userRingbufKind,
    xskmapKind,
  ].map((kind) => [kind.type, kind]),
);

/** True for a type that `createMap` makes. */
export function supportsMapType(type: number): boolean {
  return KINDS.has(type);
}

/**
 * A new, empty map. `spec.contents` and `spec.frozen` are the loader's to apply: entries may name programs and maps.
 * `fields` are the special fields that BTF finds in the values.
 * @throws SysError with the kernel's errno for the spec; ENOMEM when the memory is full.
 */
export function createMap(rt: MapRuntime, spec: MapSpec, fields: readonly ValueField[] = []): VmMap {
  const kind = KINDS.get(spec.type);
  const errno = kind ? kind.check(spec, rt) || checkFields(spec, fields) : Errno.EINVAL;
  if (!kind || errno) {
    const what = `${mapTypeName(spec.type)} ${spec.name}`;
    const sizes = `key ${spec.keySize}, value ${spec.valueSize}, max_entries ${spec.maxEntries}, flags 0x${spec.flags.toString(16)}`;
    throw new SysError("BPF_MAP_CREATE", errno, errnoName(errno), `${what}: ${sizes}`);
  }
  const map = kind.create(rt, spec);
  if (fields.length) map.defineFields(fields);
  return map;
}

const STORAGES: readonly number[] = [
  MapType.BPF_MAP_TYPE_SK_STORAGE,
  MapType.BPF_MAP_TYPE_INODE_STORAGE,
  MapType.BPF_MAP_TYPE_TASK_STORAGE,
  MapType.BPF_MAP_TYPE_CGRP_STORAGE,
];
const PLAIN: readonly number[] = [MapType.BPF_MAP_TYPE_HASH, MapType.BPF_MAP_TYPE_ARRAY];
const PERCPU: readonly number[] = [
  MapType.BPF_MAP_TYPE_PERCPU_HASH,
  MapType.BPF_MAP_TYPE_PERCPU_ARRAY,
  MapType.BPF_MAP_TYPE_LRU_PERCPU_HASH,
];

/** Which types may hold a field. */
const HOLDERS: Readonly<Record<ValueField["kind"], readonly number[]>> = {
  spin_lock: [...PLAIN, MapType.BPF_MAP_TYPE_CGROUP_STORAGE, ...STORAGES],
  res_spin_lock: [...PLAIN, MapType.BPF_MAP_TYPE_CGROUP_STORAGE, ...STORAGES],
  timer: [...PLAIN, MapType.BPF_MAP_TYPE_LRU_HASH],
  workqueue: [...PLAIN, MapType.BPF_MAP_TYPE_LRU_HASH],
  task_work: [...PLAIN, MapType.BPF_MAP_TYPE_LRU_HASH],
  kptr: [...PLAIN, ...PERCPU, MapType.BPF_MAP_TYPE_LRU_HASH, ...STORAGES],
  refcount: [...PLAIN, ...PERCPU, MapType.BPF_MAP_TYPE_LRU_HASH, ...STORAGES],
  list_head: [...PLAIN, MapType.BPF_MAP_TYPE_LRU_HASH],
  rb_root: [...PLAIN, MapType.BPF_MAP_TYPE_LRU_HASH],
  // Only objects have nodes.
  list_node: [],
  rb_node: [],
};

/** map_check_btf. */
function checkFields(spec: MapSpec, fields: readonly ValueField[]): number {
  if (fields.length && spec.flags & (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG)) return Errno.EACCES;
  return fields.some(({ kind }) => !HOLDERS[kind].includes(spec.type)) ? Errno.EOPNOTSUPP : 0;
}
