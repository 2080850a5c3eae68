/**
 * Map helpers. With the map known at translation its sizes, addresses and seed are constants of the code: array
 * lookups become a bound check and a multiplication, 4- and 8-byte hash keys are hashed and probed in place, and the
 * runtime's function is called only for longer chains. Everything else calls the runtime's function for the map's type.
 *
 * What stands here repeats the layout of `maps/layout.ts` and the order of effects in `maps/runtime/hash.as.ts`: a
 * replaced value of a preallocated hash is a new element at the head of its chain, and the old one stays readable.
 */
import type { Insn } from "../../isa/index.ts";
import { layout as L } from "../../maps/index.ts";
import { BPF_F_NO_PREALLOC, MapType } from "../../object/index.ts";
import { swap32 } from "./alu.ts";
import {
  access,
  address,
  branch,
  call,
  close,
  type Emitter,
  get,
  getReg,
  getReg32,
  i32,
  i64,
  i64Halves,
  op,
  open,
  scratch32,
  scratch64,
  set,
  setReg,
  setReg32,
  spillSlots,
  tee,
} from "./emit.ts";
import { constOf, FRAME } from "./values.ts";
import { I32, I64, Op, VOID } from "./wasm.ts";

const LOOKUP = 1;
const UPDATE = 2;
const DELETE = 3;
const LOOKUP_PERCPU = 195;

/** A map that is known while its users are translated. */
export interface MapFacts {
  readonly address: number;
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  /** A word of the header (`maps/layout.ts`). */
  readonly header: (field: number) => number;
}

export function isMapHelper(id: number): boolean {
  return id === LOOKUP || id === UPDATE || id === DELETE || id === LOOKUP_PERCPU;
}

export function mapResultMax(id: number): number {
  return id === LOOKUP || id === LOOKUP_PERCPU ? 2 ** 32 - 1 : Number.POSITIVE_INFINITY;
}

export function emitMapCall(e: Emitter, insn: Insn, map: MapFacts | undefined, shared: boolean): void {
  if (insn.imm === LOOKUP) emitLookup(e, map, shared);
  else if (insn.imm === UPDATE) emitUpdate(e, map, shared);
  else {
    spillPointer(e, 2, map?.keySize);
    if (insn.imm === DELETE) {
      callRuntime(e, map && TYPED_DELETE.has(map.type) ? "hash_delete" : "map_delete", 2);
      op(e, Op.i64_extend_i32_s);
      setReg(e, 0);
    } else {
      callRuntime(e, "map_lookup_percpu", 3);
      setReg32(e, 0);
    }
  }
}

const TYPED_DELETE: ReadonlySet<number> = new Set([MapType.BPF_MAP_TYPE_HASH, MapType.BPF_MAP_TYPE_PERCPU_HASH]);

const TYPED_LOOKUP = new Map<number, string>([
  [MapType.BPF_MAP_TYPE_HASH, "hash_lookup"],
  [MapType.BPF_MAP_TYPE_ARRAY, "array_lookup"],
  [MapType.BPF_MAP_TYPE_PERCPU_HASH, "percpu_hash_lookup"],
  [MapType.BPF_MAP_TYPE_PERCPU_ARRAY, "percpu_array_lookup"],
  [MapType.BPF_MAP_TYPE_LRU_HASH, "lru_lookup"],
  [MapType.BPF_MAP_TYPE_LPM_TRIE, "lpm_lookup"],
]);

const TYPED_UPDATE = new Map<number, string>([
  [MapType.BPF_MAP_TYPE_HASH, "hash_update"],
  [MapType.BPF_MAP_TYPE_ARRAY, "array_update"],
  [MapType.BPF_MAP_TYPE_PERCPU_HASH, "percpu_hash_update"],
  [MapType.BPF_MAP_TYPE_PERCPU_ARRAY, "percpu_array_update"],
  [MapType.BPF_MAP_TYPE_LRU_HASH, "lru_update"],
]);

/** Calls a runtime function with the low halves of r1 to r`count`. */
function callRuntime(e: Emitter, name: string, count: number): void {
  for (let r = 1; r <= count; r++) getReg32(e, r);
  call(e, { kind: "prebuilt", name });
}

/** Brings the bytes behind a pointer argument to memory, where slots hold them. */
function spillPointer(e: Emitter, r: number, size: number | undefined): void {
  if (e.state.kind[r] !== FRAME) return;
  const from = e.state.num[r]!;
  spillSlots(e, from, size === undefined ? 0 : from + size);
}

/**
 * Pushes `size` (4 or 8) bytes at r + off: as i32 for 4, as i64 for 8. Promoted slots that hold exactly these bytes,
 * or more, are read in place.
 */
function pushBehind(e: Emitter, r: number, off: number, size: 4 | 8): void {
  if (e.state.kind[r] === FRAME) {
    const at = e.state.num[r]! + off;
    for (const [slot, local] of e.slotLocals) {
      const slotSize = e.slots.get(slot)!;
      if (slot > at || slot + slotSize < at + size) continue;
      get(e, local);
      if (slot !== at) {
        i64(e, 8 * (at - slot));
        op(e, Op.i64_shr_u);
      }
      if (size === 4) op(e, Op.i32_wrap_i64);
      return;
    }
    spillSlots(e, at, at + size);
  }
  access(e, size === 4 ? Op.i32_load : Op.i64_load, address(e, r, off));
}

function emitLookup(e: Emitter, map: MapFacts | undefined, shared: boolean): void {
  if (map && isPlainArray(map)) {
    emitArrayLookup(e, map);
    return;
  }
  const kind = map && !shared ? hashKind(map) : undefined;
  if (kind !== undefined) {
    emitHashLookup(e, map!, kind);
    return;
  }
  if (map && !shared && map.type === MapType.BPF_MAP_TYPE_LPM_TRIE && map.keySize === 8) {
    emitLpmLookup(e, map);
    return;
  }
  spillPointer(e, 2, map?.keySize);
  callRuntime(e, map ? lookupFunction(map) : "map_lookup", 2);
  setReg32(e, 0);
}

/** The runtime's function for a map's lookups. */
function lookupFunction(map: MapFacts): string {
  const is16 = map.type === MapType.BPF_MAP_TYPE_HASH && map.keySize === 16;
  if (is16 && map.header(L.MAP_HASH_KIND) === L.HASH_ANY) return "hash_lookup16";
  return TYPED_LOOKUP.get(map.type) ?? "map_lookup";
}

/** An array, or a per-CPU array on a machine with one CPU. */
function isPlainArray(map: MapFacts): boolean {
  if (map.type === MapType.BPF_MAP_TYPE_ARRAY) return true;
  return map.type === MapType.BPF_MAP_TYPE_PERCPU_ARRAY && map.header(L.MAP_CPUS) === 1;
}

function emitArrayLookup(e: Emitter, map: MapFacts): void {
  const index = scratch32(e, 0);
  pushBehind(e, 2, 0, 4);
  tee(e, index);
  i32(e, map.header(L.MAP_MAX_ENTRIES));
  op(e, Op.i32_lt_u);
  open(e, Op.if_, I32);
  get(e, index);
  i32(e, map.header(L.MAP_STRIDE));
  op(e, Op.i32_mul);
  i32(e, map.header(L.MAP_VALUES));
  op(e, Op.i32_add);
  op(e, Op.else_);
  i32(e, 0);
  close(e);
  setReg32(e, 0);
}

/** Bytes of the key when it is hashed by one multiplication. */
function hashKind(map: MapFacts): 4 | 8 | undefined {
  if (map.type !== MapType.BPF_MAP_TYPE_HASH) return undefined;
  const kind = map.header(L.MAP_HASH_KIND);
  return kind === L.HASH_4 ? 4 : kind === L.HASH_8 ? 8 : undefined;
}

/**
 * Hashes the key and reads its bucket's head. Afterwards scratch 0 (i32) is the first element or the chain's end,
 * scratch 1 (i32) the hash, scratch 0 (i64) the key; an i32 on the stack tells that the first element has this key.
 * An end's number is below the bucket array's size, so reading "its key" stays in the memory.
 */
function emitProbe(e: Emitter, map: MapFacts, size: 4 | 8): void {
  const elem = scratch32(e, 0);
  const hash = scratch32(e, 1);
  const key = scratch64(e, 0);
  pushBehind(e, 2, 0, size);
  if (size === 4) op(e, Op.i64_extend_i32_u);
  tee(e, key);
  i64Halves(e, map.header(L.MAP_SEED), map.header(L.MAP_SEED + 4));
  op(e, Op.i64_mul);
  i64(e, 32);
  op(e, Op.i64_shr_u);
  op(e, Op.i32_wrap_i64);
  tee(e, hash);
  i32(e, map.header(L.MAP_SHIFT));
  op(e, Op.i32_shr_u);
  i32(e, 2);
  op(e, Op.i32_shl);
  access(e, Op.i32_load, map.header(L.MAP_BUCKETS));
  tee(e, elem);
  access(e, size === 4 ? Op.i64_load32_u : Op.i64_load, L.ELEM_KEY);
  get(e, key);
  op(e, Op.i64_eq);
  get(e, elem);
  i32(e, 1);
  op(e, Op.i32_and);
  op(e, Op.i32_eqz);
  op(e, Op.i32_and);
}

function emitHashLookup(e: Emitter, map: MapFacts, size: 4 | 8): void {
  const elem = scratch32(e, 0);
  emitProbe(e, map, size);
  open(e, Op.if_, I32);
  get(e, elem);
  i32(e, L.ELEM_KEY + 8);
  op(e, Op.i32_add);
  op(e, Op.else_);
  get(e, elem);
  i32(e, 1);
  op(e, Op.i32_and);
  open(e, Op.if_, I32);
  i32(e, 0);
  op(e, Op.else_);
  i32(e, map.address);
  get(e, scratch64(e, 0));
  if (size === 4) op(e, Op.i32_wrap_i64);
  call(e, { kind: "prebuilt", name: size === 4 ? "hash_lookup4" : "hash_lookup8" });
  close(e);
  close(e);
  setReg32(e, 0);
}

/**
 * A full-length IPv4 lookup by the stride table, a byte of the address a level, and by the short list of prefixes that
 * may end it; other prefix lengths and a map whose table is gone go to the runtime.
 */
function emitLpmLookup(e: Emitter, map: MapFacts): void {
  const addr = scratch32(e, 0);
  const node = scratch32(e, 1);
  const best = scratch32(e, 2);
  const entry = scratch32(e, 3);
  pushBehind(e, 2, 0, 4);
  i32(e, 32);
  op(e, Op.i32_eq);
  open(e, Op.if_, VOID);
  const done = e.depth - 1;
  pushBehind(e, 2, 4, 4);
  set(e, addr);
  open(e, Op.block, VOID);
  const slow = e.depth - 1;
  open(e, Op.block, VOID);
  const found = e.depth - 1;
  open(e, Op.block, VOID);
  const list = e.depth - 1;
  const leave = (opcode: number, label: number) => branch(e, opcode, e.depth - 1 - label);
  i32(e, 0);
  access(e, Op.i32_load, map.address + L.LPM_STRIDE);
  tee(e, node);
  op(e, Op.i32_eqz);
  leave(Op.br_if, slow);
  i32(e, 0);
  access(e, Op.i32_load, map.address + L.LPM_DEFAULT);
  set(e, best);
  for (let level = 0; level < 4; level++) {
    get(e, node);
    get(e, addr);
    if (level) {
      i32(e, 8 * level);
      op(e, Op.i32_shr_u);
    }
    if (level < 3) {
      i32(e, 255);
      op(e, Op.i32_and);
    }
    i32(e, 3);
    op(e, Op.i32_shl);
    op(e, Op.i32_add);
    tee(e, entry);
    access(e, Op.i32_load, 4);
    tee(e, node);
    get(e, best);
    get(e, node);
    op(e, Op.select);
    set(e, best);
    get(e, entry);
    access(e, Op.i32_load, 0);
    tee(e, node);
    op(e, Op.i32_eqz);
    leave(Op.br_if, found);
    get(e, node);
    i32(e, 1);
    op(e, Op.i32_and);
    leave(Op.br_if, list);
  }
  leave(Op.br, found);
  close(e);
  emitPrefixList(e, addr, node, best);
  close(e);
  get(e, best);
  i32(e, map.header(L.MAP_VALUE_OFFSET));
  op(e, Op.i32_add);
  i32(e, 0);
  get(e, best);
  op(e, Op.select);
  setReg32(e, 0);
  leave(Op.br, done);
  close(e);
  i32(e, map.address);
  get(e, addr);
  call(e, { kind: "prebuilt", name: "lpm_lookup_v4" });
  setReg32(e, 0);
  op(e, Op.else_);
  spillPointer(e, 2, map.keySize);
  callRuntime(e, "lpm_lookup", 2);
  setReg32(e, 0);
  close(e);
}

/** Takes the first prefix of the list at `node` (bit 0 is set) that covers the address. A list holds no /0. */
function emitPrefixList(e: Emitter, addr: number, node: number, best: number): void {
  open(e, Op.block, VOID);
  get(e, node);
  i32(e, 1);
  op(e, Op.i32_sub);
  set(e, node);
  open(e, Op.loop, VOID);
  get(e, node);
  access(e, Op.i32_load, L.NODE_DATA);
  get(e, addr);
  op(e, Op.i32_xor);
  swap32(e, scratch32(e, 3));
  i32(e, 32);
  get(e, node);
  access(e, Op.i32_load, L.NODE_PREFIX);
  op(e, Op.i32_sub);
  op(e, Op.i32_shr_u);
  op(e, Op.i32_eqz);
  open(e, Op.if_, VOID);
  get(e, node);
  set(e, best);
  branch(e, Op.br, 2);
  close(e);
  get(e, node);
  access(e, Op.i32_load, L.NODE_LIST);
  tee(e, node);
  branch(e, Op.br_if, 0);
  close(e);
  close(e);
}

/** Values up to this size are copied in place, in 8-byte steps. */
const MAX_INLINE_VALUE = 32;

function emitUpdate(e: Emitter, map: MapFacts | undefined, shared: boolean): void {
  const flags = constOf(e.state, 4);
  const size = map && !shared && flags === 0 ? hashKind(map) : undefined;
  const replaces =
    size !== undefined &&
    !(map!.header(L.MAP_FLAGS) & BPF_F_NO_PREALLOC) &&
    map!.header(L.MAP_FIELDS) === 0 &&
    map!.header(L.MAP_CPUS) === 1 &&
    map!.valueSize % 8 === 0 &&
    map!.valueSize <= MAX_INLINE_VALUE;
  if (!replaces) {
    emitUpdateCall(e, map, flags);
    setReg(e, 0);
    return;
  }
  emitProbe(e, map!, size);
  open(e, Op.if_, I64);
  emitReplaceHead(e, map!);
  op(e, Op.else_);
  emitUpdateCall(e, map, flags);
  close(e);
  setReg(e, 0);
}

/** Pushes the runtime's answer as i64. */
function emitUpdateCall(e: Emitter, map: MapFacts | undefined, flags: number | undefined): void {
  spillPointer(e, 2, map?.keySize);
  spillPointer(e, 3, map?.valueSize);
  const typed = map && flags !== undefined && flags >= 0 && flags < 8 ? TYPED_UPDATE.get(map.type) : undefined;
  for (let r = 1; r <= 3; r++) getReg32(e, r);
  if (typed) i32(e, flags!);
  else getReg(e, 4);
  call(e, { kind: "prebuilt", name: typed ?? "map_update" });
  op(e, Op.i64_extend_i32_s);
}

/** The spare element takes key and value and the place of the first element, which becomes the spare. Pushes 0. */
function emitReplaceHead(e: Emitter, map: MapFacts): void {
  const old = scratch32(e, 0);
  const hash = scratch32(e, 1);
  const fresh = scratch32(e, 2);
  const spare = map.header(L.MAP_EXTRA);
  i32(e, 0);
  access(e, Op.i32_load, spare);
  set(e, fresh);
  i32(e, 0);
  get(e, old);
  access(e, Op.i32_store, spare);
  get(e, fresh);
  get(e, hash);
  access(e, Op.i32_store, L.ELEM_HASH);
  get(e, fresh);
  get(e, scratch64(e, 0));
  access(e, map.keySize === 4 ? Op.i64_store32 : Op.i64_store, L.ELEM_KEY);
  for (let at = 0; at < map.valueSize; at += 8) {
    get(e, fresh);
    pushBehind(e, 3, at, 8);
    access(e, Op.i64_store, L.ELEM_KEY + 8 + at);
  }
  get(e, fresh);
  get(e, old);
  access(e, Op.i32_load, L.ELEM_NEXT);
  access(e, Op.i32_store, L.ELEM_NEXT);
  get(e, hash);
  i32(e, map.header(L.MAP_SHIFT));
  op(e, Op.i32_shr_u);
  i32(e, 2);
  op(e, Op.i32_shl);
  get(e, fresh);
  access(e, Op.i32_store, map.header(L.MAP_BUCKETS));
  i64(e, 0);
}
