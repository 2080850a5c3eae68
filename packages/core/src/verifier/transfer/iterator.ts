/**
 * Open-coded iterators: an object of one or more stack slots between its `new` and its `destroy`. At each `next` two
 * paths go on: one with an element, one with NULL and the iterator drained, after which there is no element any more.
 * Sound because both outcomes are walked from every state, and a round that adds nothing to a state at the same `next`
 * stands for all later rounds (`prune.ts`).
 *
 * Source: kernel/bpf/verifier.c `process_iter_arg`, `process_iter_next_call`, `mark_stack_slots_iter`.
 */
import type { Kfunc } from "../../object/index.ts";
import type { Context } from "../context.ts";
import { Kind, RCU, type Reg, scalarReg, UNTRUSTED } from "../domain/reg.ts";
import { ZERO } from "../domain/scalar.ts";
import { Byte, byteAt, type Frame, fill, markRead, overwrite, type Special, type State } from "../domain/state.ts";
import { previousVisit, widen } from "../prune.ts";
import { forgetDynptr } from "./dynptr.ts";
import { notNull } from "./jump.ts";
import { inRcu } from "./kernel.ts";
import { frameOf, slotIndex, stackRange } from "./stack.ts";

/** Stack slots of each kind. Source: `struct bpf_iter_*` of include/uapi/linux/bpf.h and kernel/bpf/. */
const SLOTS: Readonly<Record<string, number>> = {
  num: 1,
  bits: 2,
  task: 3,
  task_vma: 1,
  css: 3,
  css_task: 1,
  kmem_cache: 1,
  dmabuf: 1,
};

interface Place {
  readonly frame: Frame;
  /** Index of the slot at the lowest address. */
  readonly index: number;
  readonly slots: number;
}

function placeOf(cx: Context, register: number, kind: string, place: string): Place {
  const r = cx.reg(register);
  if (r.kind !== Kind.STACK) {
    cx.reject("argument", `${place} (r${register}) must point to an iterator on the stack`, { register });
  }
  const slots = SLOTS[kind] ?? cx.unsupported("iterator", `iterators of kind ${kind} are not checked`, { register });
  const [min, max] = stackRange(cx, r, 0, slots * 8, register);
  if (min !== max) cx.reject("iterator", `${place} (r${register}): an iterator is at a constant offset`, { register });
  if (min & 7) cx.reject("alignment", `${place} (r${register}): an iterator is 8-byte aligned`, { register });
  return { frame: frameOf(cx, r), index: slotIndex(min), slots };
}

/** The first argument of `new`: slots that hold no iterator, irq state or live dynptr. */
export function makeIterator(cx: Context, register: number, kfunc: Kfunc, kind: string, ref: number): void {
  const { frame, index, slots } = placeOf(cx, register, kind, `argument 1 of ${kfunc.name}`);
  for (let i = 0; i < slots; i++) {
    const bytes = frame.stack[index - i]?.bytes ?? 0;
    const b = byteAt(bytes, 0);
    if (b === Byte.ITER || b === Byte.IRQ) {
      cx.reject("iterator", `argument 1 of ${kfunc.name} (r${register}) is in use: it must be uninitialised`, {
        register,
      });
    }
    if (b === Byte.DYNPTR) forgetDynptr(cx, frame, index - i);
  }
  const flags = kfunc.rcuProtected ? (inRcu(cx) ? RCU : UNTRUSTED) : 0;
  for (let i = 0; i < slots; i++) {
    const special: Special = {
      kind: `iter ${kind}`,
      first: i === 0,
      id: 0,
      ref: i === 0 ? ref : 0,
      active: true,
      depth: 0,
      flags,
    };
    overwrite(frame, index - i, { bytes: fill(Byte.ITER), reg: undefined, special });
  }
}

/** The live iterator that the register points to. */
export function iteratorAt(cx: Context, register: number, kind: string, place: string): Special {
  const { frame, index, slots } = placeOf(cx, register, kind, place);
  for (let i = 0; i < slots; i++) {
    const slot = frame.stack[index - i];
    const special = slot?.special;
    if (byteAt(slot?.bytes ?? 0, 0) !== Byte.ITER || special?.kind !== `iter ${kind}` || special.first !== (i === 0)) {
      cx.reject("iterator", `${place} (r${register}) is not an initialised iterator of this kind`, {
        register,
        fix: "begin it with its _new function on every path, and use it only until _destroy",
      });
    }
    markRead(cx.state, frame, index - i);
  }
  const { special } = frame.stack[index]!;
  if (special!.flags & UNTRUSTED) {
    cx.reject("rcu", `${place} (r${register}): the iterator needs the RCU read lock, which was not held throughout`, {
      register,
      fix: "hold bpf_rcu_read_lock from _new to _destroy",
    });
  }
  return special!;
}

/** Ends the iterator: its slots are plain stack again. */
export function dropIterator(cx: Context, register: number, kind: string): void {
  const { frame, index, slots } = placeOf(cx, register, kind, "the iterator");
  for (let i = 0; i < slots; i++) overwrite(frame, index - i, undefined);
}

/** Splits the path at a `next`: r0 is the element where there is one. Queues that side; the running one got NULL. */
export function splitNext(cx: Context, place: Reg, kind: string, element: Reg, nextPc: number): void {
  const at = cx.state;
  const { special } = slotOf(at, place, kind);
  if (special.active) {
    // The state was saved just now: the round before is behind it.
    const before = previousVisit(at, cx.pc, at.parent?.parent);
    const more = cx.push(nextPc, at.clone());
    setSpecial(more, place, { ...special, depth: special.depth + 1 });
    if (before) widen(before, more);
    more.frame.regs[0] = notNull(element);
  }
  setSpecial(cx.state, place, { ...slotOf(cx.state, place, kind).special, active: false });
  cx.setReg(0, scalarReg(ZERO));
}

function slotOf(state: State, r: Reg, kind: string): { frame: Frame; index: number; special: Special } {
  const frame = state.frames[r.num]!;
  const index = slotIndex(r.off + Number(r.val.smin));
  const special = frame.stack[index]!.special!;
  if (special.kind !== `iter ${kind}`) throw new TypeError("the iterator is not where it was checked");
  return { frame, index, special };
}

function setSpecial(state: State, r: Reg, special: Special): void {
  const frame = state.frames[r.num]!;
  const index = slotIndex(r.off + Number(r.val.smin));
  frame.setSlot(index, { ...frame.stack[index]!, special });
}
