/**
 * devmap and devmap_hash: devices to redirect to, by ifindex, each with a program to run on the way out. Programs read
 * the values and never write them. Source: kernel/bpf/devmap.c.
 */
import { Errno } from "../errors/index.ts";
import { BPF_F_RDONLY_PROG, type MapSpec, MapType } from "../object/index.ts";
import { HashBase } from "./hash.ts";
import * as L from "./layout.ts";
import type { BatchCommands, MapKind } from "./map.ts";
import type { MapRuntime } from "./runtime.ts";
import { checkSlots, DEVICE_FLAGS, SlotMap } from "./slots.ts";

/** ifindex, and program id where the value has room for one; an id below 1 is none. */
function device(
  map: { rt: MapRuntime; word(at: number): number; spec: MapSpec },
  at: number,
): [number, number] | number {
  const ifindex = map.word(at);
  const prog = map.spec.valueSize > 4 ? map.word(at + 4) | 0 : 0;
  const { host } = map.rt;
  if (!(host.netdev?.(ifindex) ?? true)) return -Errno.EINVAL;
  if (prog > 0 && !(host.program?.(prog) ?? true)) return -Errno.EINVAL;
  return [ifindex, Math.max(prog, 0)];
}

class DevMap extends SlotMap {
  constructor(rt: MapRuntime, spec: MapSpec) {
    super(rt, spec, true);
  }

  protected put(index: number, valueAddr: number, flags: number): number {
    // A slot of a devmap always exists.
    if (flags === 1) return -Errno.EEXIST;
    if (!this.word(valueAddr)) {
      if (this.spec.valueSize > 4 && (this.word(valueAddr + 4) | 0) > 0) return -Errno.EINVAL;
      this.clear(this.slotAt(index));
      return 0;
    }
    const found = device(this, valueAddr);
    if (typeof found === "number") return found;
    this.fill(this.slotAt(index), ...found);
    return 0;
  }
}

class DevMapHash extends HashBase {
  constructor(rt: MapRuntime, spec: MapSpec) {
    super(rt, spec, { lead: 0, spares: 0, kind: L.HASH_INDEX, onDemand: true });
  }

  updateAt(keyAddr: number, valueAddr: number, flags: number): number {
    if (flags > 2 || !this.word(valueAddr)) return -Errno.EINVAL;
    if (flags === 1 && this.lookupAt(keyAddr)) return -Errno.EEXIST;
    const found = device(this, valueAddr);
    if (typeof found === "number") return found;
    this.setWord(this.scratchAddr, found[0]);
    this.setWord(this.scratchAddr + 4, found[1]);
    // BPF_EXIST asks for nothing here.
    return this.rt.exports.hash_update(this.addr, keyAddr, this.scratchAddr, 0);
  }

  /** Unlike other hashes it has none. */
  protected override get batches(): BatchCommands {
    return {};
  }

  protected override announce(start: number, end: number, stride: number): void {
    super.announce(start, end, stride, false);
  }
}

function check(spec: MapSpec): number {
  const wrong = checkSlots(spec, [4, 8], DEVICE_FLAGS);
  if (wrong) return wrong;
  return spec.type === MapType.BPF_MAP_TYPE_DEVMAP_HASH && spec.maxEntries > 2 ** 31 ? Errno.EINVAL : 0;
}

/** Programs may only read: the kernel sets this flag itself. */
const readOnly = (spec: MapSpec): MapSpec => ({ ...spec, flags: spec.flags | BPF_F_RDONLY_PROG });

export const devmapKind: MapKind = {
  type: MapType.BPF_MAP_TYPE_DEVMAP,
  check,
  create: (rt, spec) => new DevMap(rt, readOnly(spec)),
};

export const devmapHashKind: MapKind = {
  type: MapType.BPF_MAP_TYPE_DEVMAP_HASH,
  check,
  create: (rt, spec) => new DevMapHash(rt, readOnly(spec)),
};
