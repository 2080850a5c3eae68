// lpm_trie. The truth is a path-compressed binary trie, the shape that kernel/bpf/lpm_trie.c has for the same set of
// prefixes, so iteration order agrees with the kernel's. Beside it, for lookups with a full-length key (every packet),
// stands an 8-bit-stride table: a node has 256 entries {child, best}; best is the longest prefix that ends in this byte
// and covers the entry; child is another node, or (bit 0 set) a short list of the prefixes below, longest first.
// Nodes are made only where more than LIST_MAX prefixes share a path, and no more than a budget: when it is spent the
// table goes and lookups walk the binary trie.
import * as L from "../layout";
import { alloc, copyBytes, lockWord, unlockWord, zeroBytes } from "./env.as";
import { growElems, popFree, pushFree } from "./hash.as";

@inline function lockMap(m: usize): void { lockWord(m + L.LPM_LOCK); }
@inline function unlockMap(m: usize): void { unlockWord(m + L.LPM_LOCK); }

/** Node flag: no value here, only a branch. */
const BRANCH: u32 = 1;
const LIST_MAX: u32 = 2;
const OFF: u32 = 0xffffffff;
const STRIDE_CHUNK: u32 = 16;

@inline function child(n: usize, bit: u32): usize { return load<u32>(n + (bit << 2)); }
@inline function setChild(n: usize, bit: u32, c: usize): void { store<u32>(n + (bit << 2), <u32>c); }
@inline function plen(n: usize): u32 { return load<u32>(n, L.NODE_PREFIX); }
@inline function isBranch(n: usize): bool { return (load<u32>(n, L.NODE_FLAGS) & BRANCH) != 0; }
@inline function maxPrefix(m: usize): u32 { return load<u32>(m, L.LPM_DATA_SIZE) << 3; }
@inline function valueOf(m: usize, n: usize): usize { return n + load<u32>(m, L.MAP_VALUE_OFFSET); }
@inline function bitAt(data: usize, i: u32): u32 { return (load<u8>(data + (i >>> 3)) >>> (7 - (i & 7))) & 1; }

/** How many leading bits two addresses share, at most `limit`. Reads no byte beyond the one that decides. */
function sharedBits(a: usize, b: usize, limit: u32): u32 {
  let i: u32 = 0;
  while (i + 32 <= limit) {
    const d = load<u32>(a + (i >>> 3)) ^ load<u32>(b + (i >>> 3));
    if (d) return i + <u32>clz<u32>(bswap<u32>(d));
    i += 32;
  }
  while (i < limit) {
    const d: u32 = load<u8>(a + (i >>> 3)) ^ load<u8>(b + (i >>> 3));
    if (d) { i += <u32>clz<u32>(d << 24); return i < limit ? i : limit; }
    i += 8;
  }
  return limit;
}

@inline function sharedWith(n: usize, key: usize): u32 {
  const a = plen(n), b = load<u32>(key);
  return sharedBits(n + L.NODE_DATA, key + 4, a < b ? a : b);
}

// ---- lookup ----

/** By the binary trie: any prefix length. */
function walk(m: usize, key: usize): usize {
  let found: usize = 0, n: usize = load<u32>(m, L.LPM_ROOT);
  const limit = load<u32>(key), max = maxPrefix(m);
  while (n) {
    const np = plen(n);
    if (np > limit || sharedBits(n + L.NODE_DATA, key + 4, np) < np) break;
    if (!isBranch(n)) found = n;
    if (np == limit || np == max) break;
    n = child(n, bitAt(key + 4, np));
  }
  return found;
}

/** By the stride table: the address is of full length. */
function strideWalk(m: usize, data: usize): usize {
  let best: usize = load<u32>(m, L.LPM_DEFAULT), n: usize = load<u32>(m, L.LPM_STRIDE), at = data;
  for (;;) {
    const e = n + (<usize>load<u8>(at) << 3);
    const b = load<u32>(e, 4);
    if (b) best = b;
    const c = load<u32>(e);
    if (c & 1) { best = inList(c & ~1, data, best); break; }
    if (!c) break;
    n = c;
    at++;
  }
  return best;
}

function inList(head: usize, data: usize, best: usize): usize {
  while (head) {
    const p = plen(head);
    if (sharedBits(head + L.NODE_DATA, data, p) >= p) return head;
    head = load<u32>(head, L.NODE_LIST);
  }
  return best;
}

export function lpm_lookup(m: usize, key: usize): usize {
  const p = load<u32>(key), max = maxPrefix(m);
  if (p > max) return 0;
  lockMap(m);
  const n = p == max && load<u32>(m, L.LPM_STRIDE) ? strideWalk(m, key + 4) : walk(m, key);
  unlockMap(m);
  return n ? valueOf(m, n) : 0;
}

/** A full-length lookup in a map with 4-byte addresses: `addr` as it lies in memory (network order read as u32). */
export function lpm_lookup_v4(m: usize, addr: u32): usize {
  lockMap(m);
  let best: usize = load<u32>(m, L.LPM_DEFAULT), n: usize = load<u32>(m, L.LPM_STRIDE);
  if (!n) {
    n = load<u32>(m, L.LPM_ROOT);
    best = 0;
    const be = bswap<u32>(addr);
    while (n) {
      const np = plen(n);
      if (np && (bswap<u32>(load<u32>(n, L.NODE_DATA)) ^ be) >>> (32 - np)) break;
      if (!isBranch(n)) best = n;
      if (np == 32) break;
      n = child(n, (be >>> (31 - np)) & 1);
    }
  } else {
    let rest = addr;
    for (;;) {
      const e = n + (<usize>(rest & 255) << 3);
      const b = load<u32>(e, 4);
      if (b) best = b;
      let c = load<u32>(e);
      if (!c) break;
      if (c & 1) {
        c &= ~1;
        do {
          // A list holds no /0.
          if (!(bswap<u32>(load<u32>(c, L.NODE_DATA) ^ addr) >>> (32 - plen(c)))) { best = c; break; }
          c = load<u32>(c, L.NODE_LIST);
        } while (c);
        break;
      }
      n = c;
      rest >>>= 8;
    }
  }
  unlockMap(m);
  return best ? valueOf(m, best) : 0;
}

/** A full-length lookup; `data` points at the address, without a prefix length before it. */
export function lpm_lookup_full(m: usize, data: usize): usize {
  lockMap(m);
  let found: usize = 0;
  if (load<u32>(m, L.LPM_STRIDE)) found = strideWalk(m, data);
  else {
    let n: usize = load<u32>(m, L.LPM_ROOT);
    const max = maxPrefix(m);
    while (n) {
      const np = plen(n);
      if (sharedBits(n + L.NODE_DATA, data, np) < np) break;
      if (!isBranch(n)) found = n;
      if (np == max) break;
      n = child(n, bitAt(data, np));
    }
  }
  unlockMap(m);
  return found ? valueOf(m, found) : 0;
}

// ---- the stride table ----

function newStride(m: usize): usize {
  const budget = load<u32>(m, L.LPM_BUDGET);
  if (budget == 0 || budget == OFF) return 0;
  let n: usize = load<u32>(m, L.LPM_STRIDE_FREE);
  if (!n) {
    // Stride nodes are not values: their memory belongs to no element chunk.
    const chunk: usize = alloc(0, 16 + L.STRIDE_NODE * STRIDE_CHUNK, 16);
    if (!chunk) return 0;
    store<u32>(chunk, load<u32>(m, L.LPM_STRIDE_CHUNKS));
    store<u32>(m, <u32>chunk, L.LPM_STRIDE_CHUNKS);
    for (let i: u32 = 0; i < STRIDE_CHUNK; i++) {
      const s = chunk + 16 + i * L.STRIDE_NODE;
      store<u32>(s, <u32>n);
      n = s;
    }
    store<u32>(m, <u32>n, L.LPM_STRIDE_FREE);
  }
  store<u32>(m, load<u32>(n), L.LPM_STRIDE_FREE);
  store<u32>(m, budget - 1, L.LPM_BUDGET);
  zeroBytes(n, L.STRIDE_NODE);
  return n;
}

function freeStride(m: usize, n: usize): void {
  store<u32>(n, load<u32>(m, L.LPM_STRIDE_FREE));
  store<u32>(m, <u32>n, L.LPM_STRIDE_FREE);
  store<u32>(m, load<u32>(m, L.LPM_BUDGET) + 1, L.LPM_BUDGET);
}

/** Gives the table up for good: all lookups by the binary trie. */
function strideOff(m: usize): void {
  store<u32>(m, 0, L.LPM_STRIDE);
  store<u32>(m, OFF, L.LPM_BUDGET);
}

/** Enters a prefix below node `n`, which stands for byte `level`. False when a node was needed and not to be had. */
function strideAdd(m: usize, n: usize, level: u32, e: usize): bool {
  const p = plen(e);
  for (;;) {
    store<u32>(n, load<u32>(n, L.STRIDE_COUNT) + 1, L.STRIDE_COUNT);
    const byte: u32 = load<u8>(e + L.NODE_DATA + level), end = (level + 1) << 3;
    if (p <= end) {
      const span: u32 = 1 << (end - p), first = byte & ~(span - 1);
      for (let i: u32 = 0; i < span; i++) {
        const at = n + ((first + i) << 3), b = load<u32>(at, 4);
        if (!b || plen(b) < p) store<u32>(at, <u32>e, 4);
      }
      return true;
    }
    const at = n + (byte << 3);
    let c = load<u32>(at);
    if (c && !(c & 1)) { n = c; level++; continue; }
    // Into the list, by descending length.
    let slot = at, length: u32 = 1, l: usize = c & ~1;
    for (; l && plen(l) >= p; l = load<u32>(l, L.NODE_LIST)) { slot = l + L.NODE_LIST; length++; }
    store<u32>(e, <u32>l, L.NODE_LIST);
    store<u32>(slot, slot == at ? <u32>e | 1 : <u32>e);
    for (; l; l = load<u32>(l, L.NODE_LIST)) length++;
    if (length <= LIST_MAX) return true;
    const deeper = newStride(m);
    if (!deeper) return false;
    l = load<u32>(at) & ~1;
    store<u32>(at, <u32>deeper);
    while (l) {
      const next = load<u32>(l, L.NODE_LIST);
      if (!strideAdd(m, deeper, level + 1, l)) return false;
      l = next;
    }
    return true;
  }
}

function strideInsert(m: usize, e: usize): void {
  if (load<u32>(m, L.LPM_BUDGET) == OFF) return;
  if (!plen(e)) { store<u32>(m, <u32>e, L.LPM_DEFAULT); return; }
  let root: usize = load<u32>(m, L.LPM_STRIDE);
  if (!root) {
    root = newStride(m);
    if (!root) return strideOff(m);
    store<u32>(m, <u32>root, L.LPM_STRIDE);
  }
  if (!strideAdd(m, root, 0, e)) strideOff(m);
}

/** Takes a prefix out; `cover` is the longest other prefix that covers it, or 0. */
function strideRemove(m: usize, e: usize, cover: usize): void {
  if (load<u32>(m, L.LPM_BUDGET) == OFF) return;
  const p = plen(e);
  if (!p) { store<u32>(m, 0, L.LPM_DEFAULT); return; }
  let n: usize = load<u32>(m, L.LPM_STRIDE), level: u32 = 0;
  for (;;) {
    const count = load<u32>(n, L.STRIDE_COUNT) - 1;
    store<u32>(n, count, L.STRIDE_COUNT);
    const byte: u32 = load<u8>(e + L.NODE_DATA + level), end = (level + 1) << 3;
    const at = n + (byte << 3);
    if (p <= end) {
      const span: u32 = 1 << (end - p), first = byte & ~(span - 1);
      const instead: usize = cover && plen(cover) > level << 3 ? cover : 0;
      for (let i: u32 = 0; i < span; i++) {
        const x = n + ((first + i) << 3);
        if (load<u32>(x, 4) == <u32>e) store<u32>(x, <u32>instead, 4);
      }
    } else {
      const c = load<u32>(at);
      if (!(c & 1)) {
        // A child left empty by this goes at once.
        if (load<u32>(c, L.STRIDE_COUNT) == 1) { store<u32>(at, 0); dropChain(m, c, e, level + 1); return; }
        n = c; level++;
        continue;
      }
      let slot = at, l: usize = c & ~1;
      while (l != e) { slot = l + L.NODE_LIST; l = load<u32>(l, L.NODE_LIST); }
      const next = load<u32>(e, L.NODE_LIST);
      store<u32>(slot, slot == at && next ? next | 1 : next);
    }
    return;
  }
}
/** Frees the nodes from `n` down, which hold nothing but `e`. */
function dropChain(m: usize, n: usize, e: usize, level: u32): void {
  for (;;) {
    const c = load<u32>(n + (<usize>load<u8>(e + L.NODE_DATA + level) << 3));
    freeStride(m, n);
    if (!c || c & 1) return;
    n = c;
    level++;
  }
}

// ---- update ----

function newNode(m: usize): usize {
  let n = popFree(m);
  if (!n && growElems(m, load<u32>(m, L.MAP_CHUNK_ELEMS), 0)) n = popFree(m);
  if (n) { store<u64>(n, 0); store<u64>(n, 0, 8); }
  return n;
}

function update(m: usize, key: usize, value: usize, flags: u32): i32 {
  const kp = load<u32>(key), size = load<u32>(m, L.LPM_DATA_SIZE);
  const fresh = newNode(m);
  if (!fresh) return -L.ENOMEM;
  copyBytes(fresh + L.NODE_PREFIX, key, 4 + size);
  copyBytes(valueOf(m, fresh), value, load<u32>(m, L.MAP_VALUE_SIZE));

  let slot = m + L.LPM_ROOT, n: usize, match: u32 = 0, cover: usize = 0;
  while ((n = load<u32>(slot))) {
    match = sharedWith(n, key);
    const np = plen(n);
    if (np != match || np == kp) break;
    if (!isBranch(n)) cover = n;
    slot = n + (bitAt(key + 4, np) << 2);
  }
  const same = n && plen(n) == match && match == kp;
  const exists = same && !isBranch(n);
  let refusal = 0;
  if (exists && flags == L.NOEXIST) refusal = -L.EEXIST;
  else if (!exists && flags == L.EXIST) refusal = -L.ENOENT;
  else if (!exists && load<u32>(m, L.MAP_COUNT) == load<u32>(m, L.MAP_MAX_ENTRIES)) refusal = -L.ENOSPC;
  if (refusal) { pushFree(m, fresh); return refusal; }

  if (!n) store<u32>(slot, <u32>fresh);
  else if (same) {
    store<u64>(fresh, load<u64>(n));
    store<u32>(slot, <u32>fresh);
    if (exists) strideRemove(m, n, cover);
    pushFree(m, n);
  } else if (match == kp) {
    setChild(fresh, bitAt(n + L.NODE_DATA, match), n);
    store<u32>(slot, <u32>fresh);
  } else {
    const branch = newNode(m);
    if (!branch) { pushFree(m, fresh); return -L.ENOMEM; }
    store<u32>(branch, BRANCH, L.NODE_FLAGS);
    copyBytes(branch + L.NODE_PREFIX, n + L.NODE_PREFIX, 4 + size);
    store<u32>(branch, match, L.NODE_PREFIX);
    const bit = bitAt(key + 4, match);
    setChild(branch, bit, fresh);
    setChild(branch, 1 - bit, n);
    store<u32>(slot, <u32>branch);
  }
  if (!exists) store<u32>(m, load<u32>(m, L.MAP_COUNT) + 1, L.MAP_COUNT);
  strideInsert(m, fresh);
  return 0;
}

export function lpm_update(m: usize, key: usize, value: usize, flags: u32): i32 {
  if (flags > <u32>L.EXIST || load<u32>(key) > maxPrefix(m)) return -L.EINVAL;
  lockMap(m);
  const result = update(m, key, value, flags);
  unlockMap(m);
  return result;
}

export function lpm_delete(m: usize, key: usize): i32 {
  if (load<u32>(key) > maxPrefix(m)) return -L.EINVAL;
  lockMap(m);
  const result = remove(m, key);
  unlockMap(m);
  return result;
}

function remove(m: usize, key: usize): i32 {
  const kp = load<u32>(key);
  let slot = m + L.LPM_ROOT, up = slot, n: usize, parent: usize = 0, cover: usize = 0, match: u32 = 0;
  while ((n = load<u32>(slot))) {
    match = sharedWith(n, key);
    const np = plen(n);
    if (np != match || np == kp) break;
    if (!isBranch(n)) cover = n;
    parent = n;
    up = slot;
    slot = n + (bitAt(key + 4, np) << 2);
  }
  if (!n || plen(n) != kp || match != kp || isBranch(n)) return -L.ENOENT;
  store<u32>(m, load<u32>(m, L.MAP_COUNT) - 1, L.MAP_COUNT);
  strideRemove(m, n, cover);
  const c0 = child(n, 0), c1 = child(n, 1);
  if (c0 && c1) { store<u32>(n, BRANCH, L.NODE_FLAGS); return 0; }
  if (parent && isBranch(parent) && !c0 && !c1) {
    // A branch with one child left is no branch.
    store<u32>(up, <u32>child(parent, child(parent, 0) == n ? 1 : 0));
    pushFree(m, parent);
  } else store<u32>(slot, <u32>(c0 ? c0 : c1));
  pushFree(m, n);
  return 0;
}

/** The first of a subtree in postorder: children before their parent. */
function first(n: usize): usize {
  let found = n;
  while (n) {
    found = n;
    const c = child(n, 0);
    n = c ? c : child(n, 1);
  }
  return found;
}

export function lpm_next_key(m: usize, key: usize, out: usize): i32 {
  lockMap(m);
  const result = nextKey(m, key, out);
  unlockMap(m);
  return result;
}

function nextKey(m: usize, key: usize, out: usize): i32 {
  const root: usize = load<u32>(m, L.LPM_ROOT);
  if (!root) return -L.ENOENT;
  let next: usize = 0, exact = false;
  if (key && load<u32>(key) <= maxPrefix(m)) {
    const kp = load<u32>(key);
    let n = root;
    while (n) {
      const np = plen(n);
      if (sharedWith(n, key) != np) break;
      if (np == kp) { exact = !isBranch(n); break; }
      // What follows the subtree that the walk goes into.
      const bit = bitAt(key + 4, np), other = child(n, 1);
      if (!bit && other) next = first(other);
      else if (!isBranch(n)) next = n;
      n = child(n, bit);
    }
  }
  if (!exact) next = first(root);
  if (!next) return -L.ENOENT;
  copyBytes(out, next + L.NODE_PREFIX, load<u32>(m, L.MAP_KEY_SIZE));
  return 0;
}
