/**
 * Stack reads and writes. A spill keeps the register's whole state, a fill brings it back; other writes leave bytes of
 * unknown or zero value. Sound because every byte that a write may touch loses its old state, and a read takes only
 * what all bytes it may touch agree on.
 *
 * Uninitialised bytes read as unknown numbers: programs loaded with CAP_PERFMON may, and ours are.
 * Source: kernel/bpf/verifier.c `check_stack_write_fixed_off` … `check_stack_read_var_off`.
 */
import { STACK_SIZE } from "../../isa/index.ts";
import type { Context } from "../context.ts";
import { heldIn } from "../domain/layer.ts";
import { isNull, isPointer, Kind, kindName, linkedScalar, type Reg, scalarReg } from "../domain/reg.ts";
import { fitsBytes, UNKNOWN, ZERO } from "../domain/scalar.ts";
import {
  Byte,
  byteAt,
  type Frame,
  fill,
  isSpill,
  markRead,
  overwrite,
  type Slot,
  spillSize,
  withByte,
} from "../domain/state.ts";
import { allows, RULES } from "../profile.ts";
import { sharedId } from "./alu.ts";
import { forgetDynptr } from "./dynptr.ts";

/** The frame that a stack pointer points into. */
export function frameOf(cx: Context, r: Reg): Frame {
  return cx.state.frames[r.num]!;
}

/** Offsets from the frame pointer that an access of `size` bytes at `ptr + off` may begin at. */
export function stackRange(
  cx: Context,
  ptr: Reg,
  off: number,
  size: number,
  register: number,
): [min: number, max: number] {
  const v = ptr.val;
  const base = ptr.off + off;
  if (v.isConst) {
    const at = base + Number(v.smin);
    checkWithin(cx, at, at, size, register, ptr);
    return [at, at];
  }
  if (!allows(cx.profile, "variableStack")) {
    cx.reject(
      "profile",
      `r${register} (fp) has a variable offset into the stack, which needs Linux ${RULES.variableStack.since}`,
      {
        register,
      },
    );
  }
  const limit = BigInt(1 << 29);
  if (v.smax >= limit || v.smin <= -limit) {
    cx.reject("stack-bounds", `r${register} (fp) has an unbounded offset into the stack`, {
      register,
      fix: "bound the index with a comparison or a mask",
    });
  }
  const min = base + Number(v.smin);
  const max = base + Number(v.smax);
  checkWithin(cx, min, max, size, register, ptr);
  return [min, max];
}

function checkWithin(cx: Context, min: number, max: number, size: number, register: number, ptr: Reg): void {
  // The first byte must be inside even where no byte is asked for: the kernel refuses fp+0 with size 0.
  if (min >= -STACK_SIZE && min < 0 && max + size <= 0) {
    growStack(cx, ptr, min);
    return;
  }
  const range = min === max ? `fp${signed(min)}` : `fp${signed(min)} to fp${signed(max)}`;
  const what = size === 1 ? "1 byte" : `${size} bytes`;
  const verb = size === 1 ? "is" : "are";
  let fix: string | undefined;
  if (min !== max) fix = "limit the index so that the access stays inside the array, also at its end";
  else if (min >= -STACK_SIZE && min < 0) {
    fix = `only ${-min === 1 ? "1 byte is" : `${-min} bytes are`} there: pass a buffer of at least ${what}`;
  }
  cx.reject("stack-bounds", `${what} at ${range} ${verb} not inside the stack, which is fp-${STACK_SIZE} to fp-1`, {
    register,
    fix,
  });
}

function signed(n: number): string {
  return n < 0 ? String(n) : `+${n}`;
}

/** Notes how deep the function's stack goes. */
function growStack(cx: Context, ptr: Reg, min: number): void {
  const { subprog } = frameOf(cx, ptr);
  if (-min > (cx.stackDepth.get(subprog) ?? 0)) cx.stackDepth.set(subprog, -min);
}

/** Slot index and byte within it of an offset from the frame pointer. */
export function slotIndex(at: number): number {
  return (-at - 1) >> 3;
}

export function byteIndex(at: number): number {
  return at & 7;
}

/** Writes register value `value` (or unknown memory when undefined) at `at` = fixed offset from the frame pointer. */
export function writeFixed(cx: Context, frame: Frame, at: number, size: number, value: Reg, fromReg: number): void {
  const i = slotIndex(at);
  forgetDynptr(cx, frame, i);
  const old = frame.stack[i];
  const aligned = (at & 7) === 0;
  if (value.kind === Kind.SCALAR && aligned && keepsNumber(cx, value, size)) {
    const fits = fitsBytes(value.val, size);
    let spilled = value;
    const links = fromReg >= 0 && allows(cx.profile, "linkedSpills");
    if (links && fits) spilled = sharedId(cx, fromReg, value);
    else if (value.id && !fits) spilled = linkedScalar(value.val, 0, 0, value.node);
    spill(frame, i, spilled, size);
    return;
  }
  if (isPointer(value)) {
    if (size !== 8) {
      cx.reject(
        "pointer-store",
        `only all 8 bytes of a pointer can be stored on the stack, not ${size} of ${kindName(value)}`,
        {
          register: fromReg,
        },
      );
    }
    if (!aligned) {
      cx.reject("alignment", "a pointer on the stack must be 8-byte aligned", { register: fromReg });
    }
    if (frame !== cx.frame && value.kind === Kind.STACK) {
      cx.reject("pointer-store", "a stack pointer cannot be stored in the stack of the caller", { register: fromReg });
    }
    spill(frame, i, value, 8);
    return;
  }
  const zero = isNull(value);
  if (zero) cx.markPrecise(value.node);
  const base = old ? scrubSpill(old) : emptySlot();
  let bytes = base.bytes;
  for (let k = 0; k < size; k++) bytes = withByte(bytes, byteIndex(at) + k, zero ? Byte.ZERO : Byte.MISC);
  frame.setSlot(i, { bytes, reg: undefined, special: undefined });
  if (size === 8) frame.written.add(i);
}

/** Older kernels remember fewer numbers. */
function keepsNumber(cx: Context, value: Reg, size: number): boolean {
  if (size < 8 && !allows(cx.profile, "narrowSpills")) return false;
  if (isNull(value) && !allows(cx.profile, "zeroSpills")) return false;
  return value.val.isConst || allows(cx.profile, "boundedSpills");
}

/** A byte that no path has written: its value says nothing, and older kernels refuse to read it. */
function checkSet(cx: Context, frame: Frame, b: Byte, at: number, register: number): void {
  if (b !== Byte.INVALID) return;
  const used = slotIndex(at) < frame.stack.length || allows(cx.profile, "deeperStack");
  if (used && allows(cx.profile, "uninitialisedStack")) return;
  cx.reject(
    "uninitialised",
    `the stack at fp${at} is read and not set on this path, which needs Linux ${RULES[used ? "uninitialisedStack" : "deeperStack"].since}`,
    {
      register,
      fix: "set it before, for instance with = {} at its declaration",
    },
  );
}

function emptySlot(): Slot {
  return { bytes: 0, reg: undefined, special: undefined };
}

/** Spills into the slot's low `size` bytes; what is above keeps ZERO or INVALID, else becomes MISC. */
function spill(frame: Frame, index: number, value: Reg, size: number): void {
  if (size === 8) {
    overwrite(frame, index, { bytes: fill(Byte.SPILL), reg: value, special: undefined });
    return;
  }
  let bytes = frame.stack[index]?.bytes ?? 0;
  for (let k = 0; k < 8; k++) {
    if (k < size) bytes = withByte(bytes, k, Byte.SPILL);
    else {
      const b = byteAt(bytes, k);
      if (b !== Byte.ZERO && b !== Byte.INVALID) bytes = withByte(bytes, k, Byte.MISC);
    }
  }
  frame.setSlot(index, { bytes, reg: value, special: undefined });
}

/** A slot that held a spilled register holds plain bytes once part of it is overwritten; its zeros are not kept. */
function scrubSpill(slot: Slot): Slot {
  if (!isSpill(slot) && !slot.special) return slot;
  let bytes = slot.bytes;
  for (let k = 0; k < 8; k++) if (byteAt(bytes, k) !== Byte.INVALID) bytes = withByte(bytes, k, Byte.MISC);
  return { ...slot, bytes, reg: undefined, special: undefined };
}

/** Writes somewhere in [min, max]: any of the bytes may keep its old value or get the new one. */
export function writeVariable(
  cx: Context,
  frame: Frame,
  min: number,
  max: number,
  size: number,
  value: Reg | undefined,
): void {
  const zero = value !== undefined && isNull(value);
  for (let at = min; at < max + size; at++) forgetDynptr(cx, frame, slotIndex(at));
  let zeroUsed = false;
  for (let at = min; at < max + size; at++) {
    const i = slotIndex(at);
    const slot = frame.stack[i] ?? emptySlot();
    const r = heldIn(frame, i);
    if (zero && isSpill(slot) && r && isNull(r) && byteAt(slot.bytes, byteIndex(at)) === Byte.SPILL) {
      zeroUsed = true;
      cx.markPrecise(r.node);
      continue;
    }
    const base = scrubSpill(slot);
    const was = byteAt(slot.bytes, byteIndex(at));
    const keepsZero = zero && was === Byte.ZERO;
    if (keepsZero) zeroUsed = true;
    frame.setSlot(i, { ...base, bytes: withByte(base.bytes, byteIndex(at), keepsZero ? Byte.ZERO : Byte.MISC) });
  }
  if (zeroUsed) cx.markPrecise(value?.node);
}

/** What a load of `size` bytes at `at` brings; narrowing to `size` is the caller's. */
export function readFixed(cx: Context, frame: Frame, at: number, size: number, register: number): Reg {
  const i = slotIndex(at);
  const slot = frame.stack[i];
  if (slot && isSpill(slot)) {
    const held = heldIn(frame, i)!;
    const spilled = spillSize(slot.bytes);
    markRead(cx.state, frame, i);
    if (size === 8 && spilled === 8 && (at & 7) === 0) return held;
    if (held.kind !== Kind.SCALAR) {
      cx.reject(
        "pointer-load",
        `only all 8 bytes of the ${kindName(held)} stored at fp${at & ~7} can be loaded, not ${size}`,
        {
          register,
        },
      );
    }
    const narrow = allows(cx.profile, "narrowFills");
    if ((at & 7) === 0 && (narrow ? size <= spilled : size === spilled)) {
      return fitsBytes(held.val, size) ? held : linkedScalar(held.val, 0, 0, held.node);
    }
    let spillBytes = 0;
    let zeroBytes = 0;
    for (let k = 0; k < size; k++) {
      const b = byteAt(slot.bytes, byteIndex(at) + k);
      checkSet(cx, frame, b, at + k, register);
      if (b === Byte.SPILL) spillBytes++;
      else if (b === Byte.ZERO) zeroBytes++;
      else if (b !== Byte.MISC && b !== Byte.INVALID) badRead(cx, at, size, register);
    }
    if (!narrow) return scalarReg(UNKNOWN);
    if (spillBytes === size && isNull(held)) return scalarReg(ZERO, held.node);
    return scalarReg(zeroBytes === size ? ZERO : UNKNOWN);
  }
  let zeroBytes = 0;
  for (let k = 0; k < size; k++) {
    const b = slot ? byteAt(slot.bytes, byteIndex(at) + k) : Byte.INVALID;
    checkSet(cx, frame, b, at + k, register);
    if (b === Byte.ZERO) zeroBytes++;
    else if (b !== Byte.MISC && b !== Byte.INVALID) badRead(cx, at, size, register);
  }
  if (slot) markRead(cx.state, frame, i);
  return scalarReg(zeroBytes === size ? ZERO : UNKNOWN);
}

function badRead(cx: Context, at: number, size: number, register: number): never {
  cx.reject(
    "stack-special",
    `${size === 1 ? "the byte" : `${size} bytes`} at fp${at} ${size === 1 ? "is part of" : "hold"} a dynptr or an iterator, which only its own functions may read`,
    {
      register,
      fix: "the access goes beyond the buffer into what lies behind it on the stack: pass the buffer's own size, or make it larger",
    },
  );
}

/** Reads somewhere in [min, max]: zero when all of it is, else unknown. */
export function readVariable(cx: Context, frame: Frame, min: number, max: number, size: number, register: number): Reg {
  requireReadable(cx, frame, min, max + size - min, register, false);
  for (let at = min; at < max + size; at++) {
    const slot = frame.stack[slotIndex(at)];
    if (!slot || byteAt(slot.bytes, byteIndex(at)) !== Byte.ZERO) return scalarReg(UNKNOWN);
  }
  return scalarReg(ZERO);
}

/**
 * Bytes [at, at + length) must be plain or spilled (not a dynptr or iterator); they count as read. With `clobber`, a
 * helper may change them: what they held is forgotten.
 */
export function requireReadable(
  cx: Context,
  frame: Frame,
  at: number,
  length: number,
  register: number,
  clobber: boolean,
): void {
  let next = at;
  for (let p = at; p < at + length; p = next) {
    // Up to the end of this slot.
    next = Math.min((p & ~7) + 8, at + length);
    const i = slotIndex(p);
    const slot = frame.stack[i];
    if (!slot) {
      checkSet(cx, frame, Byte.INVALID, p, register);
      continue;
    }
    for (let q = p; q < next; q++) {
      const b = byteAt(slot.bytes, byteIndex(q));
      checkSet(cx, frame, b, q, register);
      if (b === Byte.DYNPTR || b === Byte.ITER || b === Byte.IRQ) badRead(cx, q, 1, register);
    }
    markRead(cx.state, frame, i);
    if (!clobber) continue;
    const plain = isSpill(slot) ? scrubSpill(slot) : slot;
    let { bytes } = plain;
    for (let q = p; q < next; q++) bytes = withByte(bytes, byteIndex(q), Byte.MISC);
    if (bytes !== slot.bytes) frame.setSlot(i, { bytes, reg: plain.reg, special: plain.special });
  }
}
