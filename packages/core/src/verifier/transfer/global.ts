/**
 * Global functions: verified once, for any arguments of the types that BTF gives them, so a call needs only its
 * arguments checked and learns nothing of the result. Sound because the function's own walk starts from no more than
 * what every call proves, and a call forgets all that the function may change.
 *
 * Source: kernel/bpf/verifier.c `btf_check_func_arg_match`, `check_mem_reg`, `check_func_call`, `do_check_common`.
 */
import { checkRegion, packetProblem } from "../check/access.ts";
import { isMemory, mayBeNull, mismatch, passedObject, unmoved } from "../check/arguments.ts";
import { changesPacket } from "../check/packet-changes.ts";
import type { Param, Signature } from "../check/signature.ts";
import type { Context } from "../context.ts";
import {
  isNull,
  isPacket,
  Kind,
  kindName,
  MAYBE_NULL,
  NOT_INIT,
  pointer,
  RDONLY,
  type Reg,
  TRUSTED,
  UNTRUSTED,
  unknownReg,
} from "../domain/reg.ts";
import { Frame, State } from "../domain/state.ts";
import { allows, RULES } from "../profile.ts";
import { dynptrAt } from "./dynptr.ts";
import { notNull } from "./jump.ts";
import { forgetPacket, readReg } from "./registers.ts";
import { frameOf, requireReadable, stackRange } from "./stack.ts";

/** Checks the call of the global function at `target`; it is walked later, once. */
export function callGlobal(cx: Context, target: number, callee: Signature): void {
  if (cx.state.lock) {
    cx.reject("lock", "a global function is called while the spin lock is held", {
      fix: "make the function static, or unlock first",
    });
  }
  const { problem, name } = callee;
  if (problem?.verdict === "reject") cx.reject("global-function", problem.message, { fix: "make the function static" });
  if (problem) cx.unsupported("global-function", problem.message);
  callee.params.forEach((param, i) => {
    checkParam(cx, param, i + 1, `argument ${i + 1} of global function ${name}`);
  });
  if (changesPacket(cx.program, target, cx.progType)) forgetPacket(cx);
  cx.globalsCalled.add(target);
  for (let i = 1; i <= 5; i++) cx.setReg(i, NOT_INIT);
  cx.setReg(0, unknownReg());
}

function checkParam(cx: Context, param: Param, register: number, place: string): void {
  if (param.kind !== "scalar" && param.kind !== "ctx" && !allows(cx.profile, "globalPointers")) {
    cx.reject("profile", `${place} points to memory, which needs Linux ${RULES.globalPointers.since}`, { register });
  }
  const r = readReg(cx, register);
  switch (param.kind) {
    case "scalar":
      if (r.kind !== Kind.SCALAR) mismatch(cx, register, r, place, "a number");
      return;
    case "ctx":
      if (r.kind !== Kind.CTX) mismatch(cx, register, r, place, "the ctx");
      unmoved(cx, register, r, place);
      return;
    case "dynptr":
      dynptrAt(cx, r, register, "", place);
      return;
    case "arena":
      if (r.kind !== Kind.ARENA && r.kind !== Kind.SCALAR) mismatch(cx, register, r, place, "a pointer into the arena");
      return;
    case "object":
      if (!param.trusted && (r.kind === Kind.BTF_ID || r.kind === Kind.SCALAR)) return;
      if (isNull(r) && param.orNull) cx.markPrecise(r.node);
      else passedObject(cx, param.struct, param.orNull, register, r, place);
      return;
    default:
      break;
  }
  if (isNull(r) && !param.nonNull) {
    cx.markPrecise(r.node);
    return;
  }
  if (r.flags & MAYBE_NULL && param.nonNull) mayBeNull(cx, register, r, place);
  const base = r.flags & MAYBE_NULL ? notNull(r) : r;
  if (!isMemory(base)) mismatch(cx, register, r, place, `a pointer to ${param.size} bytes of memory`);
  memory(cx, base, register, param.size, place);
}

/** The function may read and write all of it. */
function memory(cx: Context, base: Reg, register: number, size: number, place: string): void {
  if (base.flags & RDONLY || base.kind === Kind.MAP_KEY) {
    cx.reject("read-only", `${place} (r${register}, ${kindName(base)}) would be written and is read-only`, {
      register,
    });
  }
  if (base.kind === Kind.STACK) {
    const [min, max] = stackRange(cx, base, 0, size, register);
    requireReadable(cx, frameOf(cx, base), min, max - min + size, register, true);
    return;
  }
  const problem = isPacket(base) ? packetProblem(cx, true) : undefined;
  if (problem) cx.reject("packet-access", problem, { register });
  const region = { base, register, off: 0, size, zeroOk: true };
  checkRegion(cx, { ...region, write: false });
  checkRegion(cx, { ...region, write: true });
}

/** The state that the walk of a global function starts from. */
export function globalState(cx: Context, start: number, callee: Signature): State {
  const state = new State();
  const frame = new Frame(-1, start);
  callee.params.forEach((param, i) => {
    frame.regs[i + 1] = received(cx, param);
  });
  frame.regs[10] = pointer(Kind.STACK);
  state.frames.push(frame);
  return state;
}

function received(cx: Context, param: Param): Reg {
  switch (param.kind) {
    case "scalar":
      return unknownReg();
    case "ctx":
      return pointer(Kind.CTX);
    case "dynptr":
      return pointer(Kind.DYNPTR);
    case "arena":
      return pointer(Kind.ARENA);
    case "object": {
      const id = param.orNull ? cx.newId() : 0;
      const flags = (param.trusted ? TRUSTED : UNTRUSTED) | (param.orNull ? MAYBE_NULL : 0);
      return pointer(Kind.BTF_ID, { flags, id, obj: cx.types.byName(param.struct) });
    }
    default:
      return pointer(Kind.MEM, param.nonNull ? { num: param.size } : nullable(cx, param.size));
  }
}

function nullable(cx: Context, size: number) {
  return { num: size, flags: MAYBE_NULL, id: cx.newId() };
}
