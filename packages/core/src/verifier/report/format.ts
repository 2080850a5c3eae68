/** Registers and stack as text, in the words of the kernel's own log, so that either can be read with the same eyes. */
import type { MapRef } from "../context.ts";
import { Kind, logName, type Reg } from "../domain/reg.ts";
import { S32_MAX, S32_MIN, S64_MAX, S64_MIN, type Scalar, U32_MAX, U64_MAX } from "../domain/scalar.ts";
import { TNUM_UNKNOWN, tnumEqual } from "../domain/tnum.ts";

/** `scalar(umax=255,var_off=(0x0; 0xff))`, `pkt(off=14,r=14)`, `fp-8`, `map_value(map=hash,vs=16)`, a plain number. */
export function formatReg(r: Reg): string {
  if (r.kind === Kind.NOT_INIT) return "?";
  if (r.kind === Kind.SCALAR) return formatScalar(r.val, r.id);
  if (r.kind === Kind.STACK && r.val.isConst) return `fp${signed(r.off + Number(r.val.smin))}`;
  const parts: string[] = [];
  if (r.id) parts.push(`id=${r.id}`);
  if (r.ref) parts.push(`ref_obj_id=${r.ref}`);
  if (r.off) parts.push(`off=${r.off}`);
  if (r.kind === Kind.PACKET || r.kind === Kind.PACKET_META) parts.push(`r=${r.num}`);
  if (r.kind === Kind.MEM) parts.push(`sz=${r.num}`);
  if (r.kind === Kind.MAP_PTR || r.kind === Kind.MAP_VALUE || r.kind === Kind.MAP_KEY) {
    const { name, spec } = r.obj as MapRef;
    parts.push(`map=${name}`, `ks=${spec.keySize}`, `vs=${spec.valueSize}`);
  }
  if (!r.val.isConst || r.val.tnum.value !== 0n) parts.push(...ranges(r.val));
  return `${logName(r)}(${parts.join(",")})`;
}

/** A number: its value when known, else its ranges. */
export function formatScalar(s: Scalar, id = 0): string {
  if (s.isConst) return number(s.smin);
  return `scalar(${[...(id ? [`id=${id & 0x3fff_ffff}`] : []), ...ranges(s)].join(",")})`;
}

function ranges(s: Scalar): string[] {
  const out: string[] = [];
  if (s.isConst) return [`imm=${number(s.smin)}`];
  if (s.smin !== S64_MIN) out.push(`smin=${number(s.smin)}`);
  if (s.smax !== S64_MAX) out.push(`smax=${number(s.smax)}`);
  if (s.umin !== 0n) out.push(`umin=${number(s.umin)}`);
  if (s.umax !== U64_MAX) out.push(`umax=${number(s.umax)}`);
  const fits = s.umax <= 0x7fff_ffffn;
  if (!fits) {
    if (s.s32min !== S32_MIN) out.push(`smin32=${s.s32min}`);
    if (s.s32max !== S32_MAX) out.push(`smax32=${s.s32max}`);
    if (s.u32min !== 0) out.push(`umin32=${s.u32min}`);
    if (s.u32max !== U32_MAX) out.push(`umax32=${s.u32max}`);
  }
  if (!tnumEqual(s.tnum, TNUM_UNKNOWN))
    out.push(`var_off=(0x${s.tnum.value.toString(16)}; 0x${s.tnum.mask.toString(16)})`);
  return out;
}

function number(n: bigint): string {
  return n < -0xffffn || n > 0xffffn ? `${n < 0n ? "-" : ""}0x${(n < 0n ? -n : n).toString(16)}` : String(n);
}

function signed(n: number): string {
  return n === 0 ? "0" : n < 0 ? String(n) : `+${n}`;
}
