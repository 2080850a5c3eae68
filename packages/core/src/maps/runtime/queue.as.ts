// queue, stack and bloom_filter: the types without keys. Source of the rules: kernel/bpf/queue_stack_maps.c, bloom_filter.c.
import * as L from "../layout";
import { copyBytes, lockMap, unlockMap, zeroBytes } from "./env.as";
import { jhash } from "./hash.as";

@inline function slot(m: usize, i: u32): usize {
  return <usize>load<u32>(m, L.MAP_VALUES) + i * load<u32>(m, L.MAP_VALUE_SIZE);
}
@inline function after(m: usize, i: u32): u32 { return i == load<u32>(m, L.MAP_MAX_ENTRIES) ? 0 : i + 1; }

/** BPF_EXIST makes room by dropping the oldest. */
export function queue_push(m: usize, value: usize, flags: u64): i32 {
  if (flags & L.NOEXIST || flags > <u64>L.EXIST) return -L.EINVAL;
  lockMap(m);
  const head = load<u32>(m, L.QUEUE_HEAD), next = after(m, head);
  let tail = load<u32>(m, L.QUEUE_TAIL);
  if (next == tail) {
    if (!(flags & L.EXIST)) { unlockMap(m); return -L.E2BIG; }
    tail = after(m, tail);
    store<u32>(m, tail, L.QUEUE_TAIL);
  }
  copyBytes(slot(m, head), value, load<u32>(m, L.MAP_VALUE_SIZE));
  store<u32>(m, next, L.QUEUE_HEAD);
  unlockMap(m);
  return 0;
}

/** The oldest (queue) or newest (stack) value; zeroes and -ENOENT when there is none. */
@inline function get(m: usize, value: usize, stack: bool, take: bool): i32 {
  const size = load<u32>(m, L.MAP_VALUE_SIZE);
  lockMap(m);
  const head = load<u32>(m, L.QUEUE_HEAD), tail = load<u32>(m, L.QUEUE_TAIL);
  if (head == tail) { zeroBytes(value, size); unlockMap(m); return -L.ENOENT; }
  if (stack) {
    const top = head ? head - 1 : load<u32>(m, L.MAP_MAX_ENTRIES);
    copyBytes(value, slot(m, top), size);
    if (take) store<u32>(m, top, L.QUEUE_HEAD);
  } else {
    copyBytes(value, slot(m, tail), size);
    if (take) store<u32>(m, after(m, tail), L.QUEUE_TAIL);
  }
  unlockMap(m);
  return 0;
}
export function queue_peek(m: usize, value: usize): i32 { return get(m, value, false, false); }
export function queue_pop(m: usize, value: usize): i32 { return get(m, value, false, true); }
export function stack_peek(m: usize, value: usize): i32 { return get(m, value, true, false); }
export function stack_pop(m: usize, value: usize): i32 { return get(m, value, true, true); }

@inline function bit(m: usize, value: usize, i: u32): u32 {
  return jhash(value, load<u32>(m, L.MAP_VALUE_SIZE), load<u32>(m, L.MAP_SEEDS) + i) & load<u32>(m, L.BLOOM_MASK);
}

export function bloom_push(m: usize, value: usize, flags: u64): i32 {
  if (flags) return -L.EINVAL;
  const bits: usize = load<u32>(m, L.MAP_VALUES);
  for (let i: u32 = 0, n = load<u32>(m, L.BLOOM_FUNCS); i < n; i++) {
    const b = bit(m, value, i), at = bits + (b >>> 5 << 2), one: u32 = 1 << (b & 31);
    if (ASC_FEATURE_THREADS) atomic.or<u32>(at, one);
    else store<u32>(at, load<u32>(at) | one);
  }
  return 0;
}

/** 0 when the value may have been pushed, -ENOENT when it was not. */
export function bloom_peek(m: usize, value: usize): i32 {
  const bits: usize = load<u32>(m, L.MAP_VALUES);
  for (let i: u32 = 0, n = load<u32>(m, L.BLOOM_FUNCS); i < n; i++) {
    const b = bit(m, value, i);
    if (!(load<u32>(bits + (b >>> 5 << 2)) >>> (b & 31) & 1)) return -L.ENOENT;
  }
  return 0;
}
