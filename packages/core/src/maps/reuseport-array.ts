/** reuseport_sockarray: the sockets of a reuseport group to choose from, by handle. Source: kernel/bpf/reuseport_array.c. */
import { Errno } from "../errors/index.ts";
import { type MapSpec, MapType } from "../object/index.ts";
import { checkArray } from "./array.ts";
import type { MapKind } from "./map.ts";
import type { MapRuntime } from "./runtime.ts";
import { SlotMap } from "./slots.ts";
import { socketIn } from "./sockmap.ts";

class ReuseportArray extends SlotMap {
  constructor(rt: MapRuntime, spec: MapSpec) {
    super(rt, spec, false);
  }

  protected put(index: number, valueAddr: number, flags: number): number {
    const handle = socketIn(this, valueAddr);
    if (handle < 0) return handle;
    const slot = this.slotAt(index);
    const old = this.word(slot);
    if (old && flags === 1) return -Errno.EEXIST;
    if (!old && flags === 2) return -Errno.ENOENT;
    this.fill(slot, handle);
    return 0;
  }

  override deleteAt(keyAddr: number): number {
    const index = this.word(keyAddr);
    if (index >= this.spec.maxEntries) return -Errno.E2BIG;
    if (!this.word(this.slotAt(index))) return -Errno.ENOENT;
    this.clear(this.slotAt(index));
    return 0;
  }

  protected override read(keyAddr: number): Uint8Array | number {
    if (this.spec.valueSize !== 8) return Errno.ENOSPC;
    return super.read(keyAddr);
  }
}

export const reuseportArrayKind: MapKind = {
  type: MapType.BPF_MAP_TYPE_REUSEPORT_SOCKARRAY,
  check: (spec) => (spec.valueSize !== 4 && spec.valueSize !== 8 ? Errno.EINVAL : checkArray(spec)),
  create: (rt, spec) => new ReuseportArray(rt, spec),
};
