/** xskmap: AF_XDP sockets to redirect to, by the host's handles. Source: net/xdp/xskmap.c. */
import { Errno } from "../errors/index.ts";
import { type MapSpec, MapType } from "../object/index.ts";
import type { MapKind } from "./map.ts";
import type { MapRuntime } from "./runtime.ts";
import { checkSlots, DEVICE_FLAGS, SlotMap } from "./slots.ts";

class XskMap extends SlotMap {
  constructor(rt: MapRuntime, spec: MapSpec) {
    super(rt, spec, true);
  }

  protected put(index: number, valueAddr: number, flags: number): number {
    const socket = this.word(valueAddr);
    if (!socket) return -Errno.EBADF;
    const answer = this.rt.host.socket?.(socket, this.type) ?? 0;
    if (answer) return -answer;
    const slot = this.slotAt(index);
    const old = this.word(slot);
    if (old === socket) return 0;
    if (old && flags === 1) return -Errno.EEXIST;
    if (!old && flags === 2) return -Errno.ENOENT;
    this.fill(slot, socket);
    return 0;
  }

  protected override read(): number {
    return Errno.EOPNOTSUPP;
  }
}

export const xskmapKind: MapKind = {
  type: MapType.BPF_MAP_TYPE_XSKMAP,
  check: (spec) => checkSlots(spec, [4], DEVICE_FLAGS),
  create: (rt, spec) => new XskMap(rt, spec),
};
