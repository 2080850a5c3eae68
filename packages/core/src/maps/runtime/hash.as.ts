// hash and percpu_hash: chains in buckets, as kernel/bpf/hashtab.c orders them (new elements first, a replaced value
// is a new element), so iteration order, stale pointers and "full" agree with the kernel.
//
// Shared variant: a bucket's head carries its lock in bit 1; readers take no lock. A chain ends in (bucket << 2) | 1:
// a reader that was carried to another chain by a reused element sees the wrong end and starts again.
import * as L from "../layout";
import {
  addWord, alloc, copyBytes, copyValue, copyValueLocked, cpu, freeFields, lockMap, releaseFields, sameBytes, unlockMap, zeroBytes,
} from "./env.as";

const PERCPU_HASH: u32 = 5;

@inline function link(at: usize): u32 {
  if (ASC_FEATURE_THREADS) return atomic.load<u32>(at) & ~2;
  return load<u32>(at);
}
@inline function isEnd(l: u32): bool { return (l & 1) != 0; }
@inline function endOf(bucket: u32): u32 { return (bucket << 2) | 1; }
@inline export function bucketOf(m: usize, h: u32): u32 { return h >>> load<u32>(m, L.MAP_SHIFT); }
@inline export function headOf(m: usize, bucket: u32): usize { return load<u32>(m, L.MAP_BUCKETS) + (bucket << 2); }

export function lockBucket(head: usize): void {
  if (ASC_FEATURE_THREADS) {
    for (;;) {
      const v = atomic.load<u32>(head);
      if (!(v & 2) && atomic.cmpxchg<u32>(head, v, v | 2) == v) return;
    }
  }
}
@inline export function unlockBucket(head: usize): void {
  if (ASC_FEATURE_THREADS) atomic.and<u32>(head, ~2);
}
/** Stores a link; in a head the lock bit stays as it is (the caller holds it). */
@inline function setLink(at: usize, l: u32, isHead: bool): void {
  if (ASC_FEATURE_THREADS) atomic.store<u32>(at, isHead ? l | 2 : l);
  else store<u32>(at, l);
}

// ---- hash functions ----

/** Multiply-shift: for two given keys the chance to meet is at most 2 / buckets over the secret seed. */
@inline export function hash4(m: usize, k: u32): u32 { return <u32>((<u64>k * load<u64>(m, L.MAP_SEED)) >>> 32); }
@inline export function hash8(m: usize, k: u64): u32 { return <u32>((k * load<u64>(m, L.MAP_SEED)) >>> 32); }

@inline function nh(m: usize, i: u32, w0: u32, w1: u32): u64 {
  const s = m + (i << 3);
  return <u64>(w0 + load<u32>(s, L.MAP_SEEDS)) * <u64>(w1 + load<u32>(s, L.MAP_SEEDS + 4));
}
@inline function finish(m: usize, x: u64): u32 {
  const y = (x ^ (x >>> 32)) * load<u64>(m, L.MAP_SEED);
  return <u32>(y >>> 32);
}
/** What hashAny gives for 16 bytes, without its loops. */
@inline export function hash16(m: usize, key: usize): u32 {
  return finish(m, nh(m, 0, load<u32>(key), load<u32>(key, 4)) + nh(m, 1, load<u32>(key, 8), load<u32>(key, 12)));
}

/** NH over blocks of 32 bytes, blocks chained by a secret multiplication. The tail counts as padded with zeroes. */
function hashAny(m: usize, key: usize): u32 {
  let n = load<u32>(m, L.MAP_KEY_SIZE);
  const a = load<u64>(m, L.MAP_SEED);
  let x: u64 = 0, i: u32 = 0;
  while (n >= 8) {
    if (i == 4) { x = rotl<u64>(x * a, 29); i = 0; }
    x += nh(m, i, load<u32>(key), load<u32>(key, 4));
    i++; key += 8; n -= 8;
  }
  if (n) {
    if (i == 4) { x = rotl<u64>(x * a, 29); i = 0; }
    let w0: u32 = 0, w1: u32 = 0;
    if (n >= 4) { w0 = load<u32>(key); w1 = tail(key + 4, n - 4); } else w0 = tail(key, n);
    x += nh(m, i, w0, w1);
  }
  return finish(m, x);
}
/** 0 to 3 bytes, little-endian. */
function tail(p: usize, n: u32): u32 {
  let w: u32 = 0;
  if (n > 2) w = <u32>load<u8>(p, 2) << 16;
  if (n > 1) w |= <u32>load<u8>(p, 1) << 8;
  if (n > 0) w |= load<u8>(p);
  return w;
}

/** Bob Jenkins' lookup3 as the kernel uses it (jhash2 on whole words, jhash otherwise). Public domain algorithm. */
export function jhash(key: usize, n: u32, seed: u32): u32 {
  const words = (n & 3) == 0;
  let a: u32 = 0xdeadbeef + (words ? (n >>> 2) << 2 : n) + seed, b = a, c = a;
  while (n > 12) {
    a += load<u32>(key); b += load<u32>(key, 4); c += load<u32>(key, 8);
    a -= c; a ^= rotl<u32>(c, 4); c += b;
    b -= a; b ^= rotl<u32>(a, 6); a += c;
    c -= b; c ^= rotl<u32>(b, 8); b += a;
    a -= c; a ^= rotl<u32>(c, 16); c += b;
    b -= a; b ^= rotl<u32>(a, 19); a += c;
    c -= b; c ^= rotl<u32>(b, 4); b += a;
    key += 12; n -= 12;
  }
  if (!n) return c;
  if (n > 8) { a += load<u32>(key); b += load<u32>(key, 4); c += n == 12 ? load<u32>(key, 8) : tail(key + 8, n - 8); }
  else if (n > 4) { a += load<u32>(key); b += n == 8 ? load<u32>(key, 4) : tail(key + 4, n - 4); }
  else a += n == 4 ? load<u32>(key) : tail(key, n);
  c ^= b; c -= rotl<u32>(b, 14);
  a ^= c; a -= rotl<u32>(c, 11);
  b ^= a; b -= rotl<u32>(a, 25);
  c ^= b; c -= rotl<u32>(b, 16);
  a ^= c; a -= rotl<u32>(c, 4);
  b ^= a; b -= rotl<u32>(a, 14);
  c ^= b; c -= rotl<u32>(b, 24);
  return c;
}

export function hashOf(m: usize, key: usize): u32 {
  const kind = load<u32>(m, L.MAP_HASH_KIND);
  if (kind == L.HASH_4) return hash4(m, load<u32>(key));
  if (kind == L.HASH_8) return hash8(m, load<u64>(key));
  if (kind == L.HASH_ANY) return hashAny(m, key);
  if (kind == L.HASH_INDEX) return rotl<u32>(load<u32>(key), load<u32>(m, L.MAP_SHIFT));
  // The kernel takes the low bits for the bucket, `>>> shift` the high ones.
  return rotl<u32>(jhash(key, load<u32>(m, L.MAP_KEY_SIZE), load<u32>(m, L.MAP_SEEDS)), load<u32>(m, L.MAP_SHIFT));
}

// ---- lookup ----

export function findElem(m: usize, key: usize, h: u32): usize {
  const n = load<u32>(m, L.MAP_KEY_SIZE), bucket = bucketOf(m, h), head = headOf(m, bucket);
  let l: u32;
  do {
    l = link(head);
    while (!isEnd(l)) {
      if (load<u32>(l, L.ELEM_HASH) == h && sameBytes(l + L.ELEM_KEY, key, n)) return l;
      l = link(l);
    }
  } while (ASC_FEATURE_THREADS && l != endOf(bucket));
  return 0;
}

/** Address of the value in an element, on this CPU where there is one a CPU. */
@inline export function valueOf(m: usize, e: usize): usize {
  return e + load<u32>(m, L.MAP_VALUE_OFFSET);
}

export function hash_lookup(m: usize, key: usize): usize {
  const e = findElem(m, key, hashOf(m, key));
  return e ? valueOf(m, e) : 0;
}

/** For 4-byte keys of a map whose hash kind is HASH_4: the key by value. */
export function hash_lookup4(m: usize, key: u32): usize {
  const bucket = bucketOf(m, hash4(m, key)), head = headOf(m, bucket);
  let l: u32;
  do {
    l = link(head);
    while (!isEnd(l)) {
      if (load<u32>(l, L.ELEM_KEY) == key) return l + 16;
      l = link(l);
    }
  } while (ASC_FEATURE_THREADS && l != endOf(bucket));
  return 0;
}

/** For 8-byte keys of a map whose hash kind is HASH_8: the key by value. */
export function hash_lookup8(m: usize, key: u64): usize {
  const bucket = bucketOf(m, hash8(m, key)), head = headOf(m, bucket);
  let l: u32;
  do {
    l = link(head);
    while (!isEnd(l)) {
      if (load<u64>(l, L.ELEM_KEY) == key) return l + 16;
      l = link(l);
    }
  } while (ASC_FEATURE_THREADS && l != endOf(bucket));
  return 0;
}

/** For 16-byte keys of a map whose hash kind is HASH_ANY. */
export function hash_lookup16(m: usize, key: usize): usize {
  const bucket = bucketOf(m, hash16(m, key)), head = headOf(m, bucket);
  const k0 = load<u64>(key), k1 = load<u64>(key, 8);
  let l: u32;
  do {
    l = link(head);
    while (!isEnd(l)) {
      if (load<u64>(l, L.ELEM_KEY) == k0 && load<u64>(l, L.ELEM_KEY + 8) == k1) return l + 24;
      l = link(l);
    }
  } while (ASC_FEATURE_THREADS && l != endOf(bucket));
  return 0;
}

/** The same for callers in JavaScript: a key that was just written by other stores than it is loaded by stalls. */
export function hash_lookup8_words(m: usize, lo: u32, hi: u32): usize {
  return hash_lookup8(m, <u64>lo | (<u64>hi << 32));
}
export function hash_lookup16_words(m: usize, a: u32, b: u32, c: u32, d: u32): usize {
  const s = m + L.MAP_SEEDS;
  const x = <u64>(a + load<u32>(s)) * <u64>(b + load<u32>(s, 4)) + <u64>(c + load<u32>(s, 8)) * <u64>(d + load<u32>(s, 12));
  const bucket = bucketOf(m, finish(m, x)), head = headOf(m, bucket);
  const k0 = <u64>a | (<u64>b << 32), k1 = <u64>c | (<u64>d << 32);
  let l: u32;
  do {
    l = link(head);
    while (!isEnd(l)) {
      if (load<u64>(l, L.ELEM_KEY) == k0 && load<u64>(l, L.ELEM_KEY + 8) == k1) return l + 24;
      l = link(l);
    }
  } while (ASC_FEATURE_THREADS && l != endOf(bucket));
  return 0;
}

/** Keys looked up at once: the loads of one group are all under way before the first is needed. */
const GROUP: u32 = 16;
/**
 * Values of `count` keys that lie one after the other, as tightly: copies each to `values` and sets its byte in `found`
 * (zeroes and 0 for a key that is not there). `work` has room for two words a key of a group. Answers how many are there.
 */
export function hash_lookup_many(m: usize, keys: usize, count: u32, values: usize, found: usize, work: usize): u32 {
  const keySize = load<u32>(m, L.MAP_KEY_SIZE), size = load<u32>(m, L.MAP_VALUE_SIZE);
  let hits: u32 = 0, touched: u32 = 0;
  while (count) {
    const n = min(count, GROUP);
    for (let i: u32 = 0, key = keys; i < n; i++, key += keySize) {
      const h = hashOf(m, key);
      store<u32>(work + (i << 3), h);
      store<u32>(work + (i << 3), link(headOf(m, bucketOf(m, h))), 4);
    }
    // Only to have the first elements on their way.
    for (let i: u32 = 0; i < n; i++) {
      const l = load<u32>(work + (i << 3), 4);
      if (!isEnd(l)) touched ^= load<u32>(l, L.ELEM_HASH);
    }
    for (let i: u32 = 0; i < n; i++) {
      const e = findElem(m, keys, load<u32>(work + (i << 3)));
      if (e) { copyBytes(values, valueOf(m, e), size); hits++; }
      else zeroBytes(values, size);
      store<u8>(found, e ? 1 : 0);
      keys += keySize; values += size; found++;
    }
    count -= n;
  }
  // What was touched must not be optimised away.
  store<u32>(work, touched);
  return hits;
}

export function hash_lookup_percpu(m: usize, key: usize, onCpu: u32): usize {
  if (onCpu >= load<u32>(m, L.MAP_CPUS)) return 0;
  const e = findElem(m, key, hashOf(m, key));
  return e ? <usize>load<u32>(valueOf(m, e)) + onCpu * load<u32>(m, L.MAP_CPU_STRIDE) : 0;
}
export function percpu_hash_lookup(m: usize, key: usize): usize { return hash_lookup_percpu(m, key, cpu); }

// ---- element memory ----

/** Adds a chunk of free elements (and their per-CPU values); false without memory. */
export function growElems(m: usize, count: u32, lead: u32): bool {
  const size = load<u32>(m, L.MAP_ELEM_SIZE), cpus: u32 = load<u32>(m, L.MAP_CPUS);
  const cpuStride = load<u32>(m, L.MAP_CPU_STRIDE), stride = load<u32>(m, L.MAP_STRIDE);
  const bytes = 16 + <u64>size * count + <u64>cpuStride * cpus;
  if (bytes > 0xfff00000) return false;
  const chunk: usize = alloc(<i32>m, <i32>bytes, 16);
  if (!chunk) return false;
  lockMap(m);
  store<u32>(chunk, load<u32>(m, L.MAP_CHUNKS));
  store<u32>(chunk, <u32>bytes, 4);
  store<u32>(m, <u32>chunk, L.MAP_CHUNKS);
  const values = chunk + 16 + size * count;
  let free = load<u32>(m, L.MAP_FREE);
  for (let i = count; i > 0; i--) {
    const e = chunk + 16 + (i - 1) * size + lead;
    store<u32>(e, free);
    if (cpuStride) store<u32>(e + load<u32>(m, L.MAP_VALUE_OFFSET), <u32>values + (i - 1) * stride);
    free = <u32>e;
  }
  store<u32>(m, free, L.MAP_FREE);
  unlockMap(m);
  return true;
}

export function popFree(m: usize): usize {
  lockMap(m);
  const e: usize = load<u32>(m, L.MAP_FREE);
  if (e) store<u32>(m, load<u32>(e), L.MAP_FREE);
  unlockMap(m);
  return e;
}
export function pushFree(m: usize, e: usize): void {
  lockMap(m);
  store<u32>(e, load<u32>(m, L.MAP_FREE));
  store<u32>(m, <u32>e, L.MAP_FREE);
  unlockMap(m);
}

/** Empty buckets, and all elements where they are preallocated (with one spare a CPU for replacing; an LRU makes its
 * own). -errno. */
export function hash_init(m: usize): i32 {
  const n: u32 = 1 << (32 - load<u32>(m, L.MAP_SHIFT)), heads: usize = load<u32>(m, L.MAP_BUCKETS);
  for (let b: u32 = 0; b < n; b++) store<u32>(heads + (b << 2), endOf(b));
  if (load<u32>(m, L.MAP_FLAGS) & L.F_NO_PREALLOC || load<u32>(m, L.LRU_LISTS)) return 0;
  const extra: usize = load<u32>(m, L.MAP_EXTRA), cpus: u32 = load<u32>(m, L.MAP_CPUS);
  if (!growElems(m, load<u32>(m, L.MAP_CHUNK_ELEMS), 0)) return -L.ENOMEM;
  if (extra) for (let c: u32 = 0; c < cpus; c++) store<u32>(extra + (c << 2), <u32>popFree(m));
  return 0;
}

/** An element for a new key, or 0 with the reason in `-errno` of the caller: full. */
function newElem(m: usize): usize {
  if (!(load<u32>(m, L.MAP_FLAGS) & L.F_NO_PREALLOC)) return popFree(m);
  let e = popFree(m);
  if (!e && growElems(m, load<u32>(m, L.MAP_CHUNK_ELEMS), 0)) e = popFree(m);
  return e;
}

@inline export function insertHead(head: usize, e: usize): void {
  store<u32>(e, link(head));
  setLink(head, <u32>e, true);
}

/** Takes `e` out of its chain, leaving its own link for readers that stand on it. */
export function removeElem(head: usize, e: usize): void {
  let at = head, l = link(head);
  while (l != <u32>e) { at = l; l = link(at); }
  setLink(at, link(e), at == head);
}

/** Takes an element out of the bucket that its hash names; false when it is in none. Frees its fields. */
export function unlinkIfThere(m: usize, e: usize): bool {
  const head = headOf(m, bucketOf(m, load<u32>(e, L.ELEM_HASH)));
  lockBucket(head);
  let at = head, l = link(head);
  while (!isEnd(l) && l != <u32>e) { at = l; l = link(at); }
  const found = l == <u32>e;
  if (found) {
    setLink(at, link(e), at == head);
    freeElemFields(m, e);
  }
  unlockBucket(head);
  return found;
}

// ---- update ----

@inline export function fill(m: usize, e: usize, key: usize, h: u32): void {
  const n = load<u32>(m, L.MAP_KEY_SIZE);
  store<u32>(e, h, L.ELEM_HASH);
  if (n == 4) store<u32>(e, load<u32>(key), L.ELEM_KEY);
  else if (n == 8) store<u64>(e, load<u64>(key), L.ELEM_KEY);
  else copyBytes(e + L.ELEM_KEY, key, n);
}

export function hash_update(m: usize, key: usize, value: usize, flags: u32): i32 {
  if ((flags & ~L.F_LOCK) > <u32>L.EXIST) return -L.EINVAL;
  const h = hashOf(m, key), head = headOf(m, bucketOf(m, h));
  const rule = flags & ~L.F_LOCK;
  if (flags & L.F_LOCK) {
    if (!load<u32>(m, L.MAP_FIELDS)) return -L.EINVAL;
    const e = findElem(m, key, h);
    if (e && rule == L.NOEXIST) return -L.EEXIST;
    if (!e && rule == L.EXIST) return -L.ENOENT;
    if (e) { copyValueLocked(m, valueOf(m, e), value); return 0; }
  }
  lockBucket(head);
  const old = findElem(m, key, h);
  if (old && rule == L.NOEXIST) { unlockBucket(head); return -L.EEXIST; }
  if (!old && rule == L.EXIST) { unlockBucket(head); return -L.ENOENT; }
  if (old && (flags & L.F_LOCK)) {
    copyValueLocked(m, valueOf(m, old), value);
    unlockBucket(head);
    return 0;
  }
  const prealloc = !(load<u32>(m, L.MAP_FLAGS) & L.F_NO_PREALLOC);
  let e: usize;
  if (old && prealloc) {
    // The CPU's spare takes the new contents and the old element becomes the spare: the old value stays readable.
    const spare: usize = load<u32>(m, L.MAP_EXTRA) + (cpu << 2);
    e = load<u32>(spare);
    store<u32>(spare, <u32>old);
  } else {
    if (!old && addWord(m + L.MAP_COUNT, 1) >= load<i32>(m, L.MAP_MAX_ENTRIES)) {
      addWord(m + L.MAP_COUNT, -1);
      unlockBucket(head);
      return -L.E2BIG;
    }
    e = newElem(m);
    if (!e) {
      if (!old) addWord(m + L.MAP_COUNT, -1);
      unlockBucket(head);
      return prealloc ? -L.E2BIG : -L.ENOMEM;
    }
  }
  fill(m, e, key, h);
  copyValue(m, valueOf(m, e), value);
  insertHead(head, e);
  if (old) {
    removeElem(head, old);
    if (load<u32>(m, L.MAP_FIELDS)) freeFields(m, valueOf(m, old));
    if (!prealloc) pushFree(m, old);
  }
  unlockBucket(head);
  return 0;
}

/** Writes one value (this CPU's; of a new element the others' are zeroed), or with `all` every CPU's. */
export function setPerCpu(m: usize, e: usize, value: usize, fresh: bool, all: bool): void {
  const stride = load<u32>(m, L.MAP_STRIDE), cpuStride = load<u32>(m, L.MAP_CPU_STRIDE);
  const fields = load<u32>(m, L.MAP_FIELDS) != 0;
  let v: usize = load<u32>(valueOf(m, e));
  if (!all && !fresh) { copyValue(m, v + cpu * cpuStride, value); freeFields(m, v + cpu * cpuStride); return; }
  for (let c: i32 = 0, n = load<i32>(m, L.MAP_CPUS); c < n; c++, v += cpuStride) {
    if (all) {
      if (fields) copyValue(m, v, value); else copyBytes(v, value, stride);
      if (!fresh) freeFields(m, v);
      value += stride;
    } else if (c == cpu) {
      if (!fields) zeroBytes(v, stride);
      copyValue(m, v, value);
    } else if (!fields) zeroBytes(v, stride);
    else zeroValue(m, v);
  }
}
/** Zeroes a value but for its special fields. */
function zeroValue(m: usize, v: usize): void {
  const fields: usize = load<u32>(m, L.MAP_FIELDS);
  let at: u32 = 0;
  for (let i: u32 = 0, count = load<u32>(fields), row = fields + 4; i < count; i++, row += L.FIELD_ROW) {
    zeroBytes(v + at, load<u32>(row) - at);
    at = load<u32>(row) + load<u32>(row, 4);
  }
  zeroBytes(v + at, load<u32>(m, L.MAP_VALUE_SIZE) - at);
}

function percpuUpdate(m: usize, key: usize, value: usize, flags: u32, all: bool): i32 {
  if (flags > <u32>L.EXIST) return -L.EINVAL;
  const h = hashOf(m, key), head = headOf(m, bucketOf(m, h));
  lockBucket(head);
  const old = findElem(m, key, h);
  let result = 0;
  if (old) {
    if (flags == L.NOEXIST) result = -L.EEXIST;
    else setPerCpu(m, old, value, false, all);
  } else if (flags == L.EXIST) result = -L.ENOENT;
  else if (addWord(m + L.MAP_COUNT, 1) >= load<i32>(m, L.MAP_MAX_ENTRIES)) {
    addWord(m + L.MAP_COUNT, -1);
    result = -L.E2BIG;
  } else {
    const e = newElem(m);
    if (!e) {
      addWord(m + L.MAP_COUNT, -1);
      result = -L.ENOMEM;
    } else {
      fill(m, e, key, h);
      setPerCpu(m, e, value, true, all);
      insertHead(head, e);
    }
  }
  unlockBucket(head);
  return result;
}
export function percpu_hash_update(m: usize, key: usize, value: usize, flags: u32): i32 {
  return percpuUpdate(m, key, value, flags, false);
}
/** bpf(2)'s update: `value` holds every CPU's, each padded to 8. */
export function percpu_hash_update_all(m: usize, key: usize, value: usize, flags: u32): i32 {
  return percpuUpdate(m, key, value, flags, true);
}

export function freeElemFields(m: usize, e: usize): void {
  if (!load<u32>(m, L.MAP_FIELDS)) return;
  const cpuStride = load<u32>(m, L.MAP_CPU_STRIDE);
  if (!cpuStride) { freeFields(m, valueOf(m, e)); return; }
  let v: usize = load<u32>(valueOf(m, e));
  for (let c: u32 = 0, n = load<u32>(m, L.MAP_CPUS); c < n; c++, v += cpuStride) freeFields(m, v);
}

export function hash_delete(m: usize, key: usize): i32 {
  const h = hashOf(m, key), head = headOf(m, bucketOf(m, h));
  lockBucket(head);
  const e = findElem(m, key, h);
  if (!e) { unlockBucket(head); return -L.ENOENT; }
  removeElem(head, e);
  addWord(m + L.MAP_COUNT, -1);
  freeElemFields(m, e);
  unlockBucket(head);
  pushFree(m, e);
  return 0;
}

/** The key after `key` in bucket and chain order; the first for no key or one that is not there. */
export function hash_next_key(m: usize, key: usize, out: usize): i32 {
  const n = load<u32>(m, L.MAP_KEY_SIZE), buckets: u32 = 1 << (32 - load<u32>(m, L.MAP_SHIFT));
  let b: u32 = 0;
  if (key) {
    const h = hashOf(m, key), e = findElem(m, key, h);
    if (e) {
      const l = link(e);
      if (!isEnd(l)) { copyBytes(out, l + L.ELEM_KEY, n); return 0; }
      b = bucketOf(m, h) + 1;
    }
  }
  for (; b < buckets; b++) {
    const l = link(headOf(m, b));
    if (!isEnd(l)) { copyBytes(out, l + L.ELEM_KEY, n); return 0; }
  }
  return -L.ENOENT;
}
