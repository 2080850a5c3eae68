// lru_hash and lru_percpu_hash. Which element goes when the map is full follows the kernel's scheme (its facts are in
// kernel/bpf/bpf_lru_list.c, 6.18): an active, an inactive and a free list for the map; a CPU takes free nodes in
// batches into its own free list, and nodes it hands out wait in its pending list until the next batch. A lookup by a
// program only sets the reference bit. Elements whose bit is clear leave from the inactive list's tail.
import * as L from "../layout";
import { copyValue, cpu, lockWord, unlockWord } from "./env.as";
import {
  bucketOf, findElem, fill, freeElemFields, growElems, hashOf, headOf, insertHead, lockBucket, popFree, removeElem,
  setPerCpu, unlockBucket, unlinkIfThere, valueOf,
} from "./hash.as";

const ACTIVE: u32 = 0;
const INACTIVE: u32 = 1;
const FREE: u32 = 2;
const LOCAL_FREE: u32 = 3;
const PENDING: u32 = 4;

// ---- circular lists: the head is {next, previous} like a node ----
@inline function next(n: usize): usize { return load<u32>(n); }
@inline function prev(n: usize): usize { return load<u32>(n, 4); }
@inline function reset(head: usize): void { store<u32>(head, <u32>head); store<u32>(head, <u32>head, 4); }
@inline function unlinkNode(n: usize): void {
  const a = next(n), b = prev(n);
  store<u32>(b, <u32>a);
  store<u32>(a, <u32>b, 4);
}
@inline function linkFirst(n: usize, head: usize): void {
  const a = next(head);
  store<u32>(n, <u32>a);
  store<u32>(n, <u32>head, 4);
  store<u32>(head, <u32>n);
  store<u32>(a, <u32>n, 4);
}

@inline function listOf(n: usize): u32 { return load<u8>(n, 8); }
@inline function referenced(n: usize): bool { return load<u8>(n, 9) != 0; }
@inline function setList(n: usize, list: u32): void { store<u8>(n, <u8>list, 8); }
@inline function clearRef(n: usize): void { store<u8>(n, 0, 9); }
@inline export function setRef(e: usize): void { store<u8>(e - L.LRU_NODE, 1, 9); }
@inline function elemOf(n: usize): usize { return n + L.LRU_NODE; }
@inline function headOfList(block: usize, list: u32): usize { return block + (list << 3); }

function count(block: usize, list: u32, by: i32): void {
  if (list > INACTIVE) return;
  const at = block + L.LIST_COUNTS + (list << 2);
  store<i32>(at, load<i32>(at) + by);
}
/** The rotation point steps back from a node that leaves. */
@inline function leaveRotation(block: usize, n: usize): void {
  if (load<u32>(block, L.LIST_ROTATION) == <u32>n) store<u32>(block, <u32>prev(n), L.LIST_ROTATION);
}
/** To the front of a list of the block; its reference is spent. */
function move(block: usize, n: usize, list: u32): void {
  if (listOf(n) != list) {
    count(block, listOf(n), -1);
    count(block, list, 1);
    setList(n, list);
  }
  clearRef(n);
  leaveRotation(block, n);
  unlinkNode(n);
  linkFirst(n, headOfList(block, list));
}
/** Out of the block's lists to the front of a free list. */
function release(block: usize, n: usize, freeHead: usize, list: u32): void {
  leaveRotation(block, n);
  count(block, listOf(n), -1);
  setList(n, list);
  unlinkNode(n);
  linkFirst(n, freeHead);
}

// ---- aging ----

function rotate(m: usize, block: usize): void {
  const scans = load<u32>(m, L.LRU_SCANS);
  const active = headOfList(block, ACTIVE), inactive = headOfList(block, INACTIVE);
  if (load<u32>(block, L.LIST_COUNTS + 4) < load<u32>(block, L.LIST_COUNTS)) {
    // From the active tail: referenced ones get another round, the others age.
    const last = next(active);
    let n = prev(active);
    for (let i: u32 = 0; n != active && i < scans; i++) {
      const before = prev(n);
      move(block, n, referenced(n) ? ACTIVE : INACTIVE);
      if (n == last) break;
      n = before;
    }
  }
  if (next(inactive) == inactive) return;
  // Referenced ones in the inactive list become active, from where the last rotation stopped.
  let at: usize = load<u32>(block, L.LIST_ROTATION);
  let last = next(at), following = at;
  if (last == inactive) last = next(last);
  for (let i: u32 = 0; i < scans; ) {
    if (at == inactive) { at = prev(at); continue; }
    following = prev(at);
    if (referenced(at)) move(block, at, ACTIVE);
    if (at == last) break;
    at = following;
    i++;
  }
  store<u32>(block, <u32>following, L.LIST_ROTATION);
}

/** Takes the element out of the hash; false when it is not in it. */
function evict(m: usize, n: usize): bool {
  const e = elemOf(n);
  return unlinkIfThere(m, e);
}

/** Frees up to `want` elements into a free list. */
function shrink(m: usize, block: usize, want: u32, freeHead: usize, list: u32): void {
  const inactive = headOfList(block, INACTIVE);
  let got: u32 = 0, n = prev(inactive);
  for (let i: u32 = 0, scans = load<u32>(m, L.LRU_SCANS); n != inactive && i < scans; i++) {
    const before = prev(n);
    if (referenced(n)) move(block, n, ACTIVE);
    else if (evict(m, n)) {
      release(block, n, freeHead, list);
      if (++got == want) return;
    }
    n = before;
  }
  if (got) return;
  // All are referenced: one goes all the same.
  const head = next(inactive) != inactive ? inactive : headOfList(block, ACTIVE);
  for (n = prev(head); n != head; n = prev(n)) {
    if (evict(m, n)) { release(block, n, freeHead, list); return; }
  }
}

// ---- taking a node ----

@inline function localOf(m: usize, c: u32): usize { return <usize>load<u32>(m, L.LRU_LOCALS) + c * L.LOCAL_BLOCK; }

function refill(m: usize, local: usize): void {
  const block: usize = load<u32>(m, L.LRU_LISTS), target = load<u32>(m, L.LRU_TARGET);
  const pending = local + L.LOCAL_PENDING;
  for (let n = prev(pending); n != pending; ) {
    const before = prev(n), list = referenced(n) ? ACTIVE : INACTIVE;
    count(block, list, 1);
    setList(n, list);
    clearRef(n);
    unlinkNode(n);
    linkFirst(n, headOfList(block, list));
    n = before;
  }
  rotate(m, block);
  const free = headOfList(block, FREE);
  let got: u32 = 0;
  for (let n = next(free); n != free && got < target; got++) {
    const after = next(n);
    release(block, n, local, LOCAL_FREE);
    n = after;
  }
  if (got < target) shrink(m, block, target - got, local, LOCAL_FREE);
}

function firstFree(local: usize): usize {
  const n = next(local);
  if (n == local) return 0;
  unlinkNode(n);
  return n;
}

/** The oldest pending node, one without a reference if there is one. */
function oldestPending(m: usize, local: usize): usize {
  const head = local + L.LOCAL_PENDING;
  for (let force = 0; force < 2; force++) {
    for (let n = prev(head); n != head; n = prev(n)) {
      if ((force || !referenced(n)) && evict(m, n)) { unlinkNode(n); return n; }
    }
  }
  return 0;
}

/** An element for a new key, another one's if need be; 0 when there is none. */
function take(m: usize, h: u32): usize {
  let n: usize;
  const c = <u32>cpu;
  if (!load<u32>(m, L.LRU_LOCALS)) {
    const block: usize = <usize>load<u32>(m, L.LRU_LISTS) + c * L.LIST_BLOCK, free = headOfList(block, FREE);
    rotate(m, block);
    if (next(free) == free) shrink(m, block, L.LRU_PERCPU_TARGET, free, FREE);
    n = next(free);
    if (n == free) return 0;
    store<u32>(elemOf(n), h, L.ELEM_HASH);
    clearRef(n);
    move(block, n, INACTIVE);
    return elemOf(n);
  }
  const local = localOf(m, c);
  n = firstFree(local);
  if (!n) { refill(m, local); n = firstFree(local); }
  if (!n) {
    const cpus = load<u32>(m, L.MAP_CPUS), first = load<u32>(local, L.LOCAL_STEAL);
    let from = first;
    do {
      const other = localOf(m, from);
      n = firstFree(other);
      if (!n) n = oldestPending(m, other);
      from = from + 1 == cpus ? 0 : from + 1;
    } while (!n && from != first);
    store<u32>(local, from, L.LOCAL_STEAL);
    if (!n) return 0;
  }
  store<u32>(elemOf(n), h, L.ELEM_HASH);
  store<u16>(n, <u16>c, 10);
  setList(n, PENDING);
  clearRef(n);
  linkFirst(n, local + L.LOCAL_PENDING);
  return elemOf(n);
}

function give(m: usize, e: usize): void {
  const n = e - L.LRU_NODE, list = listOf(n);
  if (list == PENDING) {
    setList(n, LOCAL_FREE);
    clearRef(n);
    unlinkNode(n);
    linkFirst(n, localOf(m, load<u16>(n, 10)));
    return;
  }
  const lists: usize = load<u32>(m, L.LRU_LISTS);
  move(load<u32>(m, L.LRU_LOCALS) ? lists : lists + load<u16>(n, 10) * L.LIST_BLOCK, n, FREE);
}

function pop(m: usize, h: u32): usize {
  lockWord(m + L.LRU_LOCK);
  const e = take(m, h);
  unlockWord(m + L.LRU_LOCK);
  return e;
}
function push(m: usize, e: usize): void {
  lockWord(m + L.LRU_LOCK);
  give(m, e);
  unlockWord(m + L.LRU_LOCK);
}

// ---- operations ----

/** Lists and elements; the hash's own init comes first. -errno. */
export function lru_init(m: usize): i32 {
  const lists: usize = load<u32>(m, L.LRU_LISTS), locals: usize = load<u32>(m, L.LRU_LOCALS);
  const cpus: u32 = load<u32>(m, L.MAP_CPUS), blocks: u32 = locals ? 1 : cpus;
  const elems = load<u32>(m, L.MAP_CHUNK_ELEMS);
  for (let b: u32 = 0; b < blocks; b++) {
    const block = lists + b * L.LIST_BLOCK;
    for (let l: u32 = 0; l < 3; l++) reset(headOfList(block, l));
    store<u32>(block, <u32>headOfList(block, INACTIVE), L.LIST_ROTATION);
  }
  if (locals) for (let c: u32 = 0; c < cpus; c++) {
    const local = locals + c * L.LOCAL_BLOCK;
    reset(local);
    reset(local + L.LOCAL_PENDING);
    store<u32>(local, c, L.LOCAL_STEAL);
  }
  if (!growElems(m, elems, L.LRU_NODE)) return -L.ENOMEM;
  const share = elems / blocks;
  for (let i: u32 = 0; i < elems; i++) {
    const n = popFree(m) - L.LRU_NODE, b = i / share;
    setList(n, FREE);
    store<u16>(n, <u16>b, 10);
    linkFirst(n, headOfList(lists + b * L.LIST_BLOCK, FREE));
  }
  return 0;
}

/** A program's lookup: it counts as a use. */
export function lru_lookup(m: usize, key: usize): usize {
  const e = findElem(m, key, hashOf(m, key));
  if (!e) return 0;
  setRef(e);
  return valueOf(m, e);
}
export function lru_lookup_percpu(m: usize, key: usize, onCpu: u32): usize {
  if (onCpu >= load<u32>(m, L.MAP_CPUS)) return 0;
  const v = lru_lookup(m, key);
  return v ? <usize>load<u32>(v) + onCpu * load<u32>(m, L.MAP_CPU_STRIDE) : 0;
}

export function lru_update(m: usize, key: usize, value: usize, flags: u32): i32 {
  if (flags > <u32>L.EXIST) return -L.EINVAL;
  const h = hashOf(m, key), head = headOf(m, bucketOf(m, h));
  // As in the kernel the node is taken first: another element may go even when the flags then refuse.
  const e = pop(m, h);
  if (!e) return -L.ENOMEM;
  copyValue(m, valueOf(m, e), value);
  lockBucket(head);
  const old = findElem(m, key, h);
  if ((old && flags == L.NOEXIST) || (!old && flags == L.EXIST)) {
    unlockBucket(head);
    push(m, e);
    return old ? -L.EEXIST : -L.ENOENT;
  }
  fill(m, e, key, h);
  insertHead(head, e);
  if (old) {
    setRef(e);
    removeElem(head, old);
    freeElemFields(m, old);
  }
  unlockBucket(head);
  if (old) push(m, old);
  return 0;
}

function percpuUpdate(m: usize, key: usize, value: usize, flags: u32, all: bool): i32 {
  if (flags > <u32>L.EXIST) return -L.EINVAL;
  const h = hashOf(m, key), head = headOf(m, bucketOf(m, h));
  let e: usize = 0;
  if (flags != L.EXIST) {
    e = pop(m, h);
    if (!e) return -L.ENOMEM;
  }
  let result = 0;
  lockBucket(head);
  const old = findElem(m, key, h);
  if (old && flags == L.NOEXIST) result = -L.EEXIST;
  else if (!old && flags == L.EXIST) result = -L.ENOENT;
  else if (old) {
    setRef(old);
    setPerCpu(m, old, value, false, all);
  } else {
    fill(m, e, key, h);
    setPerCpu(m, e, value, true, all);
    insertHead(head, e);
    e = 0;
  }
  unlockBucket(head);
  if (e) push(m, e);
  return result;
}
export function lru_percpu_update(m: usize, key: usize, value: usize, flags: u32): i32 {
  return percpuUpdate(m, key, value, flags, false);
}
export function lru_percpu_update_all(m: usize, key: usize, value: usize, flags: u32): i32 {
  return percpuUpdate(m, key, value, flags, true);
}

export function lru_delete(m: usize, key: usize): i32 {
  const h = hashOf(m, key), head = headOf(m, bucketOf(m, h));
  lockBucket(head);
  const e = findElem(m, key, h);
  if (e) {
    removeElem(head, e);
    freeElemFields(m, e);
  }
  unlockBucket(head);
  if (!e) return -L.ENOENT;
  push(m, e);
  return 0;
}
