/**
 * array_of_maps and hash_of_maps: slots that hold other maps. A program's lookup gives the inner map's address, bpf(2)'s
 * its id; an inner map lives while it is in one. Source: kernel/bpf/map_in_map.c, arraymap.c, hashtab.c.
 */
import { Errno } from "../errors/index.ts";
import { BPF_F_INNER_MAP, type MapSpec, MapType } from "../object/index.ts";
import { checkArray } from "./array.ts";
import { checkHash, HashBase, sparesOf } from "./hash.ts";
import type { BatchCommands, MapKind } from "./map.ts";
import { FdArrayMap } from "./prog-array.ts";
import type { LiveMap, MapRuntime } from "./runtime.ts";

const NO_INNER: readonly number[] = [
  MapType.BPF_MAP_TYPE_PROG_ARRAY,
  MapType.BPF_MAP_TYPE_CGROUP_STORAGE,
  MapType.BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE,
  MapType.BPF_MAP_TYPE_STRUCT_OPS,
];

/** bpf_map_meta_alloc: EBADF without a template. */
function checkInner(spec: MapSpec): number {
  const inner = spec.inner;
  if (!inner) return Errno.EBADF;
  if (isMapInMap(inner.type)) return Errno.EINVAL;
  return NO_INNER.includes(inner.type) ? Errno.ENOTSUPP : 0;
}

const isMapInMap = (type: number) =>
  type === MapType.BPF_MAP_TYPE_ARRAY_OF_MAPS || type === MapType.BPF_MAP_TYPE_HASH_OF_MAPS;

/** bpf_map_meta_equal and array_map_meta_equal: may `map` stand where the template does? */
function fits(template: MapSpec, map: MapSpec): boolean {
  if (template.type !== map.type || template.keySize !== map.keySize) return false;
  if (template.valueSize !== map.valueSize || template.flags !== map.flags) return false;
  const sized = template.type === MapType.BPF_MAP_TYPE_ARRAY && !(template.flags & BPF_F_INNER_MAP);
  return !sized || template.maxEntries === map.maxEntries;
}

/** The map with `id` when it fits the template, or -errno. */
function innerMap(rt: MapRuntime, spec: MapSpec, id: number): LiveMap | number {
  const map = rt.byId.get(id);
  if (!map) return -Errno.EBADF;
  return fits(spec.inner!, map.spec) ? map : -Errno.EINVAL;
}

function idBytes(id: number): Uint8Array {
  return new Uint8Array([id, id >>> 8, id >>> 16, id >>> 24]);
}

class ArrayOfMaps extends FdArrayMap {
  protected put(index: number, valueAddr: number): number {
    const map = innerMap(this.rt, this.spec, this.word(valueAddr));
    if (typeof map === "number") return map;
    map.retain();
    this.fill(this.slotAt(index), map.addr);
    return 0;
  }

  protected override show(slot: number): Uint8Array {
    return idBytes(this.rt.byAddress.get(this.word(slot))!.id);
  }

  protected override drop(slot: number): void {
    this.rt.byAddress.get(this.word(slot))?.close();
  }

  protected override get batches(): BatchCommands {
    return { lookup: true, update: true };
  }

  override lookupAt(keyAddr: number): number {
    return this.rt.exports.inner_map_array(this.addr, keyAddr) >>> 0;
  }
}

class HashOfMaps extends HashBase {
  constructor(rt: MapRuntime, spec: MapSpec) {
    super(rt, spec, { lead: 0, spares: sparesOf(rt, spec) });
  }

  updateAt(keyAddr: number, valueAddr: number, flags: number): number {
    const map = innerMap(this.rt, this.spec, this.word(valueAddr));
    if (typeof map === "number") return map;
    const slot = this.rt.exports.hash_lookup(this.addr, keyAddr) >>> 0;
    if (slot && flags <= 2) {
      // In place since 6.15: the element keeps its position.
      if (flags === 1) return -Errno.EEXIST;
      map.retain();
      this.rt.byAddress.get(this.word(slot))?.close();
      this.setWord(slot, map.addr);
      return 0;
    }
    this.setWord(this.scratchAddr, map.addr);
    const result = this.rt.exports.hash_update(this.addr, keyAddr, this.scratchAddr, flags);
    if (!result) map.retain();
    return result;
  }

  override deleteAt(keyAddr: number): number {
    const old = this.lookupAt(keyAddr);
    const result = super.deleteAt(keyAddr);
    if (result === 0) this.rt.byAddress.get(old)?.close();
    return result;
  }

  override lookupAt(keyAddr: number): number {
    return this.rt.exports.inner_map_hash(this.addr, keyAddr) >>> 0;
  }

  protected override valueOfElem(elem: number): Uint8Array {
    return idBytes(this.rt.byAddress.get(this.word(this.valueAt(elem)))!.id);
  }

  /** The values are addresses: no program reads them as bytes. */
  protected override announce(): void {}

  protected override release(): void {
    for (const elem of this.elems()) this.rt.byAddress.get(this.word(this.valueAt(elem)))?.close();
  }
}

export const arrayOfMapsKind: MapKind = {
  type: MapType.BPF_MAP_TYPE_ARRAY_OF_MAPS,
  check: (spec) => (spec.valueSize !== 4 ? Errno.EINVAL : checkArray(spec) || checkInner(spec)),
  create: (rt, spec) => new ArrayOfMaps(rt, spec),
};

export const hashOfMapsKind: MapKind = {
  type: MapType.BPF_MAP_TYPE_HASH_OF_MAPS,
  check: (spec) => (spec.valueSize !== 4 ? Errno.EINVAL : checkHash(spec) || checkInner(spec)),
  create: (rt, spec) => new HashOfMaps(rt, spec),
};
