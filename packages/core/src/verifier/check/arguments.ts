/**
 * Helper arguments: each register against the table's argument kind, memory against its size. Sound because a helper
 * gets a pointer only after its bytes were proven to be there, and gives up what it may write.
 *
 * Source: kernel/bpf/verifier.c `check_func_arg`, `check_mem_size_reg`, `check_helper_mem_access`.
 */
import { type Helper, type HelperArg, MapType } from "../../object/index.ts";
import type { Context, MapRef } from "../context.ts";
import {
  ALLOC,
  isNull,
  isPacket,
  isPointer,
  Kind,
  kindName,
  MAYBE_NULL,
  NON_OWNING,
  PERCPU,
  RCU,
  RDONLY,
  type Reg,
  RINGBUF,
  TRUSTED,
} from "../domain/reg.ts";
import type { Special } from "../domain/state.ts";
import type { TypeRef } from "../domain/type-ref.ts";
import { allows, RULES } from "../profile.ts";
import { checkFree, dynptrAt } from "../transfer/dynptr.ts";
import { loadTyped } from "../transfer/kernel.ts";
import { readReg } from "../transfer/registers.ts";
import { frameOf, requireReadable, stackRange, writeVariable } from "../transfer/stack.ts";
import { checkRegion, packetProblem } from "./access.ts";
import { pointsTo } from "./kernel-types.ts";
import type { MapField } from "./map-fields.ts";

/** What the arguments said that the rest of the call needs. */
export interface CallFacts {
  map: MapRef | undefined;
  /** Register number of the released reference, 0 for none. */
  released: number;
  /** Reference id found among the arguments. */
  ref: number;
  /** Size asked of an allocating helper. */
  allocSize: number;
  /** First pc of a function argument, -1 for none. */
  callback: number;
  /** Register number of the map key. */
  keyRegister: number;
  /** The per-CPU object that is asked for one CPU's part. */
  perCpu: Reg | undefined;
  /** The kptr field that bpf_kptr_xchg works on. */
  kptr: MapField | undefined;
  /** The dynptr that the helper reads, and the one that it makes. */
  dynptr: Special | undefined;
  made: { readonly register: number; readonly kind: string } | undefined;
  /** Bytes that the helper writes, on the stack: marked after all arguments are checked. */
  readonly stackWrites: { readonly register: number; readonly size: number }[];
}

export function noFacts(): CallFacts {
  return {
    map: undefined,
    released: 0,
    ref: 0,
    allocSize: -1,
    callback: -1,
    keyRegister: 0,
    perCpu: undefined,
    kptr: undefined,
    dynptr: undefined,
    made: undefined,
    stackWrites: [],
  };
}

const ELEMENT_PLACES: ReadonlySet<Kind> = new Set([
  Kind.STACK,
  Kind.PACKET,
  Kind.PACKET_META,
  Kind.MAP_VALUE,
  Kind.MAP_KEY,
]);

/** Where keys and values may lie. */
function checkElementPlace(cx: Context, register: number, r: Reg, place: string): void {
  if (ELEMENT_PLACES.has(r.kind) || !isPointer(r) || allows(cx.profile, "recordsAsKeys")) return;
  cx.reject(
    "profile",
    `${place} is ${kindName(r)}; as a key or value only newer kernels take it, since ${RULES.recordsAsKeys.since}`,
    { register, fix: "copy it to the stack first" },
  );
}

/** Checks argument `n` (0-based, register n + 1) of the call. */
export function checkArgument(cx: Context, helper: Helper, n: number, facts: CallFacts): void {
  const arg = helper.args[n]!;
  const register = n + 1;
  const r = readReg(cx, register);
  const name = `bpf_${helper.name}`;
  const place = `argument ${register} of ${name}`;
  if (arg.orNull && isNull(r)) {
    cx.markPrecise(r.node);
    return;
  }
  switch (arg.kind) {
    case "any":
      return;
    case "scalar":
      if (isPointer(r)) mismatch(cx, register, r, place, "a number");
      return;
    case "map":
      if (r.kind !== Kind.MAP_PTR) mismatch(cx, register, r, place, "a map");
      facts.map = r.obj as MapRef;
      return;
    case "key": {
      const map = needMap(cx, facts, place, register);
      facts.keyRegister = register;
      checkElementPlace(cx, register, r, place);
      memory(cx, helper, arg, register, r, map.spec.keySize, false, place, facts);
      return;
    }
    case "value": {
      const map = needMap(cx, facts, place, register);
      if (map.spec.type === MapType.BPF_MAP_TYPE_SOCKMAP || map.spec.type === MapType.BPF_MAP_TYPE_SOCKHASH) {
        socket(cx, { ...arg, kind: "sock" }, register, r, place, facts);
        return;
      }
      checkElementPlace(cx, register, r, place);
      memory(cx, helper, arg, register, r, map.spec.valueSize, map.spec.valueSize === 0, place, facts);
      return;
    }
    case "mem":
      requireMemory(cx, register, r, place, arg);
      if (arg.size) {
        memory(cx, helper, arg, register, r, arg.size, false, place, facts);
        if (arg.aligned) aligned(cx, register, r, arg.size, place);
      }
      return;
    case "size":
    case "size0":
      sized(cx, helper, n, register, r, place, facts);
      return;
    case "allocSize":
      if (r.kind !== Kind.SCALAR || !r.val.isConst) {
        cx.reject("constant-size", `${place} must be a constant`, { register, fix: "give the size as a constant" });
      }
      cx.markPrecise(r.node);
      if (r.val.umax > 0x1fff_ffffn) cx.reject("bounds", `${place} is ${r.val.umax}: too large`, { register });
      facts.allocSize = Number(r.val.umax);
      return;
    case "ctx":
      if (r.kind !== Kind.CTX || r.flags) mismatch(cx, register, r, place, "the ctx");
      unmoved(cx, register, r, place);
      return;
    case "sock":
    case "sockCommon":
      socket(cx, arg, register, r, place, facts);
      return;
    case "ringbufMem":
      if (r.flags & MAYBE_NULL) mayBeNull(cx, register, r, place);
      if (r.kind !== Kind.MEM || (r.flags & RINGBUF) === 0) mismatch(cx, register, r, place, "ring buffer memory");
      unmoved(cx, register, r, place);
      release(cx, arg, register, r, place, facts);
      return;
    case "stack":
      if (r.kind !== Kind.STACK) mismatch(cx, register, r, place, "a pointer into the stack");
      return;
    case "func":
      if (r.kind !== Kind.FUNC) mismatch(cx, register, r, place, "a function of the program");
      facts.callback = r.num;
      return;
    case "dynptr":
      dynptr(cx, arg, register, r, place, facts);
      return;
    case "lock":
    case "timer":
      specialField(cx, arg.kind, register, r, place);
      return;
    case "str":
      constantString(cx, register, r, place);
      return;
    case "btf":
      // The object that bpf_kptr_xchg stores is held against the field that it goes to.
      if (arg.of === "") storedObject(cx, register, r, place, facts);
      else kernelObject(cx, arg, register, r, place, facts);
      return;
    case "percpuBtf":
      perCpuObject(cx, register, r, place, facts);
      return;
    case "kptr":
      facts.kptr = kptrField(cx, register, r, place);
      return;
    default:
      cx.unsupported(`argument-${String(arg.kind)}`, `${place} is of a kind that is not checked`, { register });
  }
}

function socket(cx: Context, arg: HelperArg, register: number, r: Reg, place: string, facts: CallFacts): void {
  if (r.flags & MAYBE_NULL) mayBeNull(cx, register, r, place);
  if (r.kind === Kind.BTF_ID && arg.kind === "sock") {
    kernelObject(cx, { ...arg, of: "sock_common" }, register, r, place, facts);
    return;
  }
  if (!isSocket(r.kind)) mismatch(cx, register, r, place, "a socket");
  unmoved(cx, register, r, place);
  release(cx, arg, register, r, place, facts);
}

function isSocket(kind: Kind): boolean {
  return kind === Kind.SOCKET || kind === Kind.SOCK_COMMON || kind === Kind.TCP_SOCK || kind === Kind.XDP_SOCK;
}

/** A pointer to a kernel struct, or to one that begins with it. */
function kernelObject(cx: Context, arg: HelperArg, register: number, r: Reg, place: string, facts: CallFacts): void {
  passedObject(cx, arg.of, arg.orNull && !arg.releases, register, r, place, arg.releases && arg.of !== "sock_common");
  release(cx, arg, register, r, place, facts);
}

/** A pointer to the kernel's struct `of` that may be passed on. `strict`: to it itself, not to one that begins with it. */
export function passedObject(
  cx: Context,
  of: string,
  orNull: boolean,
  register: number,
  r: Reg,
  place: string,
  strict = false,
): void {
  if (r.kind !== Kind.BTF_ID) mismatch(cx, register, r, place, `a pointer to the kernel's struct ${of}`);
  if (r.flags & MAYBE_NULL && !orNull) mayBeNull(cx, register, r, place);
  const other = r.flags & ~MAYBE_NULL;
  if (other !== 0 && other !== TRUSTED && other !== RCU) {
    cx.reject("untrusted", `${place} (r${register}, ${kindName(r)}) is not known to be alive: it cannot be passed on`, {
      register,
    });
  }
  constantOffset(cx, register, r, place);
  const need = cx.types.byName(of);
  if (!pointsTo(r.obj as TypeRef, r.off, need, strict)) {
    mismatch(cx, register, r, place, `a pointer to the kernel's struct ${of}`);
  }
}

/** Objects may be passed by a member at a constant offset. */
export function constantOffset(cx: Context, register: number, r: Reg, place: string): void {
  if (r.off >= 0 && r.val.isConst && r.val.tnum.value === 0n) return;
  cx.reject("variable-offset", `${place} (r${register}, ${kindName(r)}) is not at a constant offset`, { register });
}

function perCpuObject(cx: Context, register: number, r: Reg, place: string, facts: CallFacts): void {
  const rest = r.flags & ~PERCPU;
  if (r.kind !== Kind.BTF_ID || (r.flags & PERCPU) === 0 || (rest !== 0 && rest !== RCU && rest !== TRUSTED)) {
    mismatch(cx, register, r, place, "a per-CPU variable or object");
  }
  constantOffset(cx, register, r, place);
  facts.perCpu = r;
}

/** The kptr field that the register points to. */
function kptrField(cx: Context, register: number, r: Reg, place: string): MapField {
  if (r.flags & MAYBE_NULL) mayBeNull(cx, register, r, place);
  const own = r.kind === Kind.BTF_ID && (r.flags & ALLOC) !== 0;
  if (r.kind !== Kind.MAP_VALUE && !own) mismatch(cx, register, r, place, "a kptr in a map's value or an object");
  const fields = own ? cx.fieldsOf(r.obj as TypeRef) : (r.obj as MapRef).fields;
  const at = r.off + Number(r.val.smin);
  const field = r.val.isConst ? fields.find((f) => f.kind === "kptr" && f.offset === at) : undefined;
  if (!field?.kptr) {
    cx.reject("special-field", `${place} (r${register}) does not point to a kptr`, { register });
  }
  if (field.kptr.mode !== "ref" && field.kptr.mode !== "percpu") {
    cx.reject("special-field", `${place} (r${register}) points to a kptr that holds no reference`, { register });
  }
  return field;
}

/** What goes into a kptr: NULL, or the reference of an object of its type, which the program gives up. */
function storedObject(cx: Context, register: number, r: Reg, place: string, facts: CallFacts): void {
  const { kptr } = facts.kptr!;
  const need = cx.kptrType(facts.kptr!);
  if (r.kind !== Kind.BTF_ID) mismatch(cx, register, r, place, `a pointer to struct ${need.name}, or NULL`);
  if (r.flags & MAYBE_NULL) mayBeNull(cx, register, r, place);
  const allowed = need.own ? ALLOC | (kptr!.mode === "percpu" ? PERCPU : 0) : TRUSTED;
  if (r.flags & ~allowed || (need.own && (r.flags & PERCPU) === 0 && kptr!.mode === "percpu")) {
    mismatch(cx, register, r, place, `an owned pointer to struct ${need.name}`);
  }
  if (r.off !== 0 || !pointsTo(r.obj as TypeRef, 0, need, true)) {
    mismatch(cx, register, r, place, `a pointer to struct ${need.name}`);
  }
  if (!r.ref) cx.reject("reference", `${place} (r${register}) holds no reference that could be given up`, { register });
  facts.released = register;
  facts.ref = r.ref;
}

export function mismatch(cx: Context, register: number, r: Reg, place: string, wanted: string): never {
  // A lookup in a map of maps: a map, once it is known not to be NULL.
  if (wanted === "a map" && r.kind === Kind.MAP_VALUE && r.flags & MAYBE_NULL && (r.obj as MapRef).inner) {
    mayBeNull(cx, register, r, place);
  }
  const got = isNull(r) ? "NULL" : r.kind === Kind.SCALAR ? "a number" : `a ${kindName(r)}`;
  cx.reject("argument", `${place} (r${register}) is ${got}, expected ${wanted}`, {
    register,
    ...(wanted.startsWith("a constant string") && {
      fix: "declare it outside of the function: static const char format[] = …",
    }),
  });
}

export function mayBeNull(cx: Context, register: number, r: Reg, place: string): never {
  cx.reject("null", `${place} (r${register}, ${kindName(r)}) may be NULL`, {
    register,
    fix: `compare r${register} with 0 before the call`,
  });
}

function needMap(cx: Context, facts: CallFacts, place: string, register: number): MapRef {
  return facts.map ?? cx.reject("argument", `${place} needs a map in an argument before it`, { register });
}

export function unmoved(cx: Context, register: number, r: Reg, place: string): void {
  if (r.off === 0 && r.val.isConst && r.val.tnum.value === 0n) return;
  cx.reject(
    "ctx-pointer",
    `${place} (r${register}, ${kindName(r)}) was moved by an offset: it must be passed as it came`,
    {
      register,
    },
  );
}

function release(cx: Context, arg: HelperArg, register: number, r: Reg, place: string, facts: CallFacts): void {
  if (!arg.releases) {
    if (r.ref) facts.ref = r.ref;
    return;
  }
  if (!r.ref) {
    cx.reject("reference", `${place} (r${register}) holds no reference that could be released`, { register });
  }
  facts.released = register;
  facts.ref = r.ref;
}

/** The kinds that count as memory. */
export function isMemory(r: Reg): boolean {
  switch (r.kind) {
    case Kind.STACK:
    case Kind.PACKET:
    case Kind.PACKET_META:
    case Kind.MAP_KEY:
    case Kind.MAP_VALUE:
    case Kind.MEM:
      return true;
    default:
      return false;
  }
}

function requireMemory(cx: Context, register: number, r: Reg, place: string, arg: HelperArg): void {
  // NULL with no bytes is decided when the size is known.
  if (isNull(r) && arg.orNull) return;
  if (r.flags & MAYBE_NULL) mayBeNull(cx, register, r, place);
  // A trusted kernel struct may be read as memory.
  if (r.kind === Kind.BTF_ID && r.flags === TRUSTED && arg.access === "read") return;
  if (!isMemory(r)) mismatch(cx, register, r, place, "a pointer to memory");
  if (arg.access !== "read" && (r.flags & RDONLY || r.kind === Kind.MAP_KEY)) {
    cx.reject("read-only", `${place} (r${register}, ${kindName(r)}) would be written and is read-only`, { register });
  }
}

function aligned(cx: Context, register: number, r: Reg, size: number, place: string): void {
  if (r.kind !== Kind.STACK || !r.val.isConst) return;
  if (((r.off + Number(r.val.smin)) & (size - 1)) !== 0) {
    cx.reject("alignment", `${place} (r${register}) is not ${size}-byte aligned`, { register });
  }
}

/** How a size is brought between its least value and the bytes that the memory has. */
function limits(mem: Reg, zeroOk: boolean): string {
  if (isPacket(mem))
    return "of the packet only bytes that a comparison with data_end covers can be passed, so pass a fixed size";
  const room = roomOf(mem);
  const least = zeroOk ? "" : "it is 0 or ";
  if (room === undefined || room <= 0) return `leave where ${least}it is more than the buffer has`;
  const mask = 2 ** Math.floor(Math.log2(room)) - 1;
  return `leave where ${least}it is more than ${room}${zeroOk && mask > 0 ? `, or mask it with & ${mask}` : ""}`;
}

/** Bytes behind a pointer of known distance. */
function roomOf(mem: Reg): number | undefined {
  if (!mem.val.isConst) return undefined;
  const at = mem.off + Number(mem.val.smin);
  if (mem.kind === Kind.STACK) return -at;
  if (mem.kind === Kind.MAP_VALUE) return (mem.obj as MapRef).spec.valueSize - at;
  return mem.kind === Kind.MEM ? mem.num - at : undefined;
}

/** A size argument: the memory before it must have as many bytes as it can be. */
function sized(
  cx: Context,
  helper: Helper,
  n: number,
  register: number,
  r: Reg,
  place: string,
  facts: CallFacts,
): void {
  const arg = helper.args[n]!;
  const memArg = helper.args[n - 1]!;
  const memRegister = register - 1;
  const mem = cx.reg(memRegister);
  if (isPointer(r)) mismatch(cx, register, r, place, "a number of bytes");
  const zeroOk = arg.kind === "size0";
  const memPlace = `argument ${memRegister} of bpf_${helper.name}`;
  if (r.val.smin < 0n) {
    cx.reject("size-range", `${place} (r${register}), a size, may be negative`, {
      register,
      fix: `limit r${register} first: ${limits(mem, zeroOk)}`,
    });
  }
  if (r.val.umin === 0n && !zeroOk) {
    cx.reject("size-range", `${place} (r${register}), a size, may be 0`, {
      register,
      fix: `check that r${register} is at least 1 before the call`,
    });
  }
  if (r.val.umax >= 1n << 29n) {
    cx.reject("size-range", `${place} (r${register}), a size, has no upper bound`, {
      register,
      fix: `limit r${register} first: ${limits(mem, zeroOk)}`,
    });
  }
  const size = Number(r.val.umax);
  const uninit = memArg.access === "uninit" && !r.val.isConst ? { ...memArg, access: "write" as const } : memArg;
  memory(cx, helper, uninit, memRegister, mem, size, zeroOk, memPlace, facts);
  cx.markPrecise(r.node);
}

/** `size` bytes at the register must be memory that the helper may use as its argument says. */
function memory(
  cx: Context,
  helper: Helper,
  arg: HelperArg,
  register: number,
  r: Reg,
  size: number,
  zeroOk: boolean,
  place: string,
  facts: CallFacts,
): void {
  if (isNull(r) && arg.orNull) {
    if (zeroOk && size === 0) return;
    cx.reject("null", `${place} (r${register}) is NULL, expected ${size} bytes of memory`, { register });
  }
  requireMemory(cx, register, r, place, arg);
  const writes = arg.access !== "read";
  if (isPacket(r) && (!helper.packetAccess || packetProblem(cx, writes))) {
    cx.reject(
      "packet-argument",
      `${place} (r${register}) points into the packet, which bpf_${helper.name} does not take`,
      {
        register,
        fix: "copy the bytes to the stack first",
      },
    );
  }
  if (r.kind === Kind.BTF_ID) {
    loadTyped(cx, register, r, 0, size, false);
    return;
  }
  if (r.kind !== Kind.STACK) {
    checkRegion(cx, { base: r, register, off: 0, size, write: writes, zeroOk });
    return;
  }
  if (size === 0 && !zeroOk) cx.reject("size-range", `${place}: no bytes at all`, { register });
  const [min, max] = stackRange(cx, r, 0, size, register);
  const frame = frameOf(cx, r);
  if (arg.access === "uninit") {
    facts.stackWrites.push({ register, size });
    return;
  }
  requireReadable(cx, frame, min, max - min + size, register, writes || !allows(cx.profile, "readsKeepSpills"));
}

/** Forgets what the helper has overwritten on the stack. */
export function applyStackWrites(cx: Context, facts: CallFacts, args: readonly Reg[]): void {
  for (const { register, size } of facts.stackWrites) {
    const r = args[register]!;
    const [min, max] = stackRange(cx, r, 0, size, register);
    writeVariable(cx, frameOf(cx, r), min, max, size, undefined);
  }
}

function dynptr(cx: Context, arg: HelperArg, register: number, r: Reg, place: string, facts: CallFacts): void {
  if (arg.access === "uninit") {
    checkFree(cx, r, register, place);
    facts.made = { register, kind: arg.of };
    return;
  }
  facts.dynptr = dynptrAt(cx, r, register, arg.of, place);
  if (arg.releases) {
    facts.released = register;
    facts.ref = facts.dynptr.ref;
  }
}

/** A lock or a timer: a map value's field of that kind, at its exact offset. */
function specialField(cx: Context, kind: "lock" | "timer", register: number, r: Reg, place: string): void {
  if (r.flags & MAYBE_NULL) mayBeNull(cx, register, r, place);
  const own = kind === "lock" && r.kind === Kind.BTF_ID && (r.flags & ~NON_OWNING) === ALLOC;
  if (r.kind !== Kind.MAP_VALUE && !own) mismatch(cx, register, r, place, `a ${kind} in a map's value`);
  const fields = own ? cx.fieldsOf(r.obj as TypeRef) : (r.obj as MapRef).fields;
  const { name } = r.obj as MapRef | TypeRef;
  const field = fields.find((f) => f.kind === kind);
  if (!field) {
    cx.reject(
      "special-field",
      `${place} (r${register}): ${own ? "struct" : "the value of map"} ${name} has no ${kind}`,
      {
        register,
        fix: `declare a struct ${kind === "lock" ? "bpf_spin_lock" : "bpf_timer"} in the map's value type, with BTF`,
      },
    );
  }
  if (!r.val.isConst || r.off + Number(r.val.smin) !== field.offset) {
    cx.reject(
      "special-field",
      `${place} (r${register}) does not point to the ${kind}, which is at offset ${field.offset}`,
      { register },
    );
  }
}

export function constantString(cx: Context, register: number, r: Reg, place: string): void {
  if (r.kind !== Kind.MAP_VALUE) mismatch(cx, register, r, place, "a constant string in a read-only map");
  const map = r.obj as MapRef;
  const frozen = map.spec.frozen && (map.spec.flags & 0x80) !== 0;
  if (!frozen || !r.val.isConst) {
    cx.reject("constant-string", `${place} (r${register}) must be a constant string: map ${map.name} can change`, {
      register,
    });
  }
  const value = map.spec.contents?.[0]?.value;
  const at = r.off + Number(r.val.smin);
  const bytes = value instanceof Uint8Array ? value : new Uint8Array(map.spec.valueSize);
  if (at < 0 || at >= bytes.length || !bytes.subarray(at).includes(0)) {
    cx.reject("constant-string", `${place} (r${register}) is a string without its terminating NUL`, { register });
  }
}
