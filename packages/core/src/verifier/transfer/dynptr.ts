/**
 * Dynptrs: 16 bytes of stack that only their own helpers may touch. Making one marks both slots; giving one back, or
 * overwriting one that holds no reference, unmarks them and forgets every pointer into its data.
 *
 * Kinds: `local` over map values, `ringbuf` over records, `skb`, `skbMeta` and `xdp` over packets.
 * Source: kernel/bpf/verifier.c `process_dynptr_func`, `mark_stack_slots_dynptr`, `unmark_stack_slots_dynptr`.
 */
import type { Context } from "../context.ts";
import { Kind, type Reg } from "../domain/reg.ts";
import { Byte, byteAt, type Frame, fill, markRead, overwrite, type Slot, type Special } from "../domain/state.ts";
import { frameOf, slotIndex, stackRange } from "./stack.ts";

const SIZE = 16;

interface Place {
  readonly frame: Frame;
  /** Index of the slot at the lower address, which comes first. */
  readonly index: number;
}

/** Where a stack pointer says the dynptr is; refuses a place where none can be. */
function placeOf(cx: Context, r: Reg, register: number, place: string): Place {
  if (r.kind !== Kind.STACK)
    cx.reject("argument", `${place} (r${register}) must point to a dynptr on the stack`, { register });
  const [min, max] = stackRange(cx, r, 0, SIZE, register);
  if (min !== max) cx.reject("dynptr", `${place} (r${register}): a dynptr is at a constant offset`, { register });
  if (min & 7) cx.reject("alignment", `${place} (r${register}): a dynptr is 8-byte aligned`, { register });
  return { frame: frameOf(cx, r), index: slotIndex(min) };
}

/** An argument that the helper makes a dynptr of. */
export function checkFree(cx: Context, r: Reg, register: number, place: string): void {
  placeOf(cx, r, register, place);
}

/** Makes a dynptr; `ref` is the reference that it holds, 0 for none. */
export function makeDynptr(cx: Context, r: Reg, register: number, kind: string, ref: number): void {
  const { frame, index } = placeOf(cx, r, register, "the dynptr");
  forgetDynptr(cx, frame, index);
  forgetDynptr(cx, frame, index - 1);
  const id = cx.newId();
  const slot = (first: boolean): Slot => {
    const special: Special = { kind, first, id, ref, active: true, depth: 0, flags: 0 };
    return { bytes: fill(Byte.DYNPTR), reg: undefined, special };
  };
  overwrite(frame, index, slot(true));
  overwrite(frame, index - 1, slot(false));
}

/** The dynptr that an argument points to. `kind`: the kind it must be of, "" for any. */
export function dynptrAt(cx: Context, r: Reg, register: number, kind: string, place: string): Special {
  if (r.kind === Kind.DYNPTR && (r.off !== 0 || !r.val.isConst || r.val.tnum.value !== 0n)) {
    cx.reject("dynptr", `${place} (r${register}) was moved by an offset: it must be passed as it came`, { register });
  }
  if (r.kind === Kind.DYNPTR) return { kind: "local", first: true, id: 0, ref: 0, active: true, depth: 0, flags: 0 };
  const { frame, index } = placeOf(cx, r, register, place);
  const low = frame.stack[index];
  const high = frame.stack[index - 1];
  const special = low?.special;
  if (!special?.first || byteAt(low!.bytes, 0) !== Byte.DYNPTR || high?.special?.id !== special.id) {
    cx.reject("dynptr", `${place} (r${register}) is not an initialised dynptr`, { register });
  }
  markRead(cx.state, frame, index);
  markRead(cx.state, frame, index - 1);
  if (kind && special.kind !== kind) {
    cx.reject("dynptr", `${place} (r${register}) is a ${special.kind} dynptr, expected a ${kind} one`, { register });
  }
  return special;
}

/** The slots of a dynptr that was given back are plain stack again. */
export function dropDynptr(cx: Context, r: Reg, register: number): void {
  const { frame, index } = placeOf(cx, r, register, "the dynptr");
  overwrite(frame, index, undefined);
  overwrite(frame, index - 1, undefined);
}

/** A reference is given back: every dynptr that holds it, clones included, is no more. */
export function dropDynptrsOf(cx: Context, ref: number): void {
  for (const frame of cx.state.frames) {
    frame.stack.forEach((slot, i) => {
      const special = slot?.special;
      if (!special || special.ref !== ref || byteAt(slot.bytes, 0) !== Byte.DYNPTR) return;
      overwrite(frame, i, undefined);
      cx.forgetDerived(special.id);
    });
  }
}

/** Overwriting a dynptr, or half of it, ends it; one that holds a reference must be given back first. */
export function forgetDynptr(cx: Context, frame: Frame, index: number): void {
  const slot = frame.stack[index];
  const special = slot?.special;
  if (!special || byteAt(slot.bytes, 0) !== Byte.DYNPTR) return;
  if (special.ref) {
    cx.reject("dynptr", "a dynptr that holds ring buffer memory is overwritten", { fix: "submit or discard it first" });
  }
  overwrite(frame, index, undefined);
  overwrite(frame, special.first ? index - 1 : index + 1, undefined);
  cx.forgetDerived(special.id);
}
