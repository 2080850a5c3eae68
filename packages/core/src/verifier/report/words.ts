/** Values in plain words, for people who do not read verifier logs: `packet + 14, 20 bytes checked`, `0 to 255`. */
import type { MapRef } from "../context.ts";
import { AT_PKT_END, isPacket, Kind, kindName, MAYBE_NULL, type Reg } from "../domain/reg.ts";
import { S32_MAX, S32_MIN, S64_MAX, S64_MIN, type Scalar, U32_MAX, U64_MAX } from "../domain/scalar.ts";

export function sayReg(r: Reg): string {
  switch (r.kind) {
    case Kind.NOT_INIT:
      return "not set";
    case Kind.SCALAR:
      return sayNumber(r.val);
    case Kind.STACK:
      return r.val.isConst ? `stack at fp${signed(r.off + Number(r.val.smin))}` : `stack at fp${place(r)}`;
    default:
      return `${sayTarget(r)}${r.kind === Kind.PACKET_END ? "" : place(r)}${r.flags & MAYBE_NULL ? ", or NULL" : ""}${proven(r)}`;
  }
}

/** What a pointer points to, without its offset. */
function sayTarget(r: Reg): string {
  switch (r.kind) {
    case Kind.CTX:
      return "ctx";
    case Kind.MAP_PTR:
      return `map ${(r.obj as MapRef).name}`;
    case Kind.MAP_VALUE:
      return `value of map ${(r.obj as MapRef).name}`;
    case Kind.MAP_KEY:
      return `key of map ${(r.obj as MapRef).name}`;
    case Kind.PACKET:
      return r.id && r.val.isConst ? "packet + variable part" : "packet";
    case Kind.MEM:
      return `${kindName(r)} of ${r.num} bytes`;
    case Kind.FUNC:
      return `function at insn ${r.num}`;
    default:
      return kindName(r);
  }
}

function place(r: Reg): string {
  const fixed = r.off === 0 ? "" : ` ${r.off < 0 ? "-" : "+"} ${Math.abs(r.off)}`;
  if (r.val.isConst) {
    const all = r.off + Number(r.val.smin);
    return all === 0 ? "" : ` ${all < 0 ? "-" : "+"} ${Math.abs(all)}`;
  }
  return `${fixed} + (${sayNumber(r.val)})`;
}

/** How much of the packet is known to be there, counted from the pointer's base. */
function proven(r: Reg): string {
  if (!isPacket(r)) return "";
  if (r.num <= AT_PKT_END) return ", beyond the end";
  const bytes = r.num === 1 ? "1 byte" : `${r.num} bytes`;
  const beyond = r.val.isConst ? "" : " beyond the variable part";
  return r.num === 0 ? `, no byte checked${beyond}` : `, ${bytes} checked${beyond}`;
}

export function sayNumber(s: Scalar): string {
  if (s.isConst) return String(s.smin);
  const signedKnown = s.smin !== S64_MIN || s.smax !== S64_MAX;
  if (s.umin !== 0n || s.umax !== U64_MAX) {
    if (s.umax <= BigInt(Number.MAX_SAFE_INTEGER)) return `${s.umin} to ${s.umax}`;
    if (signedKnown && s.smin > -(1n << 40n) && s.smax < 1n << 40n) return `${s.smin} to ${s.smax}`;
    if (s.umin !== 0n) return s.umin === 1n ? "any number but 0" : `at least ${s.umin}`;
  }
  if (s.smin !== S64_MIN && s.smax !== S64_MAX) return `${s.smin} to ${s.smax}`;
  if (s.smax !== S64_MAX) return `at most ${s.smax}, maybe negative`;
  if (s.smin !== S64_MIN) return `at least ${s.smin}`;
  if (s.u32min !== 0 || s.u32max !== U32_MAX) return `low 32 bits ${s.u32min} to ${s.u32max}`;
  if (s.s32min !== S32_MIN || s.s32max !== S32_MAX) return `low 32 bits ${s.s32min} to ${s.s32max}`;
  return "any number";
}

function signed(n: number): string {
  return n < 0 ? String(n) : `+${n}`;
}
