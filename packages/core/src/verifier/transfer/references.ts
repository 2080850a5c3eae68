/**
 * References: what a helper or kfunc hands out and the program must give back on every path. Sound because a pointer
 * carries the id of the reference it rests on, and all of an id become numbers when it is given back.
 *
 * Source: kernel/bpf/verifier.c `acquire_reference`, `release_reference`, `ref_convert_owning_non_owning`,
 * `invalidate_non_owning_refs`.
 */
import type { Context } from "../context.ts";
import { ALLOC, changed, Kind, NON_OWNING, RCU, type Reg, scalarReg } from "../domain/reg.ts";
import { UNKNOWN } from "../domain/scalar.ts";
import { mapRegs } from "../domain/state.ts";
import type { TypeRef } from "../domain/type-ref.ts";
import { dropDynptrsOf } from "./dynptr.ts";

/** Gives up a reference: every pointer that depends on it is a meaningless number now. */
export function releaseReference(cx: Context, id: number): void {
  const { state } = cx;
  const held = state.refs.find((r) => r.id === id);
  if (!held) cx.reject("reference", "the reference was released before", { fix: "release it once" });
  if (held.frame !== callbackDepthOf(cx)) {
    cx.reject("reference", "a callback cannot release what its caller acquired: it may run more than once");
  }
  state.refs = state.refs.filter((r) => r.id !== id);
  dropDynptrsOf(cx, id);
  mapRegs(state, (r) => (r.ref === id ? scalarReg(UNKNOWN) : r));
}

/** Index of the innermost callback frame, 0 outside of callbacks. */
function callbackDepthOf(cx: Context): number {
  return Math.max(
    0,
    cx.state.frames.findLastIndex((frame) => frame.callback),
  );
}

/** A new reference, which the path must give back. */
export function acquire(cx: Context, pc: number): number {
  const id = cx.newId();
  cx.state.refs = [...cx.state.refs, { id, pc, frame: callbackDepthOf(cx) }];
  return id;
}

/** A pointer to a node that a list or tree holds: good while its lock is held. */
export function nonOwning(cx: Context, r: Reg): Reg {
  const counted = cx.fieldsOf(r.obj as TypeRef).some((field) => field.kind === "refcount");
  return changed(r, { ref: 0, flags: r.flags | NON_OWNING | (counted ? RCU : 0) });
}

/** The program gives an object to a list or tree: its pointers stay, but own it no more. */
export function giveAway(cx: Context, id: number): void {
  const owned = (r: Reg) => r.ref === id && r.kind === Kind.BTF_ID && (r.flags & ALLOC) !== 0;
  mapRegs(cx.state, (r) => (owned(r) ? nonOwning(cx, r) : r));
  releaseReference(cx, id);
}

/** The lock is released: what the list or tree holds may be gone. */
export function forgetNonOwning(cx: Context): void {
  mapRegs(cx.state, (r) => (r.flags & NON_OWNING ? scalarReg(UNKNOWN) : r));
}
