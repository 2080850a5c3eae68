/**
 * Arguments of kernel functions: each register against the table's kind. Kernel structs must be known to be alive where
 * the function asks for it, memory is proven as for helpers (and may always be written), objects, lists and trees by
 * the program's own types.
 *
 * Source: kernel/bpf/verifier.c `check_kfunc_args`, `process_kf_arg_ptr_to_btf_id`, `check_reg_allocation_locked`,
 * `process_kf_arg_ptr_to_graph_node`.
 */
import { type Kfunc, type KfuncArg, kernelCtx } from "../../object/index.ts";
import type { Context, MapRef } from "../context.ts";
import {
  ALLOC,
  isNull,
  Kind,
  kindName,
  MAYBE_NULL,
  NON_OWNING,
  PERCPU,
  RCU,
  RDONLY,
  type Reg,
  TRUSTED,
} from "../domain/reg.ts";
import type { Special } from "../domain/state.ts";
import type { TypeRef } from "../domain/type-ref.ts";
import { checkFree, dynptrAt } from "../transfer/dynptr.ts";
import { iteratorAt } from "../transfer/iterator.ts";
import { isTrusted, loadTyped } from "../transfer/kernel.ts";
import { readReg } from "../transfer/registers.ts";
import { frameOf, requireReadable, stackRange } from "../transfer/stack.ts";
import { checkRegion } from "./access.ts";
import { constantOffset, constantString, isMemory, mayBeNull, mismatch, unmoved } from "./arguments.ts";
import { pointsTo } from "./kernel-types.ts";
import type { FieldKind, MapField } from "./map-fields.ts";

/** What the arguments said that the rest of the call needs. */
export interface KfuncFacts {
  /** The reference among the arguments, and the register that held it; 0 for none. */
  ref: number;
  released: number;
  /** The constant that sizes or types the result. */
  constant: number | undefined;
  dynptr: Special | undefined;
  /** A dynptr that the call makes. */
  madeDynptr: number;
  /** The iterator in argument 1. */
  iterator: Special | undefined;
  /** First pc of a function argument, -1 for none. */
  callback: number;
  map: MapRef | undefined;
  /** The object in argument 1: of which type, and whether the program owns it. */
  object: Reg | undefined;
  /** The list or tree in argument 1. */
  root: MapField | undefined;
}

export function noKfuncFacts(): KfuncFacts {
  return {
    ref: 0,
    released: 0,
    constant: undefined,
    dynptr: undefined,
    madeDynptr: 0,
    iterator: undefined,
    callback: -1,
    map: undefined,
    object: undefined,
    root: undefined,
  };
}

/** Checks argument `n` (0-based); returns how many registers it took. */
export function checkKfuncArgument(cx: Context, kfunc: Kfunc, n: number, facts: KfuncFacts): number {
  const arg = kfunc.args[n]!;
  const register = n + 1;
  const place = `argument ${register} of ${kfunc.name}`;
  if (arg.kind === "hidden" || arg.kind === "unchecked" || arg.kind === "arena") return 1;
  const r = readReg(cx, register);
  if (arg.kind === "scalar" || arg.kind === "constant" || arg.kind === "size" || arg.kind === "constantSize") {
    number(cx, arg, register, r, place, facts);
    return 1;
  }
  const strict = kfunc.trustedArgs || kfunc.releases || kfunc.rcuArgs;
  if (strict && !arg.orNull && (isNull(r) || r.flags & MAYBE_NULL)) mayBeNull(cx, register, r, place);
  if (r.ref) {
    facts.ref = r.ref;
    if (kfunc.releases) facts.released = register;
  }
  if (arg.orNull && isNull(r) && arg.kind !== "mem") {
    cx.markPrecise(r.node);
    return 1;
  }
  switch (arg.kind) {
    case "ctx":
      context(cx, kfunc, register, r, place);
      return 1;
    case "btf":
      kernelStruct(cx, kfunc, arg, register, r, place);
      return 1;
    case "mem":
      return memory(cx, kfunc, n, register, r, place);
    case "dynptr":
      if (arg.uninit) {
        checkFree(cx, r, register, place);
        facts.madeDynptr = register;
      } else facts.dynptr = dynptrAt(cx, r, register, "", place);
      return 1;
    case "iter":
      if (!arg.uninit) {
        facts.iterator = iteratorAt(cx, register, arg.of, place);
        if (facts.iterator.ref) facts.ref = facts.iterator.ref;
      }
      return 1;
    case "map":
      mapArgument(cx, register, r, place, facts);
      return 1;
    case "callback":
      if (r.kind !== Kind.FUNC) mismatch(cx, register, r, place, "a function of the program");
      facts.callback = r.num;
      return 1;
    case "str":
      constantString(cx, register, r, place);
      return 1;
    case "object":
      ownedObject(cx, kfunc, register, r, place);
      facts.object = r;
      return 1;
    case "refcounted":
      countedObject(cx, register, r, place);
      facts.object = r;
      return 1;
    case "listHead":
    case "rbRoot":
      facts.root = fieldOf(cx, arg.kind, register, r, place);
      underLock(cx, register, r, place);
      facts.object = r;
      return 1;
    case "listNode":
    case "rbNode":
      node(cx, kfunc, arg, register, r, place, facts);
      return 1;
    case "workqueue":
    case "taskWork":
    case "resLock":
      fieldOf(cx, arg.kind, register, r, place);
      if (arg.kind !== "resLock") facts.map = r.obj as MapRef;
      return 1;
    case "irqFlag":
      return 1;
  }
}

function number(cx: Context, arg: KfuncArg, register: number, r: Reg, place: string, facts: KfuncFacts): void {
  if (r.kind !== Kind.SCALAR) mismatch(cx, register, r, place, "a number");
  if (arg.kind !== "constant") return;
  if (!r.val.isConst) cx.reject("constant", `${place} must be a constant`, { register });
  cx.markPrecise(r.node);
  facts.constant = Number(r.val.umax);
}

/** Functions that take the kernel's own struct behind the ctx, from bpf_cast_to_kern_ctx. */
const TAKES_KERNEL_CTX: ReadonlySet<string> = new Set(["bpf_sock_addr_set_sun_path", "bpf_sock_ops_enable_tx_tstamp"]);

/** The program's ctx; a packet of the kernel's where the program has that instead, as netfilter and tracing programs. */
function context(cx: Context, kfunc: Kfunc, register: number, r: Reg, place: string): void {
  const behind = kernelCtx(cx.progType);
  if (TAKES_KERNEL_CTX.has(kfunc.name)) {
    if (r.kind !== Kind.BTF_ID || !isTrusted(r) || (r.obj as TypeRef).name !== behind) {
      mismatch(cx, register, r, place, `the kernel's ctx, from bpf_cast_to_kern_ctx`);
    }
    return;
  }
  if (behind !== "sk_buff" && behind !== "xdp_buff" && r.kind === Kind.BTF_ID) {
    const { name } = r.obj as TypeRef;
    if (!isTrusted(r) || (name !== "sk_buff" && name !== "xdp_buff"))
      mismatch(cx, register, r, place, "a trusted packet");
    return;
  }
  if (r.kind !== Kind.CTX) mismatch(cx, register, r, place, "the ctx");
  unmoved(cx, register, r, place);
}

/** Sockets and maps stand for the kernel's structs behind them. Source: `reg2btf_ids`. */
function structOf(cx: Context, r: Reg): TypeRef | undefined {
  switch (r.kind) {
    case Kind.BTF_ID:
      return r.obj as TypeRef;
    case Kind.SOCKET:
      return cx.types.byName("sock");
    case Kind.SOCK_COMMON:
      return cx.types.byName("sock_common");
    case Kind.TCP_SOCK:
      return cx.types.byName("tcp_sock");
    case Kind.MAP_PTR:
      return cx.types.byName("bpf_map");
    default:
      return undefined;
  }
}

function kernelStruct(cx: Context, kfunc: Kfunc, arg: KfuncArg, register: number, r: Reg, place: string): void {
  const wanted = `a pointer to the kernel's struct ${arg.of}`;
  const have = structOf(cx, r);
  if (!have) mismatch(cx, register, r, place, wanted);
  const alive = isTrusted(r) || r.kind === Kind.MAP_PTR;
  if (kfunc.trustedArgs || kfunc.releases || kfunc.rcuArgs) {
    const underRcu = kfunc.rcuArgs && (r.flags & RCU) !== 0;
    if (!alive && !underRcu) {
      cx.reject("untrusted", `${place} (r${register}, ${kindName(r)}) is not known to be alive`, {
        register,
        fix: kfunc.rcuArgs ? "acquire it, or hold bpf_rcu_read_lock where it is read" : "acquire it first",
      });
    }
  } else if (r.flags & ~(ALLOC | TRUSTED | NON_OWNING | RCU) || (r.flags & MAYBE_NULL) !== 0) {
    if (r.flags & MAYBE_NULL) mayBeNull(cx, register, r, place);
    cx.reject("untrusted", `${place} (r${register}, ${kindName(r)}) is not known to be alive`, { register });
  }
  if (kfunc.releases && r.ref) unmoved(cx, register, r, place);
  else constantOffset(cx, register, r, place);
  const need = cx.types.byName(arg.of);
  // `struct x` and `struct x___init` are kept apart although they are laid out alike.
  const alias = have.name === `${need.name}___init` || need.name === `${have.name}___init`;
  if (!pointsTo(have, r.off, need, (kfunc.releases && r.ref !== 0) || alias)) mismatch(cx, register, r, place, wanted);
}

/** Memory that the function may read and write: of a fixed size, or as many bytes as the next argument says. */
function memory(cx: Context, kfunc: Kfunc, n: number, register: number, r: Reg, place: string): number {
  const arg = kfunc.args[n]!;
  if (arg.size) {
    if (r.flags & MAYBE_NULL) mayBeNull(cx, register, r, place);
    bytes(cx, register, r, arg.size, place);
    return 1;
  }
  const size = readReg(cx, register + 1);
  const sizePlace = `argument ${register + 1} of ${kfunc.name}`;
  if (size.kind !== Kind.SCALAR) mismatch(cx, register + 1, size, sizePlace, "a number of bytes");
  if (!(isNull(r) && arg.orNull)) {
    if (size.val.smin < 0n || size.val.umax >= 1n << 29n) {
      cx.reject("size-range", `${sizePlace} (r${register + 1}), a size, is not bounded`, {
        register: register + 1,
        fix: `compare r${register + 1} with the buffer's size, or mask it`,
      });
    }
    if (!(isNull(r) && size.val.umax === 0n)) {
      if (r.flags & MAYBE_NULL) mayBeNull(cx, register, r, place);
      bytes(cx, register, r, Number(size.val.umax), place);
    }
    cx.markPrecise(size.node);
  }
  return 1;
}

function bytes(cx: Context, register: number, r: Reg, size: number, place: string): void {
  if (r.kind === Kind.STACK) {
    const [min, max] = stackRange(cx, r, 0, size, register);
    requireReadable(cx, frameOf(cx, r), min, max - min + size, register, true);
    return;
  }
  if (r.kind === Kind.BTF_ID && !isNull(r)) {
    loadTyped(cx, register, r, 0, size, false);
    if (r.flags & ALLOC) return;
    cx.reject("read-only", `${place} (r${register}, ${kindName(r)}) would be written and is read-only`, { register });
  }
  const isBytes = isMemory(r) || (r.kind === Kind.CTX && cx.ctxLayout?.struct === "syscall");
  if (!isBytes) mismatch(cx, register, r, place, "a pointer to memory");
  if (r.flags & RDONLY || r.kind === Kind.MAP_KEY) {
    cx.reject("read-only", `${place} (r${register}, ${kindName(r)}) would be written and is read-only`, { register });
  }
  const region = { base: r, register, off: 0, size, zeroOk: true };
  checkRegion(cx, { ...region, write: false });
  checkRegion(cx, { ...region, write: true });
}

function mapArgument(cx: Context, register: number, r: Reg, place: string, facts: KfuncFacts): void {
  // An iterator over maps has the kernel's struct of one.
  if (r.kind === Kind.BTF_ID && isTrusted(r) && (r.obj as TypeRef).name === "bpf_map") return;
  if (r.kind !== Kind.MAP_PTR) mismatch(cx, register, r, place, "a map");
  if (facts.map && facts.map !== r.obj) {
    cx.reject("argument", `${place} (r${register}) must be the map that holds the object`, { register });
  }
  facts.map = r.obj as MapRef;
}

function isAllocated(r: Reg): boolean {
  return r.kind === Kind.BTF_ID && (r.flags & ALLOC) !== 0 && (r.flags & (MAYBE_NULL | PERCPU)) === 0;
}

function ownedObject(cx: Context, kfunc: Kfunc, register: number, r: Reg, place: string): void {
  const wanted = ALLOC | (kfunc.name.startsWith("bpf_percpu") ? PERCPU : 0);
  if (r.kind !== Kind.BTF_ID || r.flags !== wanted || !(r.obj as TypeRef).own) {
    mismatch(cx, register, r, place, "an object that the program allocated");
  }
  if (!r.ref) cx.reject("reference", `${place} (r${register}) is not owned by the program`, { register });
  unmoved(cx, register, r, place);
}

function countedObject(cx: Context, register: number, r: Reg, place: string): void {
  if (!isAllocated(r)) mismatch(cx, register, r, place, "an object of the program");
  if (!cx.fieldsOf(r.obj as TypeRef).some((f) => f.kind === "refcount")) {
    cx.reject("special-field", `${place} (r${register}): struct ${(r.obj as TypeRef).name} has no bpf_refcount`, {
      register,
    });
  }
}

/** The special field of that kind at exactly where the register points. */
export function fieldOf(cx: Context, kind: FieldKind, register: number, r: Reg, place: string): MapField {
  if (r.flags & MAYBE_NULL) mayBeNull(cx, register, r, place);
  const own = isAllocated(r) && (r.obj as TypeRef).own;
  if (r.kind !== Kind.MAP_VALUE && !own) mismatch(cx, register, r, place, "a field of a map's value or an object");
  const fields = own ? cx.fieldsOf(r.obj as TypeRef) : (r.obj as MapRef).fields;
  const at = r.off + Number(r.val.smin);
  const field = r.val.isConst ? fields.find((f) => f.kind === kind && f.offset === at) : undefined;
  if (!field) {
    cx.reject("special-field", `${place} (r${register}) does not point to a field of the kind it needs`, { register });
  }
  return field;
}

/** A list or tree is used under the lock that lies in the same value or object. */
function underLock(cx: Context, register: number, r: Reg, place: string): void {
  const { lock, resLocks } = cx.state;
  const holds = (held: { readonly obj: unknown; readonly id: number }) => held.obj === r.obj && held.id === r.id;
  if (lock ? holds(lock) : resLocks.some(holds)) return;
  cx.reject("lock", `${place} (r${register}) is used without the lock that lies beside it`, {
    register,
    fix: "take the bpf_spin_lock of the same value or object first",
  });
}

function node(
  cx: Context,
  kfunc: Kfunc,
  arg: KfuncArg,
  register: number,
  r: Reg,
  place: string,
  facts: KfuncFacts,
): void {
  const borrows =
    kfunc.name === "bpf_rbtree_remove" || kfunc.name === "bpf_rbtree_left" || kfunc.name === "bpf_rbtree_right";
  if (borrows) {
    if ((r.flags & NON_OWNING) === 0 || r.ref) {
      mismatch(cx, register, r, place, "a node that the tree holds");
    }
    if (cx.frame.callback?.name === "bpf_rbtree_add_impl") {
      cx.reject("callback", `${kfunc.name} cannot be called while the tree is being changed`, { register });
    }
  } else {
    if (r.kind !== Kind.BTF_ID || r.flags !== ALLOC)
      mismatch(cx, register, r, place, "an object that the program allocated");
    if (!r.ref) cx.reject("reference", `${place} (r${register}) is not owned by the program`, { register });
  }
  const type = r.obj as TypeRef;
  const holds = facts.root?.holds;
  const known = cx.fieldsOf(type).some((f) => f.kind === arg.kind && f.offset === r.off);
  if (!holds || !known || !r.val.isConst || type !== cx.types.byId(holds.typeId, true) || r.off !== holds.offset) {
    cx.reject("argument", `${place} (r${register}, ${kindName(r)}+${r.off}) is no node of what argument 1 holds`, {
      register,
    });
  }
}
