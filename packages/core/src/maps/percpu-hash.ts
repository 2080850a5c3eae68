/** percpu_hash: a hash whose elements hold one value a CPU. Source: kernel/bpf/hashtab.c. */
import { type MapSpec, MapType } from "../object/index.ts";
import { checkHash, HashBase } from "./hash.ts";
import type { MapKind } from "./map.ts";
import type { MapRuntime } from "./runtime.ts";

class PercpuHashMap extends HashBase {
  constructor(rt: MapRuntime, spec: MapSpec) {
    super(rt, spec, { lead: 0, spares: 0 });
  }

  protected override get takes(): boolean {
    return true;
  }

  override lookupAt(keyAddr: number): number {
    return this.rt.exports.percpu_hash_lookup(this.addr, keyAddr) >>> 0;
  }

  updateAt(keyAddr: number, valueAddr: number, flags: number): number {
    return this.rt.exports.percpu_hash_update(this.addr, keyAddr, valueAddr, flags);
  }

  protected override updateSys(keyAddr: number, valueAddr: number, flags: number): number {
    return this.rt.exports.percpu_hash_update_all(this.addr, keyAddr, valueAddr, flags);
  }
}

export const percpuHashKind: MapKind = {
  type: MapType.BPF_MAP_TYPE_PERCPU_HASH,
  check: checkHash,
  create: (rt, spec) => new PercpuHashMap(rt, spec),
};
