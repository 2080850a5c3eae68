/**
 * stack_trace: call stacks by the id that a program was given for them (bpf_get_stackid). The frames come from the
 * machine that runs the program. Source: kernel/bpf/stackmap.c.
 */
import { Errno } from "../errors/index.ts";
import {
  BPF_F_NUMA_NODE,
  BPF_F_RDONLY,
  BPF_F_STACK_BUILD_ID,
  BPF_F_WRONLY,
  type MapSpec,
  MapType,
} from "../object/index.ts";
import { checkCommon, MapBase, type MapKind } from "./map.ts";
import type { MapRuntime } from "./runtime.ts";

const ALLOWED = BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_STACK_BUILD_ID;
/** kernel.perf_event_max_stack as it comes. */
const MAX_FRAMES = 127;
/** sizeof(struct bpf_stack_build_id). */
const BUILD_ID = 32;
const F_SKIP = 0xff;
const F_FAST_STACK_CMP = 1 << 9;
const F_REUSE_STACKID = 1 << 10;
const F_KNOWN = F_SKIP | (1 << 8) | F_FAST_STACK_CMP | F_REUSE_STACKID;

/** stack_map_alloc. */
function check(spec: MapSpec): number {
  const common = checkCommon(spec);
  if (common) return common;
  if (spec.flags & ~ALLOWED) return Errno.EINVAL;
  if (spec.maxEntries === 0 || spec.keySize !== 4 || spec.valueSize < 8 || spec.valueSize % 8) return Errno.EINVAL;
  const frame = spec.flags & BPF_F_STACK_BUILD_ID ? BUILD_ID : 8;
  if (spec.valueSize % frame || spec.valueSize / frame > MAX_FRAMES) return Errno.EINVAL;
  return spec.maxEntries > 2 ** 31 ? Errno.E2BIG : 0;
}

interface Stack {
  readonly hash: number;
  readonly frames: BigUint64Array;
}

export class StackTraceMap extends MapBase {
  readonly #stacks = new Map<number, Stack>();
  readonly #buckets: number;

  constructor(rt: MapRuntime, spec: MapSpec) {
    super(rt, spec);
    this.#buckets = 2 ** Math.ceil(Math.log2(spec.maxEntries));
  }

  /** bpf_get_stackid for these frames, innermost first: the id, or -errno (EEXIST: another stack has the bucket). */
  record(frames: BigUint64Array, flags: number): number {
    this.alive();
    if (flags & ~F_KNOWN) return -Errno.EINVAL;
    const kept = frames.slice(flags & F_SKIP, (flags & F_SKIP) + this.spec.valueSize / 8);
    if (!kept.length) return -Errno.EFAULT;
    const hash = hashFrames(kept);
    const id = hash & (this.#buckets - 1);
    const old = this.#stacks.get(id);
    if (old && old.hash === hash && (flags & F_FAST_STACK_CMP || same(old.frames, kept))) return id;
    if (old && !(flags & F_REUSE_STACKID)) return -Errno.EEXIST;
    this.#stacks.set(id, { hash, frames: kept });
    return id;
  }

  protected override readValue(keyAddr: number): Uint8Array | undefined {
    const stack = this.#stacks.get(this.word(keyAddr));
    if (!stack) return undefined;
    const value = new Uint8Array(this.spec.valueSize);
    value.set(new Uint8Array(stack.frames.buffer, 0, stack.frames.byteLength));
    return value;
  }

  /** Of stacks since Linux 6.18. */
  protected override get takes(): boolean {
    return true;
  }

  override lookupAt(): number {
    return 0;
  }

  updateAt(): number {
    return -Errno.EINVAL;
  }

  deleteAt(keyAddr: number): number {
    const id = this.word(keyAddr);
    if (id >= this.#buckets) return -Errno.E2BIG;
    return this.#stacks.delete(id) ? 0 : -Errno.ENOENT;
  }

  protected nextKeyAt(keyAddr: number, out: number): number {
    const from = keyAddr && this.#stacks.has(this.word(keyAddr)) ? this.word(keyAddr) + 1 : 0;
    let next = Number.POSITIVE_INFINITY;
    for (const id of this.#stacks.keys()) if (id >= from && id < next) next = id;
    if (next === Number.POSITIVE_INFINITY) return -Errno.ENOENT;
    this.setWord(out, next);
    return 0;
  }

  *entries(): IterableIterator<[Uint8Array, Uint8Array]> {
    this.readable("BPF_MAP_LOOKUP_ELEM");
    for (const id of [...this.#stacks.keys()].sort((a, b) => a - b)) {
      const key = new Uint8Array(new Uint32Array([id]).buffer);
      const value = this.lookup(key);
      if (value) yield [key, value];
    }
  }
}

/** Any hash does: ids mean nothing across machines. FNV-1a over the words. */
function hashFrames(frames: BigUint64Array): number {
  let h = 0x811c9dc5;
  for (const word of new Uint32Array(frames.buffer, frames.byteOffset, frames.length * 2)) {
    h = Math.imul(h ^ word, 0x01000193);
    h ^= h >>> 15;
  }
  return h >>> 0;
}

function same(a: BigUint64Array, b: BigUint64Array): boolean {
  return a.length === b.length && a.every((x, i) => x === b[i]);
}

export const stackTraceKind: MapKind = {
  type: MapType.BPF_MAP_TYPE_STACK_TRACE,
  check,
  create: (rt, spec) => new StackTraceMap(rt, spec),
};
