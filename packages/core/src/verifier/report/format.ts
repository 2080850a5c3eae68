/** Registers and stack as text, in the words of the kernel's own log, so that either can be read with the same eyes. */
import type { MapRef } from "../context.ts";
import { ADD_CONST, Kind, logName, type Reg } from "../domain/reg.ts";
import { S32_MAX, S32_MIN, S64_MAX, S64_MIN, type Scalar, U32_MAX, U64_MAX } from "../domain/scalar.ts";
import { TNUM_UNKNOWN, tnumEqual } from "../domain/tnum.ts";

/** `scalar(smin=smin32=0,…,var_off=(0x0; 0xff))`, `pkt(off=14,r=14)`, `fp-8`, `map_value(map=hash,ks=4,vs=16)`, a plain number. */
export function formatReg(r: Reg): string {
  if (r.kind === Kind.NOT_INIT) return "?";
  if (r.kind === Kind.SCALAR) return formatScalar(r.val, r.id, r.off);
  if (r.kind === Kind.STACK && r.val.isConst) return `fp${signedNumber(BigInt(r.off) + r.val.smin)}`;
  const parts: string[] = [];
  if (r.id) parts.push(`id=${r.id}`);
  if (r.ref) parts.push(`ref_obj_id=${r.ref}`);
  if (r.kind === Kind.MAP_PTR || r.kind === Kind.MAP_VALUE || r.kind === Kind.MAP_KEY) {
    const { name, spec } = r.obj as MapRef;
    parts.push(`map=${name}`, `ks=${spec.keySize}`, `vs=${spec.valueSize}`);
  }
  if (r.off) parts.push(`off=${signedNumber(BigInt(r.off))}`);
  // Of a pointer known to be at or beyond the end the kernel prints its negative mark as it lies in memory.
  if (r.kind === Kind.PACKET || r.kind === Kind.PACKET_META)
    parts.push(`r=${unsignedNumber(BigInt.asUintN(64, BigInt(r.num)))}`);
  if (r.kind === Kind.MEM) parts.push(`sz=${unsignedNumber(BigInt(r.num))}`);
  if (!r.val.isConst) parts.push(...ranges(r.val));
  else if (r.val.tnum.value !== 0n) parts.push(`imm=${signedNumber(r.val.smin)}`);
  return `${logName(r)}(${parts.join(",")})`;
}

/** A number: its value when known, else its id, with its distance from the number it is linked to, and its ranges. */
export function formatScalar(s: Scalar, id = 0, distance = 0): string {
  if (s.isConst) return signedNumber(s.smin);
  const linked = id & ADD_CONST ? (distance < 0 ? String(distance) : `+${distance}`) : "";
  return `scalar(${[...(id ? [`id=${id & ~ADD_CONST}${linked}`] : []), ...ranges(s)].join(",")})`;
}

/** Bounds that say something; those of one value share it: `smax=umax=smax32=umax32=255`. */
function ranges(s: Scalar): string[] {
  const low = (n: number) => (n < -0x8000 || n > 0x7fff ? BigInt(n >>> 0) : BigInt(n));
  const bounds: { name: string; value: bigint; omit: boolean }[] = [
    { name: "smin", value: s.smin, omit: s.smin === S64_MIN },
    { name: "smax", value: s.smax, omit: s.smax === S64_MAX },
    { name: "umin", value: s.umin, omit: s.umin === 0n },
    { name: "umax", value: s.umax, omit: s.umax === U64_MAX },
    { name: "smin32", value: low(s.s32min), omit: s.s32min === S32_MIN },
    { name: "smax32", value: low(s.s32max), omit: s.s32max === S32_MAX },
    { name: "umin32", value: BigInt(s.u32min), omit: s.u32min === 0 },
    { name: "umax32", value: BigInt(s.u32max), omit: s.u32max === U32_MAX },
  ];
  const out: string[] = [];
  for (let i = 0; i < bounds.length; i++) {
    const first = bounds[i]!;
    if (first.omit) continue;
    let text = `${first.name}=`;
    for (let k = i + 2; k < bounds.length; k += 2) {
      const other = bounds[k]!;
      if (other.omit || BigInt.asUintN(64, other.value) !== BigInt.asUintN(64, first.value)) continue;
      const mixed = (first.name[0] === "s" && first.value < 0n) !== (other.name[0] === "s" && other.value < 0n);
      if (mixed) continue;
      other.omit = true;
      text += `${other.name}=`;
    }
    out.push(text + (first.name[0] === "s" ? signedNumber(first.value) : unsignedNumber(first.value)));
  }
  const { value, mask } = s.tnum;
  if (!tnumEqual(s.tnum, TNUM_UNKNOWN)) out.push(`var_off=(0x${value.toString(16)}; 0x${mask.toString(16)})`);
  return out;
}

/** Decimal where 16 bits are enough, else the 64 bits in hex, as kernel/bpf/log.c. */
function signedNumber(n: bigint): string {
  return n >= -0x8000n && n <= 0x7fffn ? String(n) : `0x${BigInt.asUintN(64, n).toString(16)}`;
}

function unsignedNumber(n: bigint): string {
  return n <= 0xffffn ? String(n) : `0x${n.toString(16)}`;
}
