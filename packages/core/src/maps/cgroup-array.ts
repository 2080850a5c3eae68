/** cgroup_array: control groups to test a packet's against, by the host's handles. Source: kernel/bpf/arraymap.c. */
import { Errno } from "../errors/index.ts";
import { MapType } from "../object/index.ts";
import type { MapKind } from "./map.ts";
import { checkFdArray, FdArrayMap } from "./prog-array.ts";

class CgroupArrayMap extends FdArrayMap {
  protected put(index: number, valueAddr: number): number {
    const handle = this.word(valueAddr);
    if (!handle || !(this.rt.host.cgroup?.(handle) ?? true)) return -Errno.EBADF;
    this.fill(this.slotAt(index), handle);
    return 0;
  }

  protected override read(): number {
    return Errno.ENOTSUPP;
  }
}

export const cgroupArrayKind: MapKind = {
  type: MapType.BPF_MAP_TYPE_CGROUP_ARRAY,
  check: checkFdArray,
  create: (rt, spec) => new CgroupArrayMap(rt, spec),
};
