/** cpumap: CPUs to redirect to, each with a queue size and a program to run there. Source: kernel/bpf/cpumap.c. */
import { Errno } from "../errors/index.ts";
import { BPF_F_NUMA_NODE, type MapSpec, MapType } from "../object/index.ts";
import type { MapKind } from "./map.ts";
import type { MapRuntime } from "./runtime.ts";
import { checkSlots, SlotMap } from "./slots.ts";

const MAX_QUEUE = 16384;

class CpuMap extends SlotMap {
  constructor(rt: MapRuntime, spec: MapSpec) {
    super(rt, spec, true);
  }

  protected put(index: number, valueAddr: number, flags: number): number {
    if (flags === 1) return -Errno.EEXIST;
    const queue = this.word(valueAddr);
    const prog = this.spec.valueSize > 4 ? this.word(valueAddr + 4) | 0 : 0;
    if (queue > MAX_QUEUE) return -Errno.EOVERFLOW;
    if (index >= this.rt.cpus) return -Errno.ENODEV;
    if (queue === 0) {
      this.clear(this.slotAt(index));
      return 0;
    }
    // The kernel makes one error of all that can fail here.
    if (prog > 0 && !(this.rt.host.program?.(prog) ?? true)) return -Errno.ENOMEM;
    this.fill(this.slotAt(index), queue, Math.max(prog, 0));
    return 0;
  }
}

export const cpumapKind: MapKind = {
  type: MapType.BPF_MAP_TYPE_CPUMAP,
  check: (spec: MapSpec, rt: MapRuntime) =>
    checkSlots(spec, [4, 8], BPF_F_NUMA_NODE) || (spec.maxEntries > rt.maxCpus ? Errno.E2BIG : 0),
  create: (rt, spec) => new CpuMap(rt, spec),
};
