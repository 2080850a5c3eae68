/** percpu_array: one array a CPU. A program sees its CPU's value, bpf(2) all of them. Source: kernel/bpf/arraymap.c. */
import { type MapSpec, MapType } from "../object/index.ts";
import { ArrayBase, checkArray } from "./array.ts";
import * as L from "./layout.ts";
import type { MapKind } from "./map.ts";
import type { MapRuntime } from "./runtime.ts";

class PercpuArrayMap extends ArrayBase {
  constructor(rt: MapRuntime, spec: MapSpec) {
    super(rt, spec);
    // Each CPU's array apart, so that two CPUs do not share a cache line.
    const one = Math.ceil((this.stride * spec.maxEntries) / 64) * 64;
    const values = this.own(one * rt.cpus, 64);
    this.set(L.MAP_VALUES, values);
    this.set(L.MAP_CPU_STRIDE, one);
    for (let cpu = 0; cpu < rt.cpus; cpu++) {
      this.announce(values + cpu * one, values + cpu * one + this.stride * spec.maxEntries, this.stride);
    }
  }

  updateAt(keyAddr: number, valueAddr: number, flags: number): number {
    return this.rt.exports.percpu_array_update(this.addr, keyAddr, valueAddr, flags);
  }

  protected override updateSys(keyAddr: number, valueAddr: number, flags: number): number {
    return this.rt.exports.percpu_array_update_all(this.addr, keyAddr, valueAddr, flags);
  }

  protected override readValue(keyAddr: number): Uint8Array | undefined {
    const first = this.rt.exports.array_lookup(this.addr, keyAddr) >>> 0;
    return first ? this.allCpus(first, this.get(L.MAP_CPU_STRIDE)) : undefined;
  }
}

export const percpuArrayKind: MapKind = {
  type: MapType.BPF_MAP_TYPE_PERCPU_ARRAY,
  check: checkArray,
  create: (rt, spec) => new PercpuArrayMap(rt, spec),
};
