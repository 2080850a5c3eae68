/**
 * sk_storage, task_storage, inode_storage, cgrp_storage: a value an object, made when a program first asks for it.
 * Objects have handles that the host gives out, above 0; bpf(2) keys are those. The host deletes an object's value when
 * the object goes. Source: kernel/bpf/bpf_local_storage.c.
 */
import { Errno } from "../errors/index.ts";
import { BPF_F_CLONE, BPF_F_NO_PREALLOC, type MapSpec, MapType } from "../object/index.ts";
import { HashBase } from "./hash.ts";
import * as L from "./layout.ts";
import { type BatchCommands, checkCommon, type MapKind } from "./map.ts";
import type { MapRuntime } from "./runtime.ts";

/** BPF_LOCAL_STORAGE_MAX_VALUE_SIZE: 64 KiB less an element's head, or what kmalloc gives, whichever is smaller. */
const MAX_VALUE = 65536 - 512 - 1;
/** The map has no size: buckets for this many owners at short chains. */
const BUCKETS = 1 << 14;

/** bpf_local_storage_map_alloc_check. The kernel insists on BTF for key and value. */
function check(spec: MapSpec): number {
  const common = checkCommon(spec);
  if (common) return common;
  const wrong =
    spec.flags & ~(BPF_F_NO_PREALLOC | BPF_F_CLONE) ||
    !(spec.flags & BPF_F_NO_PREALLOC) ||
    spec.maxEntries !== 0 ||
    spec.keySize !== 4 ||
    spec.valueSize === 0 ||
    !spec.keyTypeId ||
    !spec.valueTypeId;
  if (wrong) return Errno.EINVAL;
  return spec.valueSize > MAX_VALUE ? Errno.E2BIG : 0;
}

class LocalStorageMap extends HashBase {
  constructor(rt: MapRuntime, spec: MapSpec) {
    super(rt, spec, { lead: 0, spares: 0, kind: L.HASH_4, onDemand: true, expected: BUCKETS });
    this.set(L.MAP_MAX_ENTRIES, 0x7fffffff);
    this.set(L.STORAGE_ZERO, this.own(Math.max(8, this.stride)));
  }

  updateAt(keyAddr: number, valueAddr: number, flags: number): number {
    if (!this.#isOwner(this.word(keyAddr))) return -Errno.EBADF;
    return this.rt.exports.hash_update(this.addr, keyAddr, valueAddr, flags);
  }

  override deleteAt(keyAddr: number): number {
    return this.#isOwner(this.word(keyAddr)) ? super.deleteAt(keyAddr) : -Errno.EBADF;
  }

  override lookup(key: Uint8Array): Uint8Array | undefined {
    const command = "BPF_MAP_LOOKUP_ELEM";
    this.readable(command);
    this.putKey(command, key);
    if (!this.#isOwner(this.word(this.keyAddr))) this.fail(command, Errno.EBADF, "no such owner");
    return super.lookup(key);
  }

  #isOwner(handle: number): boolean {
    return handle !== 0 && (this.rt.host.owner?.(handle, this.type) ?? true);
  }

  protected override nextKeyAt(): number {
    return -Errno.ENOTSUPP;
  }

  protected override get batches(): BatchCommands {
    return {};
  }
}

const kind = (type: number): MapKind => ({ type, check, create: (rt, spec) => new LocalStorageMap(rt, spec) });

export const skStorageKind = kind(MapType.BPF_MAP_TYPE_SK_STORAGE);
export const taskStorageKind = kind(MapType.BPF_MAP_TYPE_TASK_STORAGE);
export const inodeStorageKind = kind(MapType.BPF_MAP_TYPE_INODE_STORAGE);
export const cgrpStorageKind = kind(MapType.BPF_MAP_TYPE_CGRP_STORAGE);
