/**
 * bloom_filter: says of a value that it was surely not pushed, or may have been. With BPF_F_ZERO_SEED the same bits are
 * set as in the kernel's. bpf(2)'s lookup asks about the value that it is given: `lookup(value)` here.
 * Source: kernel/bpf/bloom_filter.c.
 */
import { Errno } from "../errors/index.ts";
import {
  BPF_F_NUMA_NODE,
  BPF_F_RDONLY,
  BPF_F_RDONLY_PROG,
  BPF_F_WRONLY,
  BPF_F_WRONLY_PROG,
  BPF_F_ZERO_SEED,
  type MapSpec,
  MapType,
} from "../object/index.ts";
import * as L from "./layout.ts";
import { accessOk, checkCommon, type MapKind } from "./map.ts";
import { KeylessMap } from "./queue.ts";
import type { MapRuntime } from "./runtime.ts";

const ALLOWED = BPF_F_NUMA_NODE | BPF_F_ZERO_SEED | BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG;
const DEFAULT_FUNCS = 5;

/** bloom_map_alloc. */
function check(spec: MapSpec): number {
  const common = checkCommon(spec, true);
  if (common) return common;
  const wrong =
    spec.keySize !== 0 ||
    spec.valueSize === 0 ||
    spec.maxEntries === 0 ||
    spec.flags & ~ALLOWED ||
    !accessOk(spec.flags) ||
    (spec.mapExtra ?? 0n) > 15n;
  return wrong ? Errno.EINVAL : 0;
}

/** Bits for the entries at about 1.4 a hash function, a power of two; 2^32 at most. */
function bitsFor(entries: number, funcs: number): number {
  const bits = Math.floor((entries * funcs) / 5) * 7 + Math.floor((((entries * funcs) % 5) * 7) / 5);
  if (entries * funcs > 0xffffffff || bits > 2 ** 31) return 2 ** 32;
  return bits <= 64 ? 64 : 2 ** Math.ceil(Math.log2(bits));
}

class BloomFilterMap extends KeylessMap {
  constructor(rt: MapRuntime, spec: MapSpec) {
    super(rt, spec);
    const funcs = Number(spec.mapExtra ?? 0n) || DEFAULT_FUNCS;
    const bits = bitsFor(spec.maxEntries, funcs);
    this.set(L.MAP_VALUES, this.own(bits / 8));
    this.set(L.BLOOM_MASK, bits - 1);
    this.set(L.BLOOM_FUNCS, funcs);
    this.set(L.MAP_SEEDS, spec.flags & BPF_F_ZERO_SEED ? 0 : rt.random());
  }

  override lookup(value: Uint8Array): Uint8Array | undefined {
    this.readable("BPF_MAP_LOOKUP_ELEM");
    this.putValue("BPF_MAP_LOOKUP_ELEM", value);
    return this.taken("BPF_MAP_LOOKUP_ELEM", this.peek(this.scratchAddr));
  }

  protected push(valueAddr: number, flags: bigint): number {
    return this.rt.exports.bloom_push(this.addr, valueAddr, flags);
  }

  protected peek(valueAddr: number): number {
    return this.rt.exports.bloom_peek(this.addr, valueAddr);
  }

  /** Bits are not taken back. */
  protected pop(): number {
    return -Errno.ENOTSUPP;
  }

  override deleteAt(): number {
    return -Errno.EOPNOTSUPP;
  }

  protected override nextKeyAt(): number {
    return -Errno.EOPNOTSUPP;
  }
}

export const bloomFilterKind: MapKind = {
  type: MapType.BPF_MAP_TYPE_BLOOM_FILTER,
  check,
  create: (rt, spec) => new BloomFilterMap(rt, spec),
};
