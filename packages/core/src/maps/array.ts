/** array: values in one block, all there from the start. Source: kernel/bpf/arraymap.c. */
import { Errno } from "../errors/index.ts";
import {
  BPF_F_INNER_MAP,
  BPF_F_MMAPABLE,
  BPF_F_NUMA_NODE,
  BPF_F_RDONLY,
  BPF_F_RDONLY_PROG,
  BPF_F_WRONLY,
  BPF_F_WRONLY_PROG,
  type MapSpec,
  MapType,
} from "../object/index.ts";
import * as L from "./layout.ts";
import { accessOk, type BatchCommands, checkCommon, MapBase, type MapKind } from "./map.ts";
import type { MapRuntime } from "./runtime.ts";

/** BPF_F_PRESERVE_ELEMS, of perf event arrays only. */
export const PRESERVE_ELEMS = 1 << 11;
const ACCESS = BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG;
/** PCPU_MIN_UNIT_SIZE: the largest value that a per-CPU allocation holds. */
export const MAX_PERCPU_VALUE = 32 << 10;

/** array_map_alloc_check for every type that is an array of something. */
export function checkArray(spec: MapSpec): number {
  const common = checkCommon(spec);
  if (common) return common;
  const allowed = BPF_F_NUMA_NODE | BPF_F_MMAPABLE | ACCESS | PRESERVE_ELEMS | BPF_F_INNER_MAP;
  const percpu = spec.type === MapType.BPF_MAP_TYPE_PERCPU_ARRAY;
  if (spec.maxEntries === 0 || spec.keySize !== 4 || spec.valueSize === 0) return Errno.EINVAL;
  if (spec.flags & ~allowed || !accessOk(spec.flags) || (percpu && spec.flags & BPF_F_NUMA_NODE)) return Errno.EINVAL;
  if (spec.type !== MapType.BPF_MAP_TYPE_ARRAY && spec.flags & (BPF_F_MMAPABLE | BPF_F_INNER_MAP)) return Errno.EINVAL;
  if (spec.type !== MapType.BPF_MAP_TYPE_PERF_EVENT_ARRAY && spec.flags & PRESERVE_ELEMS) return Errno.EINVAL;
  if (spec.valueSize > 0x7fffffff) return Errno.E2BIG;
  if (percpu && Math.ceil(spec.valueSize / 8) * 8 > MAX_PERCPU_VALUE) return Errno.E2BIG;
  return 0;
}

/** Shared by array and percpu_array: index keys, all elements there. */
export abstract class ArrayBase extends MapBase {
  deleteAt(): number {
    return -Errno.EINVAL;
  }

  protected override get batches(): BatchCommands {
    return { lookup: true, update: true };
  }

  protected nextKeyAt(keyAddr: number, out: number): number {
    return this.rt.exports.array_next_key(this.addr, keyAddr, out);
  }

  *entries(): IterableIterator<[Uint8Array, Uint8Array]> {
    this.readable("BPF_MAP_LOOKUP_ELEM");
    for (let i = 0; i < this.spec.maxEntries; i++) {
      this.alive();
      this.rt.memory.u32[this.keyAddr >>> 2] = i;
      const value = this.readValue(this.keyAddr);
      if (value) yield [this.bytes(this.keyAddr, 4), value];
    }
  }
}

class ArrayMap extends ArrayBase {
  readonly #values: number;

  constructor(rt: MapRuntime, spec: MapSpec) {
    super(rt, spec);
    const size = this.stride * spec.maxEntries;
    this.#values = this.own(size, spec.flags & BPF_F_MMAPABLE ? 4096 : 16);
    this.set(L.MAP_VALUES, this.#values);
    this.announce(this.#values, this.#values + size, this.stride);
  }

  override valueAddr(offset: number): number {
    if (this.spec.maxEntries !== 1) this.fail("BPF_PROG_LOAD", Errno.ENOTSUPP, "direct access needs max_entries 1");
    if (offset < 0 || offset >= this.spec.valueSize) this.fail("BPF_PROG_LOAD", Errno.EINVAL, `offset ${offset}`);
    return this.#values + offset;
  }

  updateAt(keyAddr: number, valueAddr: number, flags: number): number {
    return this.rt.exports.array_update(this.addr, keyAddr, valueAddr, flags);
  }
}

export const arrayKind: MapKind = {
  type: MapType.BPF_MAP_TYPE_ARRAY,
  check: checkArray,
  create: (rt, spec) => new ArrayMap(rt, spec),
};
