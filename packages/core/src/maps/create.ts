/** The table of map types, and creation as BPF_MAP_CREATE does it. */
import { Errno, errnoName, SysError } from "../errors/index.ts";
import { type MapSpec, mapTypeName } from "../object/index.ts";
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
import type { MapKind, VmMap } from "./map.ts";
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
 * @throws SysError with the kernel's errno for the spec; ENOMEM when the memory is full.
 */
export function createMap(rt: MapRuntime, spec: MapSpec): VmMap {
  const kind = KINDS.get(spec.type);
  const errno = kind ? kind.check(spec, rt) : Errno.EINVAL;
  if (!kind || errno) {
    const what = `${mapTypeName(spec.type)} ${spec.name}`;
    const sizes = `key ${spec.keySize}, value ${spec.valueSize}, max_entries ${spec.maxEntries}, flags 0x${spec.flags.toString(16)}`;
    throw new SysError("BPF_MAP_CREATE", errno, errnoName(errno), `${what}: ${sizes}`);
  }
  return kind.create(rt, spec);
}
