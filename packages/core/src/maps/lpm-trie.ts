/**
 * lpm_trie: longest-prefix match on addresses of 1 to 256 bytes. A key is a 32-bit prefix length in host order and the
 * address, first byte first. Source: kernel/bpf/lpm_trie.c.
 */
import { Errno } from "../errors/index.ts";
import {
  BPF_F_NO_PREALLOC,
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

const ALLOWED =
  BPF_F_NO_PREALLOC | BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG;
const MAX_DATA = 256;
/** KMALLOC_MAX_SIZE less the longest address and sizeof(struct lpm_trie_node). */
const MAX_VALUE = (4 << 20) - MAX_DATA - 24;
const CHUNK = 16 << 10;

/** trie_alloc. */
function check(spec: MapSpec): number {
  const common = checkCommon(spec);
  if (common) return common;
  const wrong =
    spec.maxEntries === 0 ||
    !(spec.flags & BPF_F_NO_PREALLOC) ||
    spec.flags & ~ALLOWED ||
    !accessOk(spec.flags) ||
    spec.keySize < 5 ||
    spec.keySize > 4 + MAX_DATA ||
    spec.valueSize < 1 ||
    spec.valueSize > MAX_VALUE;
  return wrong ? Errno.EINVAL : 0;
}

class LpmTrieMap extends MapBase {
  readonly #valueOffset: number;
  readonly #elemSize: number;

  constructor(rt: MapRuntime, spec: MapSpec) {
    super(rt, spec);
    this.#valueOffset = Math.ceil((L.NODE_PREFIX + spec.keySize) / 8) * 8;
    this.#elemSize = this.#valueOffset + this.stride;
    this.set(L.MAP_ELEM_SIZE, this.#elemSize);
    this.set(L.MAP_VALUE_OFFSET, this.#valueOffset);
    this.set(L.MAP_CHUNK_ELEMS, Math.max(1, Math.min(2 * spec.maxEntries, Math.floor(CHUNK / this.#elemSize))));
    this.set(L.LPM_DATA_SIZE, spec.keySize - 4);
    this.set(L.LPM_BUDGET, Math.min(256 + Math.floor(spec.maxEntries / 2), 1 << 20));
  }

  override grown(start: number, end: number): void {
    this.announce(start + 16 + this.#valueOffset, end, this.#elemSize);
  }

  override lookupAt(keyAddr: number): number {
    return this.rt.exports.lpm_lookup(this.addr, keyAddr) >>> 0;
  }

  updateAt(keyAddr: number, valueAddr: number, flags: number): number {
    return this.rt.exports.lpm_update(this.addr, keyAddr, valueAddr, flags);
  }

  deleteAt(keyAddr: number): number {
    return this.rt.exports.lpm_delete(this.addr, keyAddr);
  }

  protected override get batches(): BatchCommands {
    return { lookup: true, update: true, delete: true };
  }

  protected nextKeyAt(keyAddr: number, out: number): number {
    return this.rt.exports.lpm_next_key(this.addr, keyAddr, out);
  }

  /** The kernel's order: a prefix after all longer ones that it covers. */
  *entries(): IterableIterator<[Uint8Array, Uint8Array]> {
    this.readable("BPF_MAP_LOOKUP_ELEM");
    for (const node of this.#nodes()) {
      if (this.rt.memory.u32[(node + L.NODE_FLAGS) >>> 2]! & 1) continue;
      yield [
        this.bytes(node + L.NODE_PREFIX, this.spec.keySize),
        this.bytes(node + this.#valueOffset, this.spec.valueSize),
      ];
      this.alive();
    }
  }

  /** All nodes in postorder, as they were at the start. */
  #nodes(): number[] {
    const u32 = this.rt.memory.u32;
    const found: number[] = [];
    const open = [this.get(L.LPM_ROOT)];
    // Parent, right, left: the reverse of postorder.
    for (let node = open.pop(); node !== undefined; node = open.pop()) {
      if (!node) continue;
      found.push(node);
      open.push(u32[node >>> 2]!, u32[(node >>> 2) + 1]!);
    }
    return found.reverse();
  }

  protected override release(): void {
    for (let chunk = this.get(L.LPM_STRIDE_CHUNKS); chunk; ) {
      const next = this.rt.memory.u32[chunk >>> 2]!;
      this.rt.memory.free(chunk);
      chunk = next;
    }
  }
}

export const lpmTrieKind: MapKind = {
  type: MapType.BPF_MAP_TYPE_LPM_TRIE,
  check,
  create: (rt, spec) => new LpmTrieMap(rt, spec),
};
