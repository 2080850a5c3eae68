/**
 * lru_hash and lru_percpu_hash: a full map makes room by dropping an element that was not used for long, as the kernel
 * chooses it. Source: kernel/bpf/hashtab.c, bpf_lru_list.c.
 */
import { BPF_F_NO_COMMON_LRU, type MapSpec, MapType } from "../object/index.ts";
import { checkHash, HashBase } from "./hash.ts";
import * as L from "./layout.ts";
import type { MapKind } from "./map.ts";
import type { MapRuntime } from "./runtime.ts";

/** Free nodes that a CPU takes at a time, and nodes that one scan looks at, in the common LRU. */
const LOCAL_TARGET = 128;

class LruHashMap extends HashBase {
  constructor(rt: MapRuntime, spec: MapSpec) {
    super(rt, spec, { lead: L.LRU_NODE, spares: 0 });
  }

  protected override prepare(): number {
    const { rt, spec } = this;
    const ownLists = (spec.flags & BPF_F_NO_COMMON_LRU) !== 0;
    this.set(L.LRU_LISTS, this.own((ownLists ? rt.cpus : 1) * L.LIST_BLOCK, 64));
    if (!ownLists) this.set(L.LRU_LOCALS, this.own(rt.cpus * L.LOCAL_BLOCK, 64));
    this.set(L.LRU_SCANS, ownLists ? L.LRU_PERCPU_TARGET : LOCAL_TARGET);
    const share = Math.floor(Math.floor(spec.maxEntries / rt.cpus) / 2);
    this.set(L.LRU_TARGET, Math.min(Math.max(share, 1), LOCAL_TARGET));
    return super.prepare() || rt.exports.lru_init(this.addr);
  }

  protected override get takes(): boolean {
    return true;
  }

  override lookupAt(keyAddr: number): number {
    return this.rt.exports.map_lookup(this.addr, keyAddr) >>> 0;
  }

  updateAt(keyAddr: number, valueAddr: number, flags: number): number {
    const { exports } = this.rt;
    return this.perCpu
      ? exports.lru_percpu_update(this.addr, keyAddr, valueAddr, flags)
      : exports.lru_update(this.addr, keyAddr, valueAddr, flags);
  }

  protected override updateSys(keyAddr: number, valueAddr: number, flags: number): number {
    if (!this.perCpu) return this.updateAt(keyAddr, valueAddr, flags);
    return this.rt.exports.lru_percpu_update_all(this.addr, keyAddr, valueAddr, flags);
  }

  override deleteAt(keyAddr: number): number {
    return this.rt.exports.lru_delete(this.addr, keyAddr);
  }
}

/** With lists a CPU every CPU gets the same number of elements, at least one. */
function sized(rt: MapRuntime, spec: MapSpec): MapSpec {
  if (!(spec.flags & BPF_F_NO_COMMON_LRU)) return spec;
  return { ...spec, maxEntries: Math.ceil(spec.maxEntries / rt.cpus) * rt.cpus };
}

export const lruHashKind: MapKind = {
  type: MapType.BPF_MAP_TYPE_LRU_HASH,
  check: checkHash,
  create: (rt, spec) => new LruHashMap(rt, sized(rt, spec)),
};

export const lruPercpuHashKind: MapKind = { ...lruHashKind, type: MapType.BPF_MAP_TYPE_LRU_PERCPU_HASH };
