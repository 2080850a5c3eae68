/** prog_array: programs to tail-call, by id. Source: kernel/bpf/arraymap.c. */
import { Errno } from "../errors/index.ts";
import { BPF_F_RDONLY_PROG, BPF_F_WRONLY_PROG, type MapSpec, MapType } from "../object/index.ts";
import { checkArray } from "./array.ts";
import type { MapKind } from "./map.ts";
import type { MapRuntime } from "./runtime.ts";
import { SlotMap } from "./slots.ts";

/** fd_array_map_alloc_check: words that programs neither read nor write. */
export function checkFdArray(spec: MapSpec): number {
  if (spec.valueSize !== 4 || spec.flags & (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG)) return Errno.EINVAL;
  return checkArray(spec);
}

/** The rules of bpf_fd_array_map_update_elem and fd_array_map_delete_elem. */
export abstract class FdArrayMap extends SlotMap {
  constructor(rt: MapRuntime, spec: MapSpec) {
    super(rt, spec, false);
  }

  override updateAt(keyAddr: number, valueAddr: number, flags: number): number {
    if (flags !== 0) return -Errno.EINVAL;
    const index = this.word(keyAddr);
    if (index >= this.spec.maxEntries) return -Errno.E2BIG;
    return this.put(index, valueAddr, flags);
  }

  override deleteAt(keyAddr: number): number {
    const index = this.word(keyAddr);
    if (index >= this.spec.maxEntries) return -Errno.E2BIG;
    const slot = this.slotAt(index);
    if (!this.word(slot)) return -Errno.ENOENT;
    this.clear(slot);
    return 0;
  }
}

class ProgArrayMap extends FdArrayMap {
  protected put(index: number, valueAddr: number): number {
    const id = this.word(valueAddr);
    if (!id || !(this.rt.host.program?.(id) ?? true)) return -Errno.EBADF;
    this.fill(this.slotAt(index), id);
    return 0;
  }
}

export const progArrayKind: MapKind = {
  type: MapType.BPF_MAP_TYPE_PROG_ARRAY,
  check: checkFdArray,
  create: (rt, spec) => new ProgArrayMap(rt, spec),
};
