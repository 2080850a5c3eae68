/**
 * Helpers that run a callback. Each keeps its place in a plain object, so that a stepping engine can copy it.
 * Source: kernel/bpf/bpf_iter.c `bpf_loop`, kernel/bpf/helpers.c `bpf_for_each_map_elem` 6.18.
 */
import { Errno } from "../../errors/index.ts";
import { MAX_CALL_FRAMES } from "../../isa/index.ts";
import { layout } from "../../maps/index.ts";
import { MapType } from "../../object/index.ts";
import type { Env, LoopHelper } from "../env.ts";
import type { CallbackLoop } from "../interp.ts";
import { CPU } from "../layout.ts";

/** Calls that one bpf_loop may make. Source: BPF_MAX_LOOPS. */
const MAX_LOOPS = 8 * 1024 * 1024;

export const LOOP_HELPERS: readonly (readonly [number, LoopHelper])[] = [
  /* loop(nr_loops, fn, ctx, flags) */ [181, { args: "iiiw", start: startLoop }],
  /* for_each_map_elem(map, fn, ctx, flags) */ [164, { args: "iiiw", start: startForEach }],
];

function startLoop(
  _env: Env,
  count: number,
  fn: number,
  ctx: number,
  flags: number,
  flagsHi: number,
): CallbackLoop | number {
  if (flags | flagsHi) return -Errno.EINVAL;
  const n = count >>> 0;
  if (n > MAX_LOOPS) return -Errno.E2BIG;
  if (n === 0) return 0;
  return { fn, args: Int32Array.of(0, ctx, 0, 0, 0), i: 0, n, data: [ctx], result: 0, next: nextIndex };
}

/** A callback's r0 of 1 ends the loop; the result is how many calls were made. */
function nextIndex(this: CallbackLoop, r0: number): boolean {
  this.i++;
  this.result = this.i;
  if (r0 !== 0 || this.i >= this.n) return false;
  this.args[0] = this.i;
  this.args[1] = this.data[0]!;
  return true;
}

/**
 * Walks a map as the kernel does: arrays by index, hashes bucket by bucket with the next link read before the call, so
 * that a callback may delete its own element. r1 is the map, r2 the key, r3 the value (this CPU's), r4 the ctx.
 * `data`: map, ctx, then for arrays the address of the key given to the callback, for hashes bucket and next element.
 */
function startForEach(
  env: Env,
  map: number,
  fn: number,
  ctx: number,
  flags: number,
  flagsHi: number,
): CallbackLoop | number {
  if (flags | flagsHi) return -Errno.EINVAL;
  const loop: CallbackLoop = {
    fn,
    args: Int32Array.of(map, 0, 0, ctx, 0),
    i: 0,
    n: 0,
    data: [],
    result: 0,
    next: stop,
  };
  const { view } = env.memory;
  switch (view.getUint32(map + layout.MAP_TYPE, true)) {
    case MapType.BPF_MAP_TYPE_ARRAY:
    case MapType.BPF_MAP_TYPE_PERCPU_ARRAY: {
      // Nested walks need keys of their own; more than 8 cannot nest.
      const turn = view.getUint32(env.cpuBlock + CPU.WALKS, true);
      view.setUint32(env.cpuBlock + CPU.WALKS, (turn + 1) % MAX_CALL_FRAMES, true);
      loop.data.push(env.cpuBlock + CPU.WALK_KEYS + turn * 8);
      return walk(env, loop, map, arrayElement);
    }
    case MapType.BPF_MAP_TYPE_HASH:
    case MapType.BPF_MAP_TYPE_PERCPU_HASH:
    case MapType.BPF_MAP_TYPE_LRU_HASH:
    case MapType.BPF_MAP_TYPE_LRU_PERCPU_HASH: {
      loop.data.push(-1, LINK_END);
      return walk(env, loop, map, hashElement);
    }
    default:
      return -Errno.EOPNOTSUPP;
  }
}

const stop = (): boolean => false;

/** Sets the callback's arguments for the element that the loop stands at; false after the last. */
type Element = (env: Env, loop: CallbackLoop, map: number) => boolean;

function walk(env: Env, loop: CallbackLoop, map: number, element: Element): CallbackLoop | number {
  loop.next = function (this: CallbackLoop, r0: number): boolean {
    this.i++;
    this.result = this.i;
    return r0 === 0 && element(env, this, map);
  };
  return element(env, loop, map) ? loop : 0;
}

function arrayElement(env: Env, loop: CallbackLoop, map: number): boolean {
  const { view } = env.memory;
  if (loop.i >= view.getUint32(map + layout.MAP_MAX_ENTRIES, true)) return false;
  const key = loop.data[0]!;
  view.setUint32(key, loop.i, true);
  loop.args[0] = map;
  loop.args[1] = key;
  loop.args[2] = env.runtime.exports.map_lookup(map, key);
  return true;
}

/** The low bit of a link ends the chain; bit 1 of a head is its lock. */
const LINK_END = 1;
const LINK_LOCK = 2;

function hashElement(env: Env, loop: CallbackLoop, map: number): boolean {
  const { view } = env.memory;
  const shift = view.getUint32(map + layout.MAP_SHIFT, true);
  const buckets = 2 ** (32 - shift);
  const heads = view.getUint32(map + layout.MAP_BUCKETS, true);
  let [bucket, elem] = loop.data as [number, number];
  while (elem & LINK_END) {
    bucket++;
    if (bucket >= buckets) return false;
    elem = view.getUint32(heads + bucket * 4, true) & ~LINK_LOCK;
  }
  loop.data[0] = bucket;
  loop.data[1] = view.getUint32(elem + layout.ELEM_NEXT, true);
  const value = elem + view.getUint32(map + layout.MAP_VALUE_OFFSET, true);
  const cpuStride = view.getUint32(map + layout.MAP_CPU_STRIDE, true);
  loop.args[0] = map;
  loop.args[1] = elem + layout.ELEM_KEY;
  loop.args[2] = cpuStride ? view.getUint32(value, true) + env.cpu * cpuStride : value;
  return true;
}
