/** queue and stack: values without keys, first or last in first out. Source: kernel/bpf/queue_stack_maps.c. */
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
import * as L from "./layout.ts";
import { accessOk, checkCommon, MapBase, type MapKind } from "./map.ts";
import type { MapRuntime } from "./runtime.ts";

const ALLOWED = BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG;
const KMALLOC_MAX = 4 << 20;

/** queue_stack_map_alloc_check. */
function check(spec: MapSpec): number {
  const common = checkCommon(spec);
  if (common) return common;
  if (spec.maxEntries === 0 || spec.keySize !== 0 || spec.valueSize === 0) return Errno.EINVAL;
  if (spec.flags & ~ALLOWED || !accessOk(spec.flags)) return Errno.EINVAL;
  return spec.valueSize > KMALLOC_MAX ? Errno.E2BIG : 0;
}

/** Types whose operations take no key: bpf(2)'s lookup peeks, update pushes, lookup-and-delete pops. */
export abstract class KeylessMap extends MapBase {
  protected abstract push(valueAddr: number, flags: bigint): number;
  protected abstract peek(valueAddr: number): number;
  protected abstract pop(valueAddr: number): number;

  override lookup(key: Uint8Array): Uint8Array | undefined {
    this.readable("BPF_MAP_LOOKUP_ELEM");
    this.putKey("BPF_MAP_LOOKUP_ELEM", key);
    return this.taken("BPF_MAP_LOOKUP_ELEM", this.peek(this.scratchAddr));
  }

  override lookupAndDelete(key: Uint8Array): Uint8Array | undefined {
    const command = "BPF_MAP_LOOKUP_AND_DELETE_ELEM";
    this.readable(command);
    this.writable(command);
    this.putKey(command, key);
    return this.taken(command, this.pop(this.scratchAddr));
  }

  protected taken(command: string, result: number): Uint8Array | undefined {
    if (result === -Errno.ENOENT) return undefined;
    if (result) this.fail(command, -result);
    return this.bytes(this.scratchAddr, this.spec.valueSize);
  }

  override lookupAt(): number {
    return 0;
  }

  updateAt(_keyAddr: number, valueAddr: number, flags: number): number {
    return this.push(valueAddr, BigInt(flags >>> 0));
  }

  deleteAt(): number {
    return -Errno.EINVAL;
  }

  protected nextKeyAt(): number {
    return -Errno.EINVAL;
  }

  // biome-ignore lint/correctness/useYield: a type without keys has no entries to walk.
  *entries(): IterableIterator<[Uint8Array, Uint8Array]> {
    this.readable("BPF_MAP_GET_NEXT_KEY");
  }
}

class QueueMap extends KeylessMap {
  constructor(rt: MapRuntime, spec: MapSpec) {
    super(rt, spec);
    this.set(L.MAP_VALUES, this.own(spec.valueSize * (spec.maxEntries + 1)));
  }

  protected push(valueAddr: number, flags: bigint): number {
    return this.rt.exports.queue_push(this.addr, valueAddr, flags);
  }

  protected peek(valueAddr: number): number {
    const { exports } = this.rt;
    return this.type === MapType.BPF_MAP_TYPE_STACK
      ? exports.stack_peek(this.addr, valueAddr)
      : exports.queue_peek(this.addr, valueAddr);
  }

  protected pop(valueAddr: number): number {
    const { exports } = this.rt;
    return this.type === MapType.BPF_MAP_TYPE_STACK
      ? exports.stack_pop(this.addr, valueAddr)
      : exports.queue_pop(this.addr, valueAddr);
  }
}

export const queueKind: MapKind = {
  type: MapType.BPF_MAP_TYPE_QUEUE,
  check,
  create: (rt, spec) => new QueueMap(rt, spec),
};

export const stackKind: MapKind = { ...queueKind, type: MapType.BPF_MAP_TYPE_STACK };
