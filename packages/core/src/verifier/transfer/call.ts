/**
 * Calls: helpers by the one table, functions of the program by walking into them. A helper call forgets r1 to r5, what
 * the helper may write, and every packet pointer when packet data may move; r0 gets what the table says.
 *
 * Source: kernel/bpf/verifier.c `check_helper_call`, `check_func_call`, `prepare_func_exit`.
 */
import { resolve, sizeOf } from "../../btf/index.ts";
import { BPF_PSEUDO_CALL, type Insn, MAX_CALL_FRAMES } from "../../isa/index.ts";
import {
  AttachType,
  type Helper,
  helperAllowed,
  helperById,
  helperByName,
  MapType,
  ProgType,
  progTypeName,
} from "../../object/index.ts";
import { calledPc } from "../cfg/cfg.ts";
import { applyStackWrites, type CallFacts, checkArgument, noFacts } from "../check/arguments.ts";
import { checkNothingHeld } from "../check/exit.ts";
import { checkMapHelper } from "../check/maps.ts";
import type { Context, MapRef } from "../context.ts";
import { heldIn } from "../domain/layer.ts";
import {
  ALLOC,
  isPointer,
  Kind,
  linkedScalar,
  MAYBE_NULL,
  NOT_INIT,
  node,
  PERCPU,
  pointer,
  RCU,
  RDONLY,
  type Reg,
  RINGBUF,
  scalarReg,
  TRUSTED,
  unknownReg,
} from "../domain/reg.ts";
import { rangeScalar, signedScalar, UNKNOWN } from "../domain/scalar.ts";
import { Byte, byteAt, Frame, isSpill, spillSize } from "../domain/state.ts";
import type { TypeRef } from "../domain/type-ref.ts";
import { allows, forgetsAtTailCall, helperSince, versionNumber, versionText, withdrawn } from "../profile.ts";
import { leaveCallback, pushCallback } from "./callback.ts";
import { dropDynptr, makeDynptr } from "./dynptr.ts";
import { callGlobal } from "./global.ts";
import { checkMaySleep, kfuncCall, MOVED_BY_WRITES } from "./kfunc.ts";
import { acquire, forgetNonOwning, releaseReference } from "./references.ts";
import { forgetPacket } from "./registers.ts";
import { byteIndex, frameOf, slotIndex } from "./stack.ts";

const TAIL_CALL = helperByName("bpf_tail_call");

/** Runs a call insn; returns the pc to go on at. */
export function call(cx: Context, insn: Insn, next: number): number | undefined {
  if (insn.src === BPF_PSEUDO_CALL) {
    const target = calledPc(insn);
    const callee = cx.signatures.get(target);
    if (!callee?.global || !allows(cx.profile, "globalFunctions")) return enter(cx, insn, target);
    callGlobal(cx, target, callee);
    return next;
  }
  if (insn.src !== 0) return kfuncCall(cx, insn, next);
  helperCall(cx, insn);
  return insn.imm === TAIL_CALL ? tailCalled(cx, next) : next;
}

/**
 * A tail call that fails goes on here with all there was. One that does not is the end of the program; in a function the
 * caller goes on then, with whatever the other program gives and with a packet that may have moved.
 */
function tailCalled(cx: Context, next: number): number | undefined {
  if (cx.state.frames.length === 1) return next;
  cx.push(next, cx.state.clone());
  forgetPacket(cx);
  cx.setReg(0, unknownReg());
  return exit(cx);
}

function enter(cx: Context, insn: Insn, target: number): number {
  const { state } = cx;
  if (state.frames.length >= MAX_CALL_FRAMES) {
    cx.reject("call-depth", `calls are nested more than ${MAX_CALL_FRAMES} deep`, {
      fix: "inline a function, or remove the recursion",
    });
  }
  const caller = state.frame;
  const callee = new Frame(insn.pc, target);
  for (let i = 1; i <= 5; i++) callee.regs[i] = caller.regs[i]!;
  callee.regs[10] = pointer(Kind.STACK, { num: state.frames.length });
  for (let i = 0; i <= 5; i++) caller.regs[i] = NOT_INIT;
  state.frames.push(callee);
  return target;
}

/** Runs an exit insn: the pc after the call, or undefined when the program itself ends. */
export function exit(cx: Context): number | undefined {
  const { state } = cx;
  const callee = state.frame;
  if (state.frames.length === 1) return undefined;
  if (callee.callback) return leaveCallback(cx, callee, callee.callback);
  const r0 = callee.regs[0]!;
  if (r0.kind === Kind.STACK) {
    cx.reject("frame-escape", "a pointer into the function's own stack is returned to its caller", {
      register: 0,
      fix: "let the caller pass a pointer to its own buffer",
    });
  }
  state.frames.pop();
  state.frame.regs[0] = r0;
  return callee.callsite + 1;
}

function helperCall(cx: Context, insn: Insn): void {
  const helper = helperById(insn.imm, cx.progType);
  if (!helper) cx.reject("helper", `there is no helper number ${insn.imm}`);
  const name = `bpf_${helper.name}`;
  const has = helperAllowed(helper, cx.progType, cx.attachType) && !withdrawn(cx.profile, helper, cx.progType);
  if (!has && !socketIterator(cx, helper)) {
    cx.reject("helper", `${progTypeName(cx.progType)} programs cannot call ${name}`);
  }
  if (cx.progType === ProgType.BPF_PROG_TYPE_STRUCT_OPS) checkStructOpsHelper(cx, helper);
  const since = helperSince(helper, cx.progType, cx.attachType);
  if (since > cx.profile.version) {
    const who = since > versionNumber(helper.since) ? ` in ${progTypeName(cx.progType)} programs` : "";
    cx.reject("helper", `${name} needs Linux ${versionText(since)}${who}, the profile is ${cx.profile.kernel}`);
  }
  if (helper.gplOnly && !cx.gpl) {
    cx.reject("licence", `${name} may only be called by programs under a GPL-compatible licence`, {
      fix: 'declare the licence "GPL", or do without this helper',
    });
  }
  if (helper.mightSleep) checkMaySleep(cx, name);
  if ((cx.state.lock || cx.state.resLocks.length) && helper.name !== "spin_unlock") {
    cx.reject("lock", `${name} cannot be called while the spin lock is held`, { fix: "unlock first" });
  }
  cx.helpersUsed.add(helper.id);
  const facts = noFacts();
  for (let n = 0; n < helper.args.length; n++) checkArgument(cx, helper, n, facts);
  if (facts.map) checkMapHelper(cx, facts.map, helper.name);
  specialRules(cx, helper, facts);
  if (facts.callback >= 0) pushCallback(cx, insn, helper, facts);
  finish(cx, insn, helper, facts);
}

/** What congestion controls have and other structs lack. Source: net/ipv4/bpf_tcp_ca.c `bpf_tcp_ca_get_func_proto`. */
const TCP_ONLY = new Set([
  "tcp_send_ack",
  "sk_storage_get",
  "sk_storage_delete",
  "setsockopt",
  "getsockopt",
  "ktime_get_coarse_ns",
]);

function checkStructOpsHelper(cx: Context, { name }: Helper): void {
  if (!TCP_ONLY.has(name) || !cx.traced) return;
  const [struct, member] = cx.traced.name.split(".");
  if (struct !== "tcp_congestion_ops") cx.reject("helper", `programs of ${struct} cannot call bpf_${name}`);
  // A socket that is leaving its congestion control is not to get new resources.
  if (member === "release" && (name === "setsockopt" || name === "getsockopt"))
    cx.reject("helper", `${cx.traced.name} cannot call bpf_${name}`);
}

/** Iterators over TCP and UNIX sockets have the socket options. Source: `bpf_iter_tcp_get_func_proto`. */
function socketIterator(cx: Context, helper: Helper): boolean {
  if (helper.name !== "setsockopt" && helper.name !== "getsockopt") return false;
  return cx.attachType === AttachType.BPF_TRACE_ITER && (cx.traced?.name === "tcp" || cx.traced?.name === "unix");
}

function specialRules(cx: Context, helper: Helper, facts: CallFacts): void {
  switch (helper.name) {
    case "tail_call":
      checkNothingHeld(cx, "a tail call leaves the program");
      break;
    case "get_local_storage": {
      const flags = cx.reg(2);
      if (!flags.val.isConst || flags.val.tnum.value !== 0n || isPointer(flags)) {
        cx.reject("argument", "argument 2 of bpf_get_local_storage must be 0", { register: 2 });
      }
      break;
    }
    case "spin_lock":
      lock(cx);
      break;
    case "spin_unlock":
      unlock(cx);
      break;
    case "dynptr_from_mem":
      if (cx.reg(1).kind !== Kind.MAP_VALUE) {
        cx.reject("argument", "argument 1 of bpf_dynptr_from_mem must be a map's value", { register: 1 });
      }
      break;
    case "timer_init":
      if (cx.reg(1).obj !== facts.map) {
        cx.reject("argument", "argument 2 of bpf_timer_init must be the map that holds the timer", { register: 2 });
      }
      break;
    default:
      break;
  }
}

/** Program types that run where a lock could be held already. */
const NO_LOCKS: ReadonlySet<number> = new Set([
  ProgType.BPF_PROG_TYPE_SOCKET_FILTER,
  ProgType.BPF_PROG_TYPE_KPROBE,
  ProgType.BPF_PROG_TYPE_TRACEPOINT,
  ProgType.BPF_PROG_TYPE_PERF_EVENT,
  ProgType.BPF_PROG_TYPE_RAW_TRACEPOINT,
]);

function lock(cx: Context): void {
  const r = cx.reg(1);
  if (NO_LOCKS.has(cx.progType)) cx.reject("lock", `${progTypeName(cx.progType)} programs cannot take spin locks`);
  if (cx.state.lock) cx.reject("lock", "a second spin lock is taken while one is held", { register: 1 });
  cx.state.lock = { obj: r.obj, id: r.id };
}

function unlock(cx: Context): void {
  const r = cx.reg(1);
  const held = cx.state.lock;
  if (!held) cx.reject("lock", "a spin lock is released that was not taken", { register: 1 });
  if (held.obj !== r.obj || held.id !== r.id) {
    cx.reject("lock", "another spin lock is released than the one that is held", {
      register: 1,
      fix: "unlock through the same looked-up value that was locked",
    });
  }
  if (cx.frame.callback?.name === "bpf_rbtree_add_impl") {
    cx.reject("lock", "the lock cannot be released while the tree is being changed", { register: 1 });
  }
  cx.state.lock = undefined;
  forgetNonOwning(cx);
}

/** Helpers whose result is a new reference. */
const ACQUIRES: ReadonlySet<string> = new Set(["sk_lookup_tcp", "sk_lookup_udp", "skc_lookup_tcp", "ringbuf_reserve"]);
/** Helpers whose result is the same object seen as another type. */
const CASTS: ReadonlySet<string> = new Set(["tcp_sock", "sk_fullsock"]);

function finish(cx: Context, insn: Insn, helper: Helper, facts: CallFacts): void {
  const { state } = cx;
  const args = state.frame.regs.slice(0, 6);
  applyStackWrites(cx, facts, args);
  if (facts.released) {
    if (facts.dynptr) dropDynptr(cx, args[facts.released]!, facts.released);
    releaseReference(cx, facts.ref);
  }
  if (facts.made) {
    const { register, kind } = facts.made;
    makeDynptr(cx, args[register]!, register, kind, kind === "ringbuf" ? acquire(cx, insn.pc) : 0);
  }
  const r0 = result(cx, insn, helper, facts, args);
  for (let i = 0; i <= 5; i++) cx.setReg(i, NOT_INIT);
  cx.setReg(0, r0);
  const writesPacket = helper.name === "dynptr_write" && facts.dynptr && MOVED_BY_WRITES.has(facts.dynptr.kind);
  const moves = helper.changesPacket && (helper.id !== TAIL_CALL || forgetsAtTailCall(cx.profile));
  if (moves || writesPacket) forgetPacket(cx);
}

function result(cx: Context, insn: Insn, helper: Helper, facts: CallFacts, args: readonly Reg[]): Reg {
  const { kind, orNull } = helper.result;
  const flags = orNull ? MAYBE_NULL : 0;
  if (kind === "void") return NOT_INIT;
  if (kind === "int") return intResult(cx, helper, args);
  const acquires = ACQUIRES.has(helper.name) || (helper.name === "map_lookup_elem" && isSocketMap(facts.map));
  const ref = acquires ? acquire(cx, insn.pc) : CASTS.has(helper.name) ? facts.ref : 0;
  const id = acquires ? ref : orNull ? cx.newId() : 0;
  switch (kind) {
    case "value": {
      const map = facts.map!;
      cx.mapsUsed.add(map.name);
      const sure = helper.name === "map_lookup_elem" && keyIsInArray(cx, facts, args);
      // A lock is told apart by its value's id, also where the value cannot be NULL.
      const locks = map.fields.some((field) => field.kind === "lock");
      return pointer(Kind.MAP_VALUE, { flags: sure ? 0 : flags, obj: map, id: sure && !locks ? 0 : id, ref });
    }
    case "socket":
      return pointer(Kind.SOCKET, { flags, id, ref });
    case "tcpSock":
      return pointer(Kind.TCP_SOCK, { flags, id, ref });
    case "sockCommon":
      return pointer(Kind.SOCK_COMMON, { flags, id, ref });
    case "ringbufMem":
      return pointer(Kind.MEM, { flags: flags | RINGBUF, id, ref, num: facts.allocSize });
    case "dynptrMem": {
      const { dynptr, allocSize } = facts;
      // A dynptr handed to a callback is gone when it ends; nothing tells its data apart from another's.
      return pointer(Kind.MEM, { flags, id, ref: dynptr!.ref, num: allocSize, obj: dynptr!.id });
    }
    case "btf": {
      if (helper.name === "kptr_xchg") return exchanged(cx, insn, facts);
      const trusted = helper.name === "get_current_task_btf" ? TRUSTED : 0;
      // The same socket seen as another type depends on the same reference.
      const from = helper.name.startsWith("skc_to_") ? facts.ref : 0;
      return pointer(Kind.BTF_ID, { flags: flags | trusted, id, ref: from, obj: cx.types.byName(helper.result.of) });
    }
    default:
      return perCpu(cx, facts.perCpu!, flags, id);
  }
}

/** What was in the kptr: a reference that the program now holds, or NULL. */
function exchanged(cx: Context, insn: Insn, { kptr }: CallFacts): Reg {
  const type = cx.kptrType(kptr!);
  const ref = acquire(cx, insn.pc);
  const flags = MAYBE_NULL | (type.own ? ALLOC : TRUSTED) | (kptr!.kptr!.mode === "percpu" ? PERCPU : 0);
  return pointer(Kind.BTF_ID, { flags, id: ref, ref, obj: type });
}

/** One CPU's part of a per-CPU variable or object. */
function perCpu(cx: Context, r: Reg, flags: number, id: number): Reg {
  const type = r.obj as TypeRef;
  if (type.own) return pointer(Kind.BTF_ID, { flags: flags | ALLOC | RCU, id, obj: type });
  if (!type.btf) {
    return cx.unsupported("kernel-btf", `the type of ${type.name} is in the kernel's BTF, and none was given`);
  }
  const kind = type.btf.type(resolve(type.btf, type.id)).kind;
  if (kind === "struct" || kind === "union") return pointer(Kind.BTF_ID, { flags, id, obj: type });
  return pointer(Kind.MEM, { flags: flags | RDONLY, id, num: sizeOf(type.btf, type.id) });
}

function isSocketMap(map: MapRef | undefined): boolean {
  const type = map?.spec.type;
  return type === MapType.BPF_MAP_TYPE_SOCKMAP || type === MapType.BPF_MAP_TYPE_SOCKHASH;
}

/** Largest result of helpers that return a length: the buffer's size, or -errno down to -4095. */
const LENGTH_OF: ReadonlyMap<string, number> = new Map([
  ["get_stack", 3],
  ["get_task_stack", 3],
  ["probe_read_str", 2],
  ["probe_read_kernel_str", 2],
  ["probe_read_user_str", 2],
]);

function intResult(cx: Context, helper: Helper, args: readonly Reg[]): Reg {
  const sizeArg = LENGTH_OF.get(helper.name);
  if (sizeArg !== undefined) {
    const size = args[sizeArg]!;
    return linkedScalar(signedScalar(-4095n, size.val.umax), 0, 0, node(size.node));
  }
  if (helper.name === "get_smp_processor_id") return scalarReg(rangeScalar(0n, BigInt(cx.cpus - 1)));
  return scalarReg(UNKNOWN);
}

/** A lookup in an array with a known index below its size always finds a value (Linux 6.15 and later). */
function keyIsInArray(cx: Context, facts: CallFacts, args: readonly Reg[]): boolean {
  const spec = facts.map!.spec;
  const array = spec.type === MapType.BPF_MAP_TYPE_ARRAY || spec.type === MapType.BPF_MAP_TYPE_PERCPU_ARRAY;
  const key = args[facts.keyRegister]!;
  if (!array || !allows(cx.profile, "sureLookups") || key.kind !== Kind.STACK || !key.val.isConst || spec.keySize !== 4)
    return false;
  const at = key.off + Number(key.val.smin);
  const frame = frameOf(cx, key);
  const slot = frame.stack[slotIndex(at)];
  if (!slot) return false;
  const first = byteIndex(at);
  let zeros = 0;
  for (let i = 0; i < 4; i++) if (byteAt(slot.bytes, first + i) === Byte.ZERO) zeros++;
  if (zeros === 4) return spec.maxEntries > 0;
  // The kernel looks only at spills that are exactly as wide as the key.
  if (first !== 0 || !isSpill(slot) || spillSize(slot.bytes) !== 4) return false;
  const held = heldIn(frame, slotIndex(at))!;
  if (held.kind !== Kind.SCALAR || !held.val.isConst32) return false;
  if (held.val.u32max >= spec.maxEntries) return false;
  cx.markPrecise(held.node);
  return true;
}
