/**
 * Calls of kernel functions, by the one table: who may call them and where, what the arguments must be, what r0 is
 * afterwards, and what the call does to locks, references, dynptrs and iterators. Like a helper call it forgets r1 to
 * r5. Sound for the same reason: the function gets only what was proven, and what it hands out is no more than it says.
 *
 * Source: kernel/bpf/verifier.c `check_kfunc_call`, `check_special_kfunc`, `process_spin_lock`, `process_irq_flag`.
 */
import type { Btf } from "../../btf/index.ts";
import type { Insn } from "../../isa/index.ts";
import { AttachType, type Kfunc, kernelCtx, kfuncAllowed, ProgType, progTypeName } from "../../object/index.ts";
import { packetProblem } from "../check/access.ts";
import { checkNothingHeld, checkThrown } from "../check/exit.ts";
import { checkKfuncArgument, fieldOf, type KfuncFacts, noKfuncFacts } from "../check/kfunc-arguments.ts";
import type { Context } from "../context.ts";
import {
  ALLOC,
  Kind,
  MAYBE_NULL,
  NON_OWNING,
  NOT_INIT,
  PACKET_SLICE,
  PERCPU,
  pointer,
  RCU,
  RDONLY,
  type Reg,
  scalarReg,
  TRUSTED,
  UNTRUSTED,
} from "../domain/reg.ts";
import { constScalar, signedScalar, UNKNOWN } from "../domain/scalar.ts";
import { Byte, byteAt, fill, markRead, overwrite } from "../domain/state.ts";
import { allows, versionNumber } from "../profile.ts";
import { walkCallback, walkLater } from "./callback.ts";
import { makeDynptr } from "./dynptr.ts";
import { dropIterator, makeIterator, splitNext } from "./iterator.ts";
import { leaveRcu, maySleep } from "./kernel.ts";
import { acquire, forgetNonOwning, giveAway, nonOwning, releaseReference } from "./references.ts";
import { forgetPacket } from "./registers.ts";
import { frameOf, slotIndex, stackRange } from "./stack.ts";

/** Dynptrs over packets: what is read through them moves with the packet. */
const PACKET_DYNPTRS: ReadonlySet<string> = new Set(["skb", "skbMeta", "xdp"]);
/** Of these a write may move the packet. */
export const MOVED_BY_WRITES: ReadonlySet<string> = new Set(["skb", "skbMeta"]);

/** Functions that may be called while a spin lock is held. */
function goodUnderLock(kfunc: Kfunc): boolean {
  return /^bpf_(list_|rbtree_|refcount_acquire|iter_num_|res_spin_)/.test(kfunc.name);
}

/** What the code that runs now may not do because it must not sleep; refuses it. */
export function checkMaySleep(cx: Context, name: string): void {
  const { state } = cx;
  if (!maySleep(cx)) {
    cx.reject("sleep", `${name} may sleep, and this program may not`, {
      fix: "do it in a program that may sleep (syscall, LSM or tracing with BPF_F_SLEEPABLE), or in userspace",
    });
  }
  if (state.rcuDepth) {
    cx.reject("sleep", `${name} may sleep, and the RCU read lock is held`, {
      fix: "call it before bpf_rcu_read_lock, or after bpf_rcu_read_unlock",
    });
  }
  if (state.preemptDepth) cx.reject("sleep", `${name} may sleep, and preemption is disabled`);
  if (state.irqs.length) cx.reject("sleep", `${name} may sleep, and interrupts are disabled`);
}

/** Runs a call of a kernel function; returns the pc to go on at, undefined when the path ends. */
export function kfuncCall(cx: Context, insn: Insn, next: number): number | undefined {
  const kfunc = known(cx, insn);
  checkCallable(cx, kfunc);
  const facts = noKfuncFacts();
  for (let n = 0; n < kfunc.args.length; n++) checkKfuncArgument(cx, kfunc, n, facts);
  if (kfunc.releases && !facts.released) {
    cx.reject("reference", `${kfunc.name} gives up a reference, and its argument holds none`, { register: 1 });
  }
  if (kfunc.name === "bpf_throw") {
    if (cx.state.frames.some((frame) => frame.callback)) {
      cx.reject("exception", "an exception cannot be thrown from a function that is called back");
    }
    checkNothingHeld(cx, "the exception leaves the program");
    checkThrown(cx);
    return undefined;
  }
  sections(cx, kfunc);
  callbacks(cx, insn, kfunc, facts);
  const args = cx.frame.regs.slice(0, 6);
  effects(cx, insn, kfunc, facts, args);
  const r0 = result(cx, insn, kfunc, facts);
  for (let i = 0; i <= 5; i++) cx.setReg(i, NOT_INIT);
  cx.setReg(0, r0);
  if (kfunc.changesPacket) forgetPacket(cx);
  if (kfunc.iter === "next") splitNext(cx, args[1]!, kfunc.args[0]!.of, r0, next);
  return next;
}

function known(cx: Context, insn: Insn): Kfunc {
  const kfunc = cx.kfuncAt.get(insn.pc);
  if (kfunc) return kfunc;
  const reloc = cx.relocAt.get(insn.pc);
  if (reloc?.kind !== "kfunc")
    return cx.reject("kfunc", "the instruction calls a kernel function, but no relocation says which");
  const { name } = reloc;
  const { kernel } = cx.types;
  if (kernel && kernel.find(reloc.name, "func") === undefined) {
    return cx.reject("kfunc", `this kernel has no function ${name}`);
  }
  if (kernel && !mayBeCalled(kernel, name))
    return cx.reject("kfunc", `the kernel's ${name} is not for programs to call`);
  return cx.unsupported("kfunc", `the kernel function ${name} is not in the table`);
}

const callable = new WeakMap<Btf, ReadonlySet<number>>();

/** The kernel's BTF marks what programs may call (since 6.10); without any mark nothing is known. */
function mayBeCalled(kernel: Btf, name: string): boolean {
  let marked = callable.get(kernel);
  if (!marked) {
    const ids = kernel.findAll("bpf_kfunc").map((id) => kernel.type(id));
    marked = new Set(ids.flatMap((type) => (type.kind === "declTag" ? [type.type] : [])));
    callable.set(kernel, marked);
  }
  return marked.size === 0 || kernel.findAll(name).some((id) => marked.has(id));
}

function checkCallable(cx: Context, kfunc: Kfunc): void {
  const { name } = kfunc;
  if (!cx.gpl) {
    cx.reject("licence", `${name} may only be called by programs under a GPL-compatible licence`, {
      fix: 'declare the licence "GPL"',
    });
  }
  if (versionNumber(kfunc.since) > cx.profile.version) {
    cx.reject("kfunc", `${name} needs Linux ${kfunc.since}, the profile is ${cx.profile.kernel}`);
  }
  if (!kfuncAllowed(kfunc, cx.progType)) {
    cx.reject("kfunc", `${progTypeName(cx.progType)} programs cannot call ${name}`);
  }
  const { state } = cx;
  if ((state.lock || state.resLocks.length) && !goodUnderLock(kfunc)) {
    cx.reject("lock", `${name} cannot be called while a spin lock is held`, { fix: "unlock first" });
  }
  if (kfunc.mightSleep) checkMaySleep(cx, name);
  const iterates = cx.attachType === AttachType.BPF_TRACE_ITER && cx.progType === ProgType.BPF_PROG_TYPE_TRACING;
  if (name === "bpf_sock_destroy" && !iterates) cx.reject("kfunc", `${name} is for iterators over sockets`);
  if (name.startsWith("bpf_xdp_metadata_") && !cx.deviceBound) {
    cx.reject("kfunc", `${name} is for programs that are bound to a device at load`, {
      fix: "load the program for its device (BPF_F_XDP_DEV_BOUND_ONLY with the ifindex); verify --dev-bound judges it so",
    });
  }
  if (name === "bpf_iter_css_task_new" && cx.progType !== ProgType.BPF_PROG_TYPE_LSM && !cx.sleepable && !iterates) {
    cx.reject("kfunc", `${name} is for LSM programs, iterators and programs that may sleep`);
  }
  if (kfunc.rcuProtected && maySleep(cx) && !state.rcuDepth && kfunc.iter === undefined) {
    cx.reject("rcu", `${name} needs the RCU read lock`, { fix: "call bpf_rcu_read_lock before" });
  }
}

/** Sections that begin and end: RCU, preemption, interrupts, locks that may nest. */
function sections(cx: Context, kfunc: Kfunc): void {
  const { state } = cx;
  switch (kfunc.name) {
    case "bpf_rcu_read_lock":
      // Up to 6.18 it does not nest. Source: kernel/bpf/verifier.c check_kfunc_call.
      if (state.rcuDepth) {
        cx.reject("rcu", "the RCU read lock is taken while it is held", { fix: "take it once, around everything" });
      }
      state.rcuDepth++;
      return;
    case "bpf_rcu_read_unlock":
      if (!state.rcuDepth) cx.reject("rcu", "the RCU read lock is released and was not taken");
      if (--state.rcuDepth === 0) {
        leaveRcu(cx);
        forgetRcuIterators(cx);
      }
      return;
    case "bpf_preempt_disable":
      state.preemptDepth++;
      return;
    case "bpf_preempt_enable":
      if (!state.preemptDepth) cx.reject("preempt", "preemption is enabled and was not disabled");
      state.preemptDepth--;
      return;
    case "bpf_local_irq_save":
      saveIrq(cx, 1, false, kfunc.name);
      return;
    case "bpf_local_irq_restore":
      restoreIrq(cx, 1, false, kfunc.name);
      return;
    default:
      return;
  }
}

/** Iterators that began under the read lock end with it. */
function forgetRcuIterators(cx: Context): void {
  for (const frame of cx.state.frames) {
    frame.stack.forEach((slot, i) => {
      const special = slot?.special;
      if (!slot || !special || (special.flags & RCU) === 0) return;
      frame.setSlot(i, { ...slot, special: { ...special, flags: (special.flags & ~RCU) | UNTRUSTED } });
    });
  }
}

function irqSlot(cx: Context, register: number, name: string) {
  const r = cx.reg(register);
  if (r.kind !== Kind.STACK) {
    cx.reject("argument", `argument ${register} of ${name} (r${register}) must point to 8 bytes of the stack`, {
      register,
    });
  }
  const [min, max] = stackRange(cx, r, 0, 8, register);
  if (min !== max || min & 7) {
    cx.reject("irq", `argument ${register} of ${name} (r${register}) must be at a constant, 8-byte aligned offset`, {
      register,
    });
  }
  return { frame: frameOf(cx, r), index: slotIndex(min) };
}

function saveIrq(cx: Context, register: number, lock: boolean, name: string): void {
  const { frame, index } = irqSlot(cx, register, name);
  const b = byteAt(frame.stack[index]?.bytes ?? 0, 0);
  if (b === Byte.IRQ || b === Byte.ITER || b === Byte.DYNPTR) {
    cx.reject("irq", `argument ${register} of ${name} (r${register}) is in use: it must be uninitialised`, {
      register,
    });
  }
  const id = cx.newId();
  const special = { kind: lock ? "irq of a lock" : "irq", first: true, id, ref: 0, active: true, depth: 0, flags: 0 };
  overwrite(frame, index, { bytes: fill(Byte.IRQ), reg: undefined, special });
  cx.state.irqs = [...cx.state.irqs, { id, lock, pc: cx.pc }];
}

function restoreIrq(cx: Context, register: number, lock: boolean, name: string): void {
  const { frame, index } = irqSlot(cx, register, name);
  const special = frame.stack[index]?.special;
  if (byteAt(frame.stack[index]?.bytes ?? 0, 0) !== Byte.IRQ || !special) {
    cx.reject("irq", `argument ${register} of ${name} (r${register}) holds no saved interrupt state`, { register });
  }
  const last = cx.state.irqs[cx.state.irqs.length - 1];
  if (last?.id !== special.id || last.lock !== lock) {
    cx.reject(
      "irq",
      `argument ${register} of ${name} (r${register}): the state that was saved last is restored first`,
      { register },
    );
  }
  cx.state.irqs = cx.state.irqs.slice(0, -1);
  markRead(cx.state, frame, index);
  overwrite(frame, index, undefined);
}

function callbacks(cx: Context, insn: Insn, kfunc: Kfunc, facts: KfuncFacts): void {
  if (facts.callback < 0) return;
  if (kfunc.name === "bpf_rbtree_add_impl") {
    const { typeId, offset } = facts.root!.holds!;
    const given = () =>
      nonOwning(cx, pointer(Kind.BTF_ID, { flags: ALLOC, obj: cx.types.byId(typeId, true), off: offset }));
    walkCallback(cx, insn, kfunc.name, facts.callback, [given(), given()]);
    cx.frame.callbackDepth = 0;
    return;
  }
  walkLater(cx, insn, kfunc.name, facts.callback, facts.map!, true);
}

/** What the call does beyond r0. */
function effects(cx: Context, insn: Insn, kfunc: Kfunc, facts: KfuncFacts, args: readonly Reg[]): void {
  const first = kfunc.args[0];
  switch (kfunc.name) {
    case "bpf_dynptr_from_skb":
      makeDynptr(cx, args[3]!, 3, "skb", 0);
      return;
    case "bpf_dynptr_from_skb_meta":
      makeDynptr(cx, args[3]!, 3, "skbMeta", 0);
      return;
    case "bpf_dynptr_from_xdp":
      makeDynptr(cx, args[3]!, 3, "xdp", 0);
      return;
    case "bpf_dynptr_clone":
      makeDynptr(cx, args[2]!, 2, facts.dynptr!.kind, facts.dynptr!.ref);
      return;
    case "bpf_list_push_front_impl":
    case "bpf_list_push_back_impl":
    case "bpf_rbtree_add_impl":
      giveAway(cx, args[2]!.ref);
      return;
    case "bpf_res_spin_unlock":
    case "bpf_res_spin_unlock_irqrestore":
      unlockRes(cx, kfunc, args[1]!);
      return;
    default:
      break;
  }
  if (kfunc.iter === "new") makeIterator(cx, 1, kfunc, first!.of, acquire(cx, insn.pc));
  else if (kfunc.iter === "destroy") {
    dropIterator(cx, 1, first!.of);
    releaseReference(cx, facts.iterator!.ref);
  } else if (kfunc.releases) releaseReference(cx, facts.ref);
}

function unlockRes(cx: Context, kfunc: Kfunc, r: Reg): void {
  const { state } = cx;
  const irq = kfunc.name.endsWith("irqrestore");
  const last = state.resLocks[state.resLocks.length - 1];
  if (!last || last.obj !== r.obj || last.id !== r.id || last.irq !== irq) {
    cx.reject("lock", "the lock that was taken last is released first, by the function that fits", { register: 1 });
  }
  state.resLocks = state.resLocks.slice(0, -1);
  if (irq) restoreIrq(cx, 2, true, kfunc.name);
  forgetNonOwning(cx);
}

/** A lock that may fail: two paths, with the lock held and without. */
function lockRes(cx: Context, kfunc: Kfunc, next: number): Reg {
  const r = cx.reg(1);
  fieldOf(cx, "resLock", 1, r, `argument 1 of ${kfunc.name}`);
  if (cx.state.resLocks.some((held) => held.obj === r.obj && held.id === r.id)) {
    cx.reject("lock", "the lock is taken while it is held", { register: 1 });
  }
  if (cx.state.lock) cx.reject("lock", "a bpf_res_spin_lock is taken while a bpf_spin_lock is held", { register: 1 });
  const irq = kfunc.name.endsWith("irqsave");
  // The failed path: a negative errno.
  const failed = cx.push(next, cx.state.clone());
  for (let i = 1; i <= 5; i++) failed.frame.regs[i] = NOT_INIT;
  failed.frame.regs[0] = scalarReg(signedScalar(-4095n, -1n));
  cx.state.resLocks = [...cx.state.resLocks, { obj: r.obj, id: r.id, irq }];
  if (irq) saveIrq(cx, 2, true, kfunc.name);
  return scalarReg(constScalar(0n));
}

function result(cx: Context, insn: Insn, kfunc: Kfunc, facts: KfuncFacts): Reg {
  const { kind, orNull, size, writable, of } = kfunc.result;
  if (kind === "void") return NOT_INIT;
  if (kind === "scalar") {
    if (kfunc.name.startsWith("bpf_res_spin_lock")) return lockRes(cx, kfunc, insn.pc + 1);
    return scalarReg(UNKNOWN);
  }
  // A count may be taken of what the program owns already: that cannot fail.
  const sure = kind === "sameObject" && facts.object!.ref !== 0 && (facts.object!.flags & NON_OWNING) === 0;
  const nullFlag = orNull && !sure ? MAYBE_NULL : 0;
  const ref = kfunc.acquires ? acquire(cx, insn.pc) : 0;
  const id = ref || (nullFlag || mayHoldLock(kind) ? cx.newId() : 0);
  switch (kind) {
    case "mem": {
      const { dynptr } = facts;
      if (kfunc.name === "bpf_dynptr_slice_rdwr") {
        const problem = packetProblem(cx, true);
        if (problem) cx.reject("packet-access", `${kfunc.name}: ${problem}`);
      }
      const slice = kfunc.name.startsWith("bpf_dynptr_slice") && dynptr;
      const flags = nullFlag | (writable ? 0 : RDONLY) | (slice && PACKET_DYNPTRS.has(dynptr.kind) ? PACKET_SLICE : 0);
      const num = size || sliceSize(cx, kfunc);
      return pointer(Kind.MEM, {
        flags,
        id,
        num,
        ref: slice ? dynptr.ref : facts.ref,
        ...(slice && { obj: dynptr.id }),
      });
    }
    case "btf": {
      const iterator = kfunc.iter === "next" ? facts.iterator!.flags & RCU || TRUSTED : 0;
      return pointer(Kind.BTF_ID, { flags: nullFlag | iterator, id, ref, obj: cx.types.byName(of) });
    }
    case "object":
      return newObject(cx, kfunc, facts, nullFlag, id, ref);
    case "sameObject":
      return pointer(Kind.BTF_ID, { flags: nullFlag | ALLOC, id, ref, obj: facts.object!.obj });
    case "listNode":
    case "rbNode": {
      const { typeId, offset } =
        facts.root!.holds ?? cx.reject("special-field", `${kfunc.name}: what the list or tree holds is not said`);
      const node = pointer(Kind.BTF_ID, {
        flags: nullFlag | ALLOC,
        id,
        ref,
        obj: cx.types.byId(typeId, true),
        off: offset,
      });
      return ref ? node : nonOwning(cx, node);
    }
    case "cast":
      return castTo(cx, kfunc, facts);
    case "kernCtx": {
      const name =
        kernelCtx(cx.progType) ?? cx.reject("kfunc", `${progTypeName(cx.progType)} programs have no kernel ctx`);
      return pointer(Kind.BTF_ID, { flags: TRUSTED, obj: cx.types.byName(name) });
    }
    case "arena":
      return pointer(Kind.ARENA);
  }
}

function mayHoldLock(kind: string): boolean {
  return kind === "object" || kind === "sameObject" || kind === "listNode" || kind === "rbNode";
}

/** How many bytes a slice has: a constant, in the last argument. */
function sliceSize(cx: Context, kfunc: Kfunc): number {
  const register = kfunc.args.findIndex((arg) => arg.kind === "constantSize") + 1;
  const r = cx.reg(register);
  if (!r.val.isConst) {
    cx.reject("constant-size", `argument ${register} of ${kfunc.name} must be a constant`, { register });
  }
  cx.markPrecise(r.node);
  return Number(r.val.umax);
}

function newObject(cx: Context, kfunc: Kfunc, facts: KfuncFacts, flags: number, id: number, ref: number): Reg {
  const btf = cx.types.program;
  const typeId = facts.constant!;
  const type = btf && typeId < btf.length ? btf.type(typeId) : undefined;
  if (type?.kind !== "struct") {
    return cx.reject("argument", `argument 1 of ${kfunc.name} must be the type id of a struct of the program`, {
      register: 1,
    });
  }
  const perCpu = kfunc.name === "bpf_percpu_obj_new_impl";
  const obj = cx.types.byId(typeId, true);
  if (perCpu && cx.fieldsOf(obj).length) {
    cx.reject("special-field", `struct ${type.name} has special fields: a per-CPU object cannot`, { register: 1 });
  }
  if (perCpu && type.size > 512)
    cx.reject("size", `struct ${type.name} is larger than the 512 bytes of a per-CPU object`, { register: 1 });
  return pointer(Kind.BTF_ID, { flags: flags | ALLOC | (perCpu ? PERCPU : 0), id, ref, obj });
}

/** Memory taken for a kernel struct that nothing vouches for. */
function castTo(cx: Context, kfunc: Kfunc, facts: KfuncFacts): Reg {
  const { kernel } = cx.types;
  if (!kernel)
    return cx.unsupported("kernel-btf", `${kfunc.name} names a type of the kernel's BTF, and none was given`);
  const id = facts.constant!;
  if (id === 0 && allows(cx.profile, "untypedCast")) return pointer(Kind.MEM, { flags: RDONLY | UNTRUSTED, num: 0 });
  const type = id < kernel.length ? kernel.type(id) : undefined;
  if (type?.kind !== "struct" && type?.kind !== "union") {
    return cx.reject("argument", `argument 2 of ${kfunc.name} must be the type id of a struct of the kernel`, {
      register: 2,
    });
  }
  return pointer(Kind.BTF_ID, { flags: UNTRUSTED, obj: cx.types.byId(id) });
}
