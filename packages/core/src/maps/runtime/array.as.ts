// array and percpu_array. Source of the rules: kernel/bpf/arraymap.c.
import * as L from "../layout";
import { copyBytes, copyValue, copyValueLocked, cpu, freeFields } from "./env.as";

export function array_lookup(m: usize, key: usize): usize {
  const i = load<u32>(key);
  return i < load<u32>(m, L.MAP_MAX_ENTRIES) ? <usize>load<u32>(m, L.MAP_VALUES) + i * load<u32>(m, L.MAP_STRIDE) : 0;
}

export function percpu_array_lookup(m: usize, key: usize): usize {
  return array_lookup_percpu(m, key, cpu);
}

export function array_lookup_percpu(m: usize, key: usize, onCpu: u32): usize {
  const v = array_lookup(m, key);
  return v && onCpu < load<u32>(m, L.MAP_CPUS) ? v + onCpu * load<u32>(m, L.MAP_CPU_STRIDE) : 0;
}

/** Flags and index, in the kernel's order. */
@inline function refusal(m: usize, key: usize, flags: u32): i32 {
  if ((flags & ~L.F_LOCK) > <u32>L.EXIST) return -L.EINVAL;
  if (load<u32>(key) >= load<u32>(m, L.MAP_MAX_ENTRIES)) return -L.E2BIG;
  if (flags & L.NOEXIST) return -L.EEXIST;
  return 0;
}

export function array_update(m: usize, key: usize, value: usize, flags: u32): i32 {
  const no = refusal(m, key, flags);
  if (no) return no;
  const v = array_lookup(m, key);
  if (flags & L.F_LOCK) {
    if (!load<u32>(m, L.MAP_FIELDS)) return -L.EINVAL;
    copyValueLocked(m, v, value);
  } else copyValue(m, v, value);
  freeFields(m, v);
  return 0;
}

/** A program's update: the index is looked at before the lock flag, unlike in bpf(2)'s. */
export function percpu_array_update(m: usize, key: usize, value: usize, flags: u32): i32 {
  const no = refusal(m, key, flags);
  if (no) return no;
  if (flags & L.F_LOCK) return -L.EINVAL;
  const v = percpu_array_lookup(m, key);
  copyValue(m, v, value);
  freeFields(m, v);
  return 0;
}

/** bpf(2)'s update: `value` holds every CPU's, each padded to 8. */
export function percpu_array_update_all(m: usize, key: usize, value: usize, flags: u32): i32 {
  if (flags > <u32>L.EXIST) return -L.EINVAL;
  const no = refusal(m, key, flags);
  if (no) return no;
  const stride = load<u32>(m, L.MAP_STRIDE);
  for (let c: u32 = 0, n = load<u32>(m, L.MAP_CPUS); c < n; c++) {
    const v = array_lookup_percpu(m, key, c);
    // The padding is copied too, as the kernel does.
    if (load<u32>(m, L.MAP_FIELDS)) copyValue(m, v, value);
    else copyBytes(v, value, stride);
    freeFields(m, v);
    value += stride;
  }
  return 0;
}

/** The index after `key`'s; the first for no key or one out of range. */
export function array_next_key(m: usize, key: usize, out: usize): i32 {
  const max = load<u32>(m, L.MAP_MAX_ENTRIES);
  const i: u32 = key ? load<u32>(key) : u32.MAX_VALUE;
  if (i >= max) { store<u32>(out, 0); return 0; }
  if (i == max - 1) return -L.ENOENT;
  store<u32>(out, i + 1);
  return 0;
}
