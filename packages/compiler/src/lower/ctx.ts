/** The context's fields, by the one table of ctx layouts: `ctx.ingressIfindex` is `ingress_ifindex`. */
import { type CtxField, ctxLayout, ProgType } from "@ebplane/core/object";
import { type Field, type MemType, type StructType, sizeOf, U64 } from "../check/index.ts";
import type { Region } from "../ir/index.ts";
import { type Context, refuse } from "./context.ts";
import { describe, toScalar } from "./convert.ts";
import { camelCase } from "./helpers.ts";
import { FLOW_KEYS, fieldType, opaqueStruct, SOCKET } from "./kernel.ts";
import type { RefVal, Val } from "./values.ts";

/** One field as a program sees it. Exactly one of `type` and `to` is there. */
export interface CtxMember {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
  /** Bit sets of access widths. */
  readonly read: number;
  readonly write: number;
  /** A number, or an array of them. */
  readonly type: MemType | undefined;
  /** The struct that it points to; it may be missing where `nullable`. */
  readonly to: StructType | undefined;
  readonly nullable: boolean;
}

const ANY_WIDTH = 15;

/** `struct pt_regs` of x86-64. Source: arch/x86/include/asm/ptrace.h. */
// biome-ignore format: a table
const REGISTERS = ["r15", "r14", "r13", "r12", "bp", "bx", "r11", "r10", "r9", "r8", "ax", "cx", "dx", "si", "di", "origAx", "ip", "cs", "flags", "sp", "ss"];
export const PT_REGS: StructType = {
  kind: "struct",
  name: "PtRegs",
  form: "struct",
  fields: new Map(
    REGISTERS.map((name, k): [string, Field] => [name, { name, type: U64, offset: k * 8, bit: undefined }]),
  ),
  size: REGISTERS.length * 8,
  align: 8,
  length: undefined,
};

/** Contexts that are not described field by field: the arguments of what is traced, or the registers. */
const MAX_ARGS = 12;
const ARGS: CtxMember = {
  name: "args",
  offset: 0,
  size: MAX_ARGS * 8,
  read: 8,
  write: 0,
  type: { kind: "array", element: U64, length: MAX_ARGS },
  to: undefined,
  nullable: false,
};
const REGS: CtxMember = { ...ARGS, name: "regs", size: PT_REGS.size, read: ANY_WIDTH, type: PT_REGS };
const OPAQUE: ReadonlyMap<number, readonly CtxMember[]> = new Map([
  [ProgType.BPF_PROG_TYPE_RAW_TRACEPOINT, [ARGS]],
  [ProgType.BPF_PROG_TYPE_TRACING, [ARGS]],
  [ProgType.BPF_PROG_TYPE_KPROBE, [REGS]],
  [ProgType.BPF_PROG_TYPE_TRACEPOINT, []],
]);
/** Contexts that `ctx.as(Struct)` reads as what the program knows them to be. */
export const CASTS: ReadonlySet<number> = new Set<number>([
  ProgType.BPF_PROG_TYPE_TRACEPOINT,
  ProgType.BPF_PROG_TYPE_RAW_TRACEPOINT,
]);

/** All fields that a program of the type may touch, but for the packet's bounds. */
export function ctxMembers(form: { readonly type: number; readonly attachType: number }): readonly CtxMember[] {
  const opaque = OPAQUE.get(form.type);
  if (opaque) return opaque;
  const layout = ctxLayout(form.type, form.attachType);
  const out: CtxMember[] = [];
  for (const f of layout?.fields ?? []) {
    const name = camelCase(f.name);
    if (out.some((m) => m.name === name)) continue;
    const type = fieldType(layout!.struct, f);
    const to = pointsTo(f);
    if (!type && !to) continue;
    const { offset, size, read, write } = f;
    out.push({ name, offset, size, read, write, type, to, nullable: f.value.endsWith("OrNull") });
  }
  return out;
}

function pointsTo(f: CtxField): StructType | undefined {
  if (f.value === "flowKeys") return FLOW_KEYS;
  if (f.value === "btf") return opaqueStruct(f.of);
  return f.value.startsWith("sock") ? SOCKET : undefined;
}

/** The largest width in the set. */
function widest(widths: number): 1 | 2 | 4 | 8 {
  return widths & 8 ? 8 : widths & 4 ? 4 : widths & 2 ? 2 : 1;
}

function regionOf(m: CtxMember): Region {
  return { kind: "ctx", widest: widest(m.read), readOnly: m.write === 0 };
}

/** Reads a field, or writes it when a value is given. */
export function ctxField(cx: Context, name: string, at: number, write?: { value: Val; at: number }): Val {
  if (!cx.program || !cx.ctx) return refuse(cx, at, "the context is only there in a program");
  const members = ctxMembers(cx.program);
  const m = members.find((x) => x.name === name);
  if (!m) {
    const names = [...(cx.packet ? ["length"] : []), ...members.map((x) => x.name)];
    if (cx.packet && /^(data|dataEnd|packet|bytes|payload)$/.test(name)) {
      return refuse(
        cx,
        at,
        `the context has no ${name}: take the packet's bytes through headers: ctx.packet().take(ethernet)`,
      );
    }
    const has = names.length ? `it has ${names.join(", ")}` : "read it with ctx.as(Struct)";
    return refuse(cx, at, `the context has no ${name}: ${has}`);
  }
  if (write) return writeField(cx, m, write);
  const ctx = { address: cx.ctx, off: m.offset };
  if (m.to) {
    const address = cx.b.load(8, cx.ctx, m.offset, { kind: "ctx", pointer: m.nullable ? undefined : true });
    // Flow keys are the one struct that programs fill.
    const own = m.to === FLOW_KEYS ? "any" : "kernel";
    const region: Region = { kind: m.to.form === "kernel" ? "btf" : own };
    return { k: "ref", type: m.to, address, off: 0, region, nullable: m.nullable };
  }
  const type = m.type!;
  if (type.kind !== "int") return { k: "ref", type, ...ctx, region: regionOf(m), nullable: false };
  const size = m.size as 1 | 2 | 4 | 8;
  if (!(m.read & size)) return refuse(cx, at, `ctx.${name} cannot be read`);
  const v = cx.b.load(size, cx.ctx, m.offset, { kind: "ctx" });
  const narrow = type.bits < 32 && sizeOf(type) < size;
  return { k: "int", type, v: narrow ? cx.b.zext(type.bits as 8 | 16, v) : v };
}

function writeField(cx: Context, m: CtxMember, write: { value: Val; at: number }): Val {
  const type = m.type;
  const size = m.size as 1 | 2 | 4 | 8;
  if (type?.kind !== "int" || !(m.write & size)) return refuse(cx, write.at, `ctx.${m.name} cannot be written`);
  const v = toScalar(cx, write.value, type, write.at);
  cx.b.store(size, cx.ctx!, v, m.offset, { kind: "ctx" });
  return write.value;
}

/** `ctx.as(Struct)`: the context's bytes as the struct that the tracepoint's format describes. */
export function ctxAs(cx: Context, type: Val | undefined, at: number): Val {
  if (!cx.program || !cx.ctx || !CASTS.has(cx.program.type)) {
    return refuse(cx, at, "only the context of a tracepoint is read with as(Struct)");
  }
  if (type?.k !== "type" || type.type.kind !== "struct") {
    return refuse(cx, at, `as: expected a struct, got ${type ? describe(type) : "nothing"}`);
  }
  const region: Region = { kind: "ctx", readOnly: true };
  const ref: RefVal = { k: "ref", type: type.type, address: cx.ctx, off: 0, region, nullable: false };
  return ref;
}
