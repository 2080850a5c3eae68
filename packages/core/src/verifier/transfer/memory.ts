/**
 * Loads, stores and atomics: finds what the address register points to, has `check/access.ts` prove the access inside
 * it, and gives the result. A load brings a spilled value from the stack, a pointer from a ctx field, else a number of
 * the width that was read. Sound because a region is left only through a proof, and what is loaded from memory that
 * others may write is unknown.
 *
 * Source: kernel/bpf/verifier.c `check_mem_access`, `check_atomic`, `check_ld_abs`.
 */
import {
  BPF_CMPXCHG,
  BPF_FETCH,
  BPF_IND,
  BPF_LOAD_ACQ,
  BPF_MEMSX,
  BPF_REG_FP,
  BPF_ST,
  BPF_STORE_REL,
  CLASS_MASK,
  type Insn,
  MODE_MASK,
} from "../../isa/index.ts";
import {
  type CtxLayout,
  type CtxValue,
  ctxAccess,
  hiddenField,
  ProgType,
  SOCK_COMMON_LAYOUT,
  SOCKET_LAYOUT,
  TCP_SOCK_LAYOUT,
  XDP_SOCK_LAYOUT,
} from "../../object/index.ts";
import { accessSize } from "../cfg/program.ts";
import { checkRegion, type Region } from "../check/access.ts";
import { constantInMap } from "../check/map-constant.ts";
import { type Traced, tracedAccess } from "../check/traced.ts";
import type { Context, MapRef } from "../context.ts";
import { signExtend, truncate } from "../domain/arith.ts";
import {
  BUFFER,
  isPointer,
  Kind,
  kindName,
  linkedScalar,
  MAYBE_NULL,
  NOT_INIT,
  node,
  pointer,
  RDONLY,
  type Reg,
  scalarReg,
  TRUSTED,
} from "../domain/reg.ts";
import { constScalar, fitsBytes, immScalar, loadedScalar, UNKNOWN, ZERO } from "../domain/scalar.ts";
import { allows, FIELD_SINCE, RULES, versionNumber } from "../profile.ts";
import { loadMap, loadTyped, storeTyped } from "./kernel.ts";
import { kptrAt, loadKptr, storeKptr } from "./kptr.ts";
import { readReg } from "./registers.ts";
import { frameOf, readFixed, readVariable, stackRange, writeFixed, writeVariable } from "./stack.ts";

export function load(cx: Context, insn: Insn): void {
  const base = readReg(cx, insn.src);
  if (insn.dst === BPF_REG_FP) frameReadOnly(cx);
  const signed = (insn.opcode & MODE_MASK) === BPF_MEMSX;
  sameKind(cx, insn, base);
  cx.setReg(insn.dst, access(cx, insn.src, base, insn.off, accessSize(insn.opcode), signed));
}

function frameReadOnly(cx: Context): never {
  cx.reject("frame-pointer", "r10, the frame pointer, is read-only", { register: 10 });
}

export function store(cx: Context, insn: Insn): void {
  const immediate = (insn.opcode & CLASS_MASK) === BPF_ST;
  const value = immediate ? scalarReg(immScalar(insn.imm)) : readReg(cx, insn.src);
  const base = readReg(cx, insn.dst);
  sameKind(cx, insn, base);
  if (immediate && base.kind === Kind.CTX && !allows(cx.profile, "contextConstants")) {
    cx.reject(
      "profile",
      `a constant is stored to the ctx by one instruction, which needs Linux ${RULES.contextConstants.since}`,
      {
        register: insn.dst,
        fix: "put it into a register first",
      },
    );
  }
  write(cx, insn.dst, base, insn.off, accessSize(insn.opcode), value, immediate ? -1 : insn.src, false);
}

/** Kinds whose accesses the kernel rewrites: one insn cannot mean two of them on two paths. */
function isContextLike(r: Reg): boolean {
  switch (r.kind) {
    case Kind.CTX:
    case Kind.SOCKET:
    case Kind.SOCK_COMMON:
    case Kind.TCP_SOCK:
    case Kind.XDP_SOCK:
    case Kind.ARENA:
    case Kind.BTF_ID:
      return true;
    default:
      return false;
  }
}

function sameKind(cx: Context, insn: Insn, base: Reg): void {
  cx.regions[insn.pc]! |= 1 << base.kind;
  const before = cx.accessKind.get(insn.pc);
  if (before === undefined) {
    cx.accessKind.set(insn.pc, isContextLike(base) ? base.kind : -1);
    return;
  }
  const now = isContextLike(base) ? base.kind : -1;
  if (before !== now) {
    cx.reject("mixed-pointers", "the same instruction uses different kinds of pointer on different paths", {
      register: (insn.opcode & CLASS_MASK) === 1 ? insn.src : insn.dst,
    });
  }
}

function refuseWrite(cx: Context, register: number, base: Reg): never {
  cx.reject("read-only", `r${register} (${kindName(base)}) may only be read`, { register });
}

function nullable(cx: Context, register: number, base: Reg): void {
  if ((base.flags & MAYBE_NULL) === 0) return;
  cx.reject("null", `r${register} (${kindName(base)}) may be NULL`, {
    register,
    fix: `compare r${register} with 0 and leave when it is equal`,
  });
}

/** The value that a load of `size` bytes at `base + off` brings. */
export function access(
  cx: Context,
  register: number,
  base: Reg,
  off: number,
  size: number,
  signed: boolean,
  atomic = false,
): Reg {
  if (!isPointer(base)) notPointer(cx, register, base);
  nullable(cx, register, base);
  switch (base.kind) {
    case Kind.STACK:
      return narrowed(loadStack(cx, register, base, off, size), size, signed);
    case Kind.CTX:
      return loadCtx(cx, register, base, off, size, signed);
    case Kind.MAP_PTR:
      return loadMap(cx, register, base, off, size, signed);
    case Kind.PACKET_END:
    case Kind.FUNC:
    case Kind.DYNPTR:
      return cx.reject("pointer-use", `r${register} (${kindName(base)}) cannot be dereferenced`, { register });
    case Kind.SOCKET:
    case Kind.SOCK_COMMON:
    case Kind.TCP_SOCK:
    case Kind.XDP_SOCK:
      socketAccess(cx, register, base, off, size);
      return scalarReg(loadedScalar(size, signed));
    case Kind.BTF_ID:
      return loadTyped(cx, register, base, off, size, signed);
    case Kind.ARENA:
      // The machine guards it: an arena is its own address range, and every access falls into it.
      return scalarReg(loadedScalar(size, signed));
    default:
      break;
  }
  const kptr = base.kind === Kind.MAP_VALUE ? kptrAt(cx, register, base, off, size) : undefined;
  if (kptr) return signed || atomic ? wholeKptr(cx, register) : loadKptr(cx, kptr);
  const region: Region = { base, register, off, size, write: false, zeroOk: false };
  checkRegion(cx, region);
  if (base.kind === Kind.MAP_VALUE) {
    const known = constantInMap(base.obj as MapRef, base, off, size);
    if (known !== undefined) return narrowed(scalarReg(constScalar(known)), size, signed);
  }
  return scalarReg(loadedScalar(size, signed));
}

function wholeKptr(cx: Context, register: number): never {
  return cx.reject("special-field", "a kptr is read by a plain load only", { register });
}

function notPointer(cx: Context, register: number, base: Reg): never {
  const zero = base.val.isConst && base.val.tnum.value === 0n;
  cx.reject("not-pointer", `r${register} is ${zero ? "NULL on this path" : "a number"}, not a pointer`, { register });
}

/** A value loaded with `size` bytes: the low bytes, zero- or sign-extended. */
function narrowed(r: Reg, size: number, signed: boolean): Reg {
  if (r.kind !== Kind.SCALAR || size === 8) return r;
  const val = signed ? signExtend(r.val, size) : truncate(r.val, size);
  if (val === r.val) return r;
  // A number whose sign bit may be set is another one with its sign extended. 6.18 keeps the link: docs/kernel-differences.md.
  const keepsId = signed ? r.val.umax < 1n << BigInt(size * 8 - 1) : fitsBytes(r.val, size);
  return linkedScalar(val, keepsId ? r.id : 0, keepsId ? r.off : 0, node(r.node));
}

function loadStack(cx: Context, register: number, base: Reg, off: number, size: number): Reg {
  const [min, max] = stackRange(cx, base, off, size, register);
  checkAligned(cx, base, off, size, register);
  const frame = frameOf(cx, base);
  return min === max ? readFixed(cx, frame, min, size, register) : readVariable(cx, frame, min, max, size, register);
}

/** Stack accesses are aligned on every machine: a spilled register is whole or not there. */
function checkAligned(cx: Context, base: Reg, off: number, size: number, register: number): void {
  if (base.val === ZERO && ((base.off + off) & (size - 1)) === 0) return;
  const low = BigInt(base.off + off) & BigInt(size - 1);
  const loose = (base.val.tnum.mask | ((base.val.tnum.value + low) & BigInt(size - 1))) & BigInt(size - 1);
  if (loose !== 0n) {
    cx.reject(
      "alignment",
      `a ${size}-byte stack access at r${register}${off < 0 ? off : `+${off}`} is not ${size}-byte aligned`,
      {
        register,
      },
    );
  }
}

/** Offset of a ctx-like pointer that must be fixed. */
function fixedOffset(cx: Context, register: number, base: Reg, fixedOk: boolean): void {
  if (base.val.isConst && base.val.tnum.value === 0n && (fixedOk || base.off === 0)) return;
  cx.reject(
    "ctx-pointer",
    `r${register} (${kindName(base)}) was moved: it is used only with a constant offset in the instruction`,
    {
      register,
      fix: `access it as *(r${register} + offset) and keep r${register} itself unchanged`,
    },
  );
}

function loadCtx(cx: Context, register: number, base: Reg, off: number, size: number, signed: boolean): Reg {
  const variable = cx.progType === ProgType.BPF_PROG_TYPE_SYSCALL;
  if (variable) {
    checkArgumentsAligned(cx, base, register, off, size);
    checkRegion(cx, { base, register, off, size, write: false, zeroOk: false });
    return scalarReg(loadedScalar(size, signed));
  }
  fixedOffset(cx, register, base, false);
  cx.reachCtx(base.off + off + size);
  if (cx.traced) return loadTraced(cx, cx.traced, register, off, size, signed);
  const layout = cx.ctxLayout;
  if (!layout) return cx.unsupported("ctx", "the ctx of this program type is not described yet", { register });
  const field = ctxAccess(layout, off, size, false);
  if (!field || (signed && field.value !== "scalar")) {
    return cx.reject("ctx-access", `${ctxPlace(layout, off, size)} cannot be read by this program type`, {
      register,
    });
  }
  fieldKnown(cx, register, layout.struct, field.name);
  if (size < 4 && field.name === "user_port" && !allows(cx.profile, "narrowPort")) {
    cx.reject(
      "profile",
      `${ctxPlace(layout, off, size)} is read narrowly, which needs Linux ${RULES.narrowPort.since}`,
      {
        register,
      },
    );
  }
  return field.value === "scalar" ? scalarReg(loadedScalar(size, signed)) : ctxPointer(cx, field.value, field.of);
}

/** What a syscall program is called with is accessed aligned. Source: kernel/bpf/syscall.c `syscall_prog_is_valid_access`. */
function checkArgumentsAligned(cx: Context, base: Reg, register: number, off: number, size: number): void {
  const at = base.off + off;
  if (at % size === 0) return;
  cx.reject("ctx-access", `${size} bytes at offset ${at} of a syscall program's arguments are not aligned`, {
    register,
  });
}

/** An argument of the kernel function that the program is attached to. */
function loadTraced(cx: Context, traced: Traced, register: number, off: number, size: number, signed: boolean): Reg {
  const value = tracedAccess(traced, off, size);
  switch (value.kind) {
    case "none":
      return cx.reject("ctx-access", value.why, { register });
    case "scalar":
      return scalarReg(loadedScalar(size, signed));
    case "buffer":
      return pointer(Kind.MEM, { flags: value.flags | BUFFER, id: cx.newId(), num: 0 });
    default: {
      const { flags } = value;
      const obj = cx.types.byId(tcpSocket(cx, traced, value.id));
      return pointer(Kind.BTF_ID, { flags, obj, id: flags & MAYBE_NULL ? cx.newId() : 0 });
    }
  }
}

/** Congestion control gets its sockets as `struct sock`, and may take them for what they are. */
function tcpSocket(cx: Context, traced: Traced, id: number): number {
  const congestion = traced.name.startsWith("tcp_congestion_ops.");
  return congestion && cx.types.byId(id).name === "sock" ? cx.types.byName("tcp_sock").id : id;
}

/** Fields that this profile's kernel does not have yet. */
function fieldKnown(cx: Context, register: number, struct: string, name: string): void {
  const since = FIELD_SINCE[`${struct}.${name}`];
  if (since === undefined || versionNumber(since) <= cx.profile.version) return;
  cx.reject("ctx-access", `${struct}.${name} came with Linux ${since}, the profile is ${cx.profile.kernel}`, {
    register,
  });
}

/** `4 bytes at offset 0 of xdp_md (data)`: with the field's name where there is one. */
function ctxPlace(layout: CtxLayout, off: number, size: number): string {
  const field = layout.fields.find((f) => f.offset <= off && off < f.offset + f.size);
  const bytes = size === 1 ? "1 byte" : `${size} bytes`;
  const hidden = field ? undefined : hiddenField(layout, off);
  const name = !field
    ? hidden
      ? ` (${hidden}, which other programs of this struct have)`
      : ""
    : field.offset === off && field.size === size
      ? ` (${field.name})`
      : ` (in ${field.name}, ${field.size} bytes)`;
  return `${bytes} at offset ${off} of ${layout.struct}${name}`;
}

function ctxPointer(cx: Context, value: CtxValue, of: string): Reg {
  switch (value) {
    case "packet":
      return pointer(Kind.PACKET);
    case "packetMeta":
      return pointer(Kind.PACKET_META);
    case "packetEnd":
      return pointer(Kind.PACKET_END);
    case "flowKeys":
      return pointer(Kind.FLOW_KEYS);
    case "buffer":
      return pointer(Kind.MEM, { flags: BUFFER, num: 0 });
    case "socket":
      return pointer(Kind.SOCKET);
    case "socketOrNull":
      return pointer(Kind.SOCKET, { flags: MAYBE_NULL, id: cx.newId() });
    case "sockCommonOrNull":
      return pointer(Kind.SOCK_COMMON, { flags: MAYBE_NULL, id: cx.newId() });
    default:
      return pointer(Kind.BTF_ID, { flags: TRUSTED, obj: cx.types.byName(of) });
  }
}

function socketAccess(cx: Context, register: number, base: Reg, off: number, size: number): void {
  const layout =
    base.kind === Kind.SOCKET
      ? SOCKET_LAYOUT
      : base.kind === Kind.SOCK_COMMON
        ? SOCK_COMMON_LAYOUT
        : base.kind === Kind.TCP_SOCK
          ? TCP_SOCK_LAYOUT
          : XDP_SOCK_LAYOUT;
  if (!base.val.isConst || base.val.tnum.value !== 0n) fixedOffset(cx, register, base, true);
  const at = base.off + off;
  if (!ctxAccess(layout, at, size, false)) {
    if (layout === SOCK_COMMON_LAYOUT && ctxAccess(SOCKET_LAYOUT, at, size, false)) {
      const { name } = ctxAccess(SOCKET_LAYOUT, at, size, false)!;
      cx.reject(
        "ctx-access",
        `${name} is read of a socket that need not be a full one (a request or a time-wait socket)`,
        {
          register,
          fix: `call bpf_sk_fullsock(r${register}) first, and read it of what that gives, if that is not NULL`,
        },
      );
    }
    cx.reject("ctx-access", `${ctxPlace(layout, at, size)} cannot be read`, { register });
  }
}

/** A store of `value` (its register, or -1) at `base + off`. `unknown`: the memory gets an unknown value. */
export function write(
  cx: Context,
  register: number,
  base: Reg,
  off: number,
  size: number,
  value: Reg,
  fromReg: number,
  unknown: boolean,
): void {
  if (!isPointer(base)) notPointer(cx, register, base);
  nullable(cx, register, base);
  switch (base.kind) {
    case Kind.STACK: {
      const [min, max] = stackRange(cx, base, off, size, register);
      checkAligned(cx, base, off, size, register);
      const frame = frameOf(cx, base);
      const v = unknown ? scalarReg(UNKNOWN) : value;
      if (min === max && !unknown) writeFixed(cx, frame, min, size, v, fromReg);
      else writeVariable(cx, frame, min, max, size, unknown ? undefined : v);
      return;
    }
    case Kind.CTX: {
      if (cx.progType === ProgType.BPF_PROG_TYPE_SYSCALL) {
        checkArgumentsAligned(cx, base, register, off, size);
        break;
      }
      fixedOffset(cx, register, base, false);
      if (cx.traced) cx.reject("ctx-access", "the arguments of a traced function may only be read", { register });
      const layout = cx.ctxLayout;
      if (!layout) cx.unsupported("ctx", "the ctx of this program type is not described yet", { register });
      if (!ctxAccess(layout, off, size, true)) {
        cx.reject("ctx-access", `${ctxPlace(layout, off, size)} cannot be written by this program type`, {
          register,
        });
      }
      cx.reachCtx(base.off + off + size);
      return;
    }
    case Kind.SOCKET:
    case Kind.SOCK_COMMON:
    case Kind.TCP_SOCK:
    case Kind.XDP_SOCK:
      refuseWrite(cx, register, base);
      break;
    case Kind.PACKET_END:
    case Kind.MAP_PTR:
    case Kind.FUNC:
    case Kind.DYNPTR:
    case Kind.MAP_KEY:
      cx.reject("pointer-use", `nothing can be written through r${register} (${kindName(base)})`, { register });
      break;
    case Kind.BTF_ID:
      storeTyped(cx, register, base, off, size);
      return;
    case Kind.ARENA:
      return;
    default:
      break;
  }
  const kptr = base.kind === Kind.MAP_VALUE ? kptrAt(cx, register, base, off, size) : undefined;
  if (kptr) {
    if (unknown) wholeKptr(cx, register);
    storeKptr(cx, kptr, register, value);
    return;
  }
  if (base.flags & RDONLY) refuseWrite(cx, register, base);
  checkRegion(cx, { base, register, off, size, write: true, zeroOk: false });
}

export function atomic(cx: Context, insn: Insn): void {
  const size = accessSize(insn.opcode);
  const { imm, src, dst, off } = insn;
  if (imm === BPF_LOAD_ACQ) {
    const base = readReg(cx, src);
    if (dst === BPF_REG_FP) frameReadOnly(cx);
    cx.regions[insn.pc]! |= 1 << base.kind;
    refuseAtomicOn(cx, src, base);
    strictlyAligned(cx, base, off, size, src);
    cx.setReg(dst, access(cx, src, base, off, size, false, true));
    return;
  }
  const value = readReg(cx, src);
  const base = readReg(cx, dst);
  cx.regions[insn.pc]! |= 1 << base.kind;
  refuseAtomicOn(cx, dst, base);
  strictlyAligned(cx, base, off, size, dst);
  if (imm === BPF_STORE_REL) {
    write(cx, dst, base, off, size, value, src, false);
    return;
  }
  if (imm === BPF_CMPXCHG) readReg(cx, 0);
  const fetches = (imm & BPF_FETCH) !== 0;
  if (fetches && imm !== BPF_CMPXCHG && src === BPF_REG_FP) frameReadOnly(cx);
  const old = access(cx, dst, base, off, size, false, true);
  // The memory may hold the old or a new value: a stack slot keeps neither.
  write(cx, dst, base, off, size, value, src, true);
  if (fetches) cx.setReg(imm === BPF_CMPXCHG ? 0 : src, old);
}

function refuseAtomicOn(cx: Context, register: number, base: Reg): void {
  switch (base.kind) {
    case Kind.CTX:
    case Kind.PACKET:
    case Kind.PACKET_META:
    case Kind.FLOW_KEYS:
    case Kind.SOCKET:
    case Kind.SOCK_COMMON:
    case Kind.TCP_SOCK:
    case Kind.XDP_SOCK:
      cx.reject("atomic", `atomic operations on r${register} (${kindName(base)}) are not allowed`, { register });
  }
}

/** Atomics need natural alignment on every region. */
function strictlyAligned(cx: Context, base: Reg, off: number, size: number, register: number): void {
  if (isPointer(base)) checkAligned(cx, base, off, size, register);
}

/** Legacy packet loads: r6 is the ctx, r0 the result in host order; outside the packet the program ends with 0. */
export function loadPacket(cx: Context, insn: Insn): void {
  const T = ProgType;
  const allowed = [T.BPF_PROG_TYPE_SOCKET_FILTER, T.BPF_PROG_TYPE_SCHED_CLS, T.BPF_PROG_TYPE_SCHED_ACT] as number[];
  if (!allowed.includes(cx.progType)) {
    cx.reject("legacy-load", "this program type has no legacy packet loads (ld_abs, ld_ind)");
  }
  if (cx.state.refs.length) {
    cx.reject("reference", "a legacy packet load may end the program while a reference is held", {
      fix: "release the reference first",
    });
  }
  if (cx.state.lock) cx.reject("lock", "a legacy packet load may end the program while a lock is held");
  if (cx.program.subprogs.length > 1 && !allows(cx.profile, "legacyLoadsWithFunctions")) {
    cx.reject(
      "profile",
      `a program with functions of its own has no legacy packet loads before Linux ${RULES.legacyLoadsWithFunctions.since}`,
    );
  }
  const ctx = readReg(cx, 6);
  if (ctx.kind !== Kind.CTX) {
    cx.reject("legacy-load", "a legacy packet load needs the ctx in r6", {
      register: 6,
      fix: "r6 = r1 at the program's start",
    });
  }
  fixedOffset(cx, 6, ctx, false);
  if ((insn.opcode & MODE_MASK) === BPF_IND) readReg(cx, insn.src);
  for (let i = 0; i <= 5; i++) cx.setReg(i, NOT_INIT);
  cx.setReg(0, scalarReg(UNKNOWN));
}
