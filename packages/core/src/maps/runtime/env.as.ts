// What the machine gives each instance, and what every family shares: locks, copies, comparisons.
// Threads: `ASC_FEATURE_THREADS` is a compile-time constant, so the single-thread variant holds no trace of a lock.
import * as L from "../layout";

/** The CPU this instance runs as; the machine sets it. Always global 0. */
@external("env", "cpu")
export declare let cpu: i32;

/** Zeroed memory for the elements of a map, or 0. */
@external("env", "alloc")
export declare function alloc(map: i32, size: i32, align: i32): i32;

/** A value with owned fields (timers, kptrs) dies: the host drops what they refer to. */
@external("env", "release_fields")
export declare function releaseFields(map: i32, value: i32): void;

/** A ring buffer's consumer is to be woken. */
@external("env", "notify")
export declare function notify(map: i32): void;

/** A program puts an object (a socket) into a map of objects, or takes one out: 0 or -errno. */
@external("env", "object_update")
export declare function objectUpdate(map: i32, key: i32, object: i32, flags: i32): i32;
@external("env", "object_delete")
export declare function objectDelete(map: i32, key: i32): i32;

@inline export function key_size(m: usize): u32 { return load<u32>(m, L.MAP_KEY_SIZE); }
@inline export function value_size(m: usize): u32 { return load<u32>(m, L.MAP_VALUE_SIZE); }

@inline export function lockWord(at: usize): void {
  if (ASC_FEATURE_THREADS) while (atomic.cmpxchg<u32>(at, 0, 1) != 0) {}
}
@inline export function unlockWord(at: usize): void {
  if (ASC_FEATURE_THREADS) atomic.store<u32>(at, 0);
}
@inline export function lockMap(m: usize): void { lockWord(m + L.MAP_LOCK); }
@inline export function unlockMap(m: usize): void { unlockWord(m + L.MAP_LOCK); }

/** Adds to a word; returns the value before. */
@inline export function addWord(at: usize, n: i32): i32 {
  if (ASC_FEATURE_THREADS) return atomic.add<i32>(at, n);
  const old = load<i32>(at);
  store<i32>(at, old + n);
  return old;
}

/** Copies exactly n bytes; the two ranges are the same or apart. Short copies stay out of V8's memory.copy call. */
export function copyBytes(d: usize, s: usize, n: u32): void {
  if (n > 256) { memory.copy(d, s, n); return; }
  const end = s + (n & ~7);
  while (s < end) { store<u64>(d, load<u64>(s)); s += 8; d += 8; }
  if (n & 4) { store<u32>(d, load<u32>(s)); s += 4; d += 4; }
  if (n & 2) { store<u16>(d, load<u16>(s)); s += 2; d += 2; }
  if (n & 1) store<u8>(d, load<u8>(s));
}

export function zeroBytes(d: usize, n: u32): void {
  if (n > 256) { memory.fill(d, 0, n); return; }
  const end = d + (n & ~7);
  while (d < end) { store<u64>(d, 0); d += 8; }
  if (n & 4) { store<u32>(d, 0); d += 4; }
  if (n & 2) { store<u16>(d, 0); d += 2; }
  if (n & 1) store<u8>(d, 0);
}

export function sameBytes(a: usize, b: usize, n: u32): bool {
  const end = a + (n & ~7);
  while (a < end) { if (load<u64>(a) != load<u64>(b)) return false; a += 8; b += 8; }
  if (n & 4) { if (load<u32>(a) != load<u32>(b)) return false; a += 4; b += 4; }
  if (n & 2) { if (load<u16>(a) != load<u16>(b)) return false; a += 2; b += 2; }
  return !(n & 1) || load<u8>(a) == load<u8>(b);
}

/** Copies a value, leaving the special fields of the destination as they are. */
export function copyValue(m: usize, d: usize, s: usize): void {
  const n = value_size(m);
  const fields: usize = load<u32>(m, L.MAP_FIELDS);
  if (n == 8 && !fields) { store<u64>(d, load<u64>(s)); return; }
  if (!fields) { copyBytes(d, s, n); return; }
  let at: u32 = 0;
  for (let i: u32 = 0, count = load<u32>(fields), row = fields + 4; i < count; i++, row += L.FIELD_ROW) {
    const offset = load<u32>(row);
    copyBytes(d + at, s + at, offset - at);
    at = offset + load<u32>(row, 4);
  }
  copyBytes(d + at, s + at, n - at);
}

/** Releases and zeroes the owned fields of a value whose contents end; locks stay. */
export function freeFields(m: usize, value: usize): void {
  const fields: usize = load<u32>(m, L.MAP_FIELDS);
  if (!fields) return;
  let owned = false;
  for (let i: u32 = 0, count = load<u32>(fields), row = fields + 4; i < count; i++, row += L.FIELD_ROW) {
    if (load<u32>(row, 8) != L.FIELD_OWNED) continue;
    if (!owned) { releaseFields(<i32>m, <i32>value); owned = true; }
    zeroBytes(value + load<u32>(row), load<u32>(row, 4));
  }
}

/** Address of the spin lock in a value, or 0 where the value has none. */
export function spinLockOf(m: usize, value: usize): usize {
  const fields: usize = load<u32>(m, L.MAP_FIELDS);
  if (!fields) return 0;
  for (let i: u32 = 0, count = load<u32>(fields), row = fields + 4; i < count; i++, row += L.FIELD_ROW) {
    if (load<u32>(row, 8) == L.FIELD_SPIN_LOCK) return value + load<u32>(row);
  }
  return 0;
}

/** copyValue under the value's own spin lock. */
export function copyValueLocked(m: usize, d: usize, s: usize): void {
  const lock = spinLockOf(m, d);
  if (lock) lockWord(lock);
  copyValue(m, d, s);
  if (lock) unlockWord(lock);
}
