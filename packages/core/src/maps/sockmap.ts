/**
 * sockmap and sockhash: sockets, by the host's handles (its cookies). Source: net/core/sock_map.c.
 */
import { viewOf } from "../bytes/index.ts";
import { Errno } from "../errors/index.ts";
import { type MapSpec, MapType } from "../object/index.ts";
import { HashBase } from "./hash.ts";
import * as L from "./layout.ts";
import { type BatchCommands, checkCommon, type MapKind } from "./map.ts";
import type { MapRuntime } from "./runtime.ts";
import { checkSlots, DEVICE_FLAGS, SlotMap } from "./slots.ts";

const MAX_INT = 0x7fffffff;

interface SocketHolder {
  readonly rt: MapRuntime;
  readonly spec: MapSpec;
  readonly type: number;
  word(at: number): number;
}

/** Is the number in a value of 4 or 8 bytes one that an fd can have? */
export function isHandle(map: SocketHolder, valueAddr: number): boolean {
  return map.word(valueAddr) <= MAX_INT && (map.spec.valueSize === 4 || !map.word(valueAddr + 4));
}

/** The handle in a value when the map takes that socket, or -errno. */
export function socketIn(map: SocketHolder, valueAddr: number): number {
  if (!isHandle(map, valueAddr)) return -Errno.EINVAL;
  const handle = map.word(valueAddr);
  if (!handle) return -Errno.EBADF;
  const answer = map.rt.host.socket?.(handle, map.type) ?? 0;
  return answer ? -answer : handle;
}

/** A value that a program's socket stands for: the maps take handles in values. */
function handleValue(
  map: { readonly rt: MapRuntime; readonly spec: MapSpec; readonly scratchAddr: number },
  socket: number,
) {
  const { memory } = map.rt;
  memory.u8.fill(0, map.scratchAddr, map.scratchAddr + map.spec.valueSize);
  memory.view.setUint32(map.scratchAddr, socket, true);
  return map.scratchAddr;
}

/** The maps of a machine that hold sockets: a socket that is closed leaves them all. */
const holders = new WeakMap<MapRuntime, Set<{ forget(handle: number): void }>>();

export function holding(rt: MapRuntime): Set<{ forget(handle: number): void }> {
  const there = holders.get(rt) ?? new Set();
  holders.set(rt, there);
  return there;
}

/**
 * The host closed a socket: socket maps and reuseport arrays let it go, as the kernel's do. Source: net/core/sock_map.c
 * `sock_map_close`, kernel/bpf/reuseport_array.c `bpf_sk_reuseport_detach`.
 */
export function socketClosed(rt: MapRuntime, handle: number): void {
  for (const map of holding(rt)) map.forget(handle);
}

/** A map with a socket a slot. */
export abstract class SocketSlots extends SlotMap {
  constructor(rt: MapRuntime, spec: MapSpec) {
    super(rt, spec, false);
    holding(rt).add(this);
  }

  forget(handle: number): void {
    for (let i = 0; i < this.spec.maxEntries; i++) {
      if (this.word(this.slotAt(i)) === handle) this.clear(this.slotAt(i));
    }
  }

  protected override release(): void {
    holding(this.rt).delete(this);
    super.release();
  }
}

class SockMap extends SocketSlots {
  /** The socket is looked at before the flags and the index are. */
  override updateAt(keyAddr: number, valueAddr: number, flags: number): number {
    const handle = socketIn(this, valueAddr);
    if (handle < 0) return handle;
    return super.updateAt(keyAddr, valueAddr, flags);
  }

  putObject(keyAddr: number, socket: number, flags: number): number {
    return socket ? this.updateAt(keyAddr, handleValue(this, socket), flags) : -Errno.EINVAL;
  }

  dropObject(keyAddr: number): number {
    return this.deleteAt(keyAddr);
  }

  protected put(index: number, valueAddr: number, flags: number): number {
    const slot = this.slotAt(index);
    const old = this.word(slot);
    if (old && flags === 1) return -Errno.EEXIST;
    if (!old && flags === 2) return -Errno.ENOENT;
    this.fill(slot, this.word(valueAddr));
    return 0;
  }

  override deleteAt(keyAddr: number): number {
    const index = this.word(keyAddr);
    if (index >= this.spec.maxEntries || !this.word(this.slotAt(index))) return -Errno.EINVAL;
    this.clear(this.slotAt(index));
    return 0;
  }

  protected override read(keyAddr: number): Uint8Array | number {
    if (this.spec.valueSize !== 8) return Errno.ENOSPC;
    return super.read(keyAddr);
  }
}

class SockHash extends HashBase {
  constructor(rt: MapRuntime, spec: MapSpec) {
    super(rt, spec, { lead: 0, spares: 0, kind: L.HASH_JHASH, onDemand: true });
    holding(rt).add(this);
  }

  forget(handle: number): void {
    for (let bucket = 0; bucket < 2 ** (32 - this.get(L.MAP_SHIFT)); bucket++) {
      for (const [key, value] of this.bucket(bucket)) {
        if (viewOf(value).getUint32(0, true) !== handle) continue;
        this.rt.memory.u8.set(key, this.keyAddr);
        this.deleteAt(this.keyAddr);
      }
    }
  }

  protected override release(): void {
    holding(this.rt).delete(this);
    super.release();
  }

  updateAt(keyAddr: number, valueAddr: number, flags: number): number {
    const handle = socketIn(this, valueAddr);
    if (handle < 0) return handle;
    if (flags > 2) return -Errno.EINVAL;
    return this.rt.exports.hash_update(this.addr, keyAddr, valueAddr, flags);
  }

  putObject(keyAddr: number, socket: number, flags: number): number {
    return socket ? this.updateAt(keyAddr, handleValue(this, socket), flags) : -Errno.EINVAL;
  }

  dropObject(keyAddr: number): number {
    return this.deleteAt(keyAddr);
  }

  override lookup(key: Uint8Array): Uint8Array | undefined {
    const command = "BPF_MAP_LOOKUP_ELEM";
    this.readable(command);
    if (this.spec.valueSize !== 8) this.fail(command, Errno.ENOSPC);
    return super.lookup(key);
  }

  protected override get batches(): BatchCommands {
    return {};
  }

  /** The values are handles: no program reads them as bytes. */
  protected override announce(): void {}
}

/** sock_hash_alloc. */
function checkHash(spec: MapSpec): number {
  const common = checkCommon(spec);
  if (common) return common;
  if (spec.maxEntries === 0 || spec.keySize === 0 || ![4, 8].includes(spec.valueSize)) return Errno.EINVAL;
  if (spec.flags & ~DEVICE_FLAGS) return Errno.EINVAL;
  return spec.keySize > 512 ? Errno.E2BIG : 0;
}

export const sockmapKind: MapKind = {
  type: MapType.BPF_MAP_TYPE_SOCKMAP,
  check: (spec) => checkSlots(spec, [4, 8], DEVICE_FLAGS) || (spec.maxEntries > MAX_INT ? Errno.EINVAL : 0),
  create: (rt, spec) => new SockMap(rt, spec),
};

export const sockhashKind: MapKind = {
  type: MapType.BPF_MAP_TYPE_SOCKHASH,
  check: checkHash,
  create: (rt, spec) => new SockHash(rt, spec),
};
