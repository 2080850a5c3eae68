/**
 * cgroup_storage and its per-CPU form: a value for each attachment of a program to a cgroup. Values come and go with
 * the attachments (`attach`, `detach`); bpf(2) changes their contents only. Source: kernel/bpf/local_storage.c.
 */

import { toHex } from "../bytes/index.ts";
import { Errno } from "../errors/index.ts";
import {
  BPF_F_NUMA_NODE,
  BPF_F_RDONLY,
  BPF_F_RDONLY_PROG,
  BPF_F_WRONLY,
  BPF_F_WRONLY_PROG,
  type MapSpec,
  MapType,
} from "../object/index.ts";
import { MAX_PERCPU_VALUE } from "./array.ts";
import * as L from "./layout.ts";
import { accessOk, checkCommon, MapBase, type MapKind } from "./map.ts";
import type { MapRuntime } from "./runtime.ts";

const ALLOWED = BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG;
const MAX_VALUE = 65536 - 512 - 1;

/** cgroup_storage_map_alloc. */
function check(spec: MapSpec): number {
  const common = checkCommon(spec);
  if (common) return common;
  const percpu = spec.type === MapType.BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE;
  if ((spec.keySize !== 16 && spec.keySize !== 8) || spec.valueSize === 0) return Errno.EINVAL;
  if (spec.valueSize > (percpu ? MAX_PERCPU_VALUE : MAX_VALUE)) return Errno.E2BIG;
  return spec.flags & ~ALLOWED || !accessOk(spec.flags) || spec.maxEntries !== 0 ? Errno.EINVAL : 0;
}

interface Entry {
  readonly key: Uint8Array;
  readonly value: number;
  readonly withdraw: () => void;
}

export class CgroupStorageMap extends MapBase {
  /** Newest first, as the kernel lists them. */
  readonly #entries: Entry[] = [];

  constructor(rt: MapRuntime, spec: MapSpec) {
    super(rt, spec);
    this.set(L.MAP_CPU_STRIDE, this.perCpu ? this.stride : 0);
  }

  /** Makes a zeroed value for `key` (cgroup id, and attach type in keys of 16 bytes). @returns its address. */
  attach(key: Uint8Array): number {
    this.alive();
    const found = this.#find(key);
    if (found) return found.value;
    const size = this.stride * (this.perCpu ? this.rt.cpus : 1);
    const value = this.rt.memory.alloc(size);
    const withdraw = this.rt.memory.addRegion({
      name: `map ${this.spec.name}`,
      start: value,
      end: value + size,
      writable: !(this.spec.flags & BPF_F_RDONLY_PROG),
      slots: { stride: this.stride, size: this.spec.valueSize },
    });
    this.#entries.unshift({ key: key.slice(), value, withdraw });
    return value;
  }

  detach(key: Uint8Array): void {
    const at = this.#entries.findIndex((e) => toHex(e.key) === toHex(key));
    if (at < 0) return;
    this.#drop(this.#entries.splice(at, 1)[0]!);
  }

  /** Before a run: the value that bpf_get_local_storage gives. */
  setCurrent(valueAddr: number): void {
    this.set(L.STORAGE_CURRENT, valueAddr);
  }

  #find(key: Uint8Array): Entry | undefined {
    const text = toHex(key);
    return this.#entries.find((e) => toHex(e.key) === text);
  }

  #drop(entry: Entry): void {
    entry.withdraw();
    this.rt.memory.free(entry.value);
  }

  override lookupAt(keyAddr: number): number {
    return this.#find(this.bytes(keyAddr, this.spec.keySize))?.value ?? 0;
  }

  protected override readValue(keyAddr: number): Uint8Array | undefined {
    const at = this.lookupAt(keyAddr);
    if (!at) return undefined;
    return this.perCpu ? this.allCpus(at, this.stride) : this.bytes(at, this.spec.valueSize);
  }

  /** Also BPF_EXIST only says what holds anyway; BPF_NOEXIST is refused. */
  updateAt(keyAddr: number, valueAddr: number, flags: number): number {
    if (this.perCpu ? flags !== 0 && flags !== 2 : flags & ~6) return -Errno.EINVAL;
    const at = this.lookupAt(keyAddr);
    if (!at) return -Errno.ENOENT;
    const size = this.perCpu ? this.stride * this.rt.cpus : this.spec.valueSize;
    this.rt.memory.u8.copyWithin(at, valueAddr, valueAddr + size);
    return 0;
  }

  deleteAt(): number {
    return -Errno.EINVAL;
  }

  /** The kernel does not start over from a key that is not there. */
  protected nextKeyAt(keyAddr: number, out: number): number {
    let next = 0;
    if (keyAddr) {
      const text = toHex(this.bytes(keyAddr, this.spec.keySize));
      next = this.#entries.findIndex((e) => toHex(e.key) === text) + 1;
      if (next === 0) return -Errno.ENOENT;
    }
    const entry = this.#entries[next];
    if (!entry) return -Errno.ENOENT;
    this.write(entry.key, out);
    return 0;
  }

  *entries(): IterableIterator<[Uint8Array, Uint8Array]> {
    this.readable("BPF_MAP_LOOKUP_ELEM");
    for (const { key } of [...this.#entries]) {
      const value = this.lookup(key);
      if (value) yield [key.slice(), value];
    }
  }

  protected override release(): void {
    for (const entry of this.#entries.splice(0)) this.#drop(entry);
  }
}

export const cgroupStorageKind: MapKind = {
  type: MapType.BPF_MAP_TYPE_CGROUP_STORAGE,
  check,
  create: (rt, spec) => new CgroupStorageMap(rt, spec),
};

export const percpuCgroupStorageKind: MapKind = {
  ...cgroupStorageKind,
  type: MapType.BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE,
};
