/** reuseport_sockarray: the sockets of a reuseport group to choose from, by handle. Source: kernel/bpf/reuseport_array.c. */
import { Errno } from "../errors/index.ts";
import { type MapSpec, MapType } from "../object/index.ts";
import { checkArray } from "./array.ts";
import type { MapKind } from "./map.ts";
import type { MapRuntime } from "./runtime.ts";
import { isHandle, SocketSlots, socketIn } from "./sockmap.ts";

/** The sockets of a machine that stand in an array: each has room for one place (sk_user_data). */
const placed = new WeakMap<MapRuntime, Set<number>>();

class ReuseportArray extends SocketSlots {
  readonly #placed: Set<number>;

  constructor(rt: MapRuntime, spec: MapSpec) {
    super(rt, spec);
    this.#placed = placed.get(rt) ?? new Set();
    placed.set(rt, this.#placed);
  }

  /** A number that names no socket comes before the flags, a socket that does not fit after them. */
  protected put(index: number, valueAddr: number, flags: number): number {
    // fds are signed: only a value of 8 bytes can hold a number that is too large for one.
    if (!isHandle(this, valueAddr)) return this.spec.valueSize === 4 ? -Errno.EBADF : -Errno.EINVAL;
    const handle = socketIn(this, valueAddr);
    if (handle === -Errno.EBADF || handle === -Errno.ENOTSOCK) return handle;
    const slot = this.slotAt(index);
    const old = this.word(slot);
    if (old && flags === 1) return -Errno.EEXIST;
    if (!old && flags === 2) return -Errno.ENOENT;
    if (handle < 0) return handle;
    if (this.#placed.has(handle)) return -Errno.EBUSY;
    this.fill(slot, handle);
    this.#placed.add(handle);
    return 0;
  }

  protected override drop(slot: number): void {
    this.#placed.delete(this.word(slot));
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
