/**
 * Structs of the kernel: `kernelStruct("task_struct", { tgid: i32 })` declares the part that a program wants; where its
 * fields lie is put in when the program is loaded (CO-RE), by the running kernel's BTF.
 */
import { CORE_RELO } from "@ebplane/core/btf";
import { ProgType } from "@ebplane/core/object";
import { BOOL, I32, layoutStruct, type MemType, type StructType, sizeOf, typeName, U32, U64 } from "../check/index.ts";
import type { Insn, Region } from "../ir/index.ts";
import { arg, type BuiltinTools, type CallNode, constantOf, typeArg } from "./arguments.ts";
import { type Context, refuse } from "./context.ts";
import { describe, toScalar } from "./convert.ts";
import { opaqueStruct } from "./kernel.ts";
import { kernelField, offsetSite } from "./kernelmemory.ts";
import type { RefVal, Val } from "./values.ts";

/** A name of C's. */
const NAME = /^[A-Za-z_]\w*$/;

/** A pointer that the verifier knows by its BTF. */
export function trusted(kernel: string, address: Insn, nullable: boolean): RefVal {
  return { k: "ref", type: opaqueStruct(kernel), address, off: 0, region: { kind: "btf" }, nullable };
}

export function isKernelStruct(t: MemType): t is StructType & { readonly form: "kernel" } {
  return t.kind === "struct" && t.form === "kernel";
}

/** `kernelStruct("name", { field: Type })` */
function kernelStruct(cx: Context, call: CallNode): Val {
  const name = nameArg(cx, call, 0, "the kernel's name of the struct");
  const e = call.args[1];
  if (e?.kind !== "object") {
    return refuse(cx, e?.at ?? call.at, `write the fields in braces: kernelStruct("${name}", { field: u32, … })`);
  }
  const members: { name: string; type: MemType }[] = [];
  for (const p of e.props) {
    if (p.name === undefined) refuse(cx, p.at, "spread is not in the language here: name the fields");
    const v = cx.expr(p.value);
    if (v.k !== "type") return refuse(cx, p.value.at, `field ${p.name}: expected a type, got ${describe(v)}`);
    if (v.type.kind === "bits") {
      refuse(cx, p.value.at, `field ${p.name}: bit fields of kernel structs cannot be read yet`);
    }
    if (members.some((m) => m.name === p.name)) refuse(cx, p.at, `field ${p.name} is there twice`);
    members.push({ name: p.name!, type: v.type });
  }
  return { k: "type", type: { ...layoutStruct("", "kernel", members, false, undefined), kernel: name } };
}

/** `pointerTo(T)`: a field that holds the address of another kernel struct. */
function pointerTo(cx: Context, call: CallNode): Val {
  const to = typeArg(cx, call, 0);
  if (isKernelStruct(to)) return { k: "type", type: { kind: "pointer", to } };
  return refuse(
    cx,
    call.at,
    `pointerTo: expected a kernelStruct, got the type ${typeName(to)}; write address where nothing is to be read behind it`,
  );
}

/** `kernelEnum("name")`: a field that is one of the kernel's enums. */
function kernelEnum(cx: Context, call: CallNode): Val {
  return { k: "type", type: { ...U32, kernelEnum: nameArg(cx, call, 0, "the kernel's name of the enum") } };
}

/**
 * `Task(x)`: the kernel struct at a pointer that is known to lead to one, seen with the fields of this part; or at an
 * address, where it is read by a helper.
 */
export function viewKernel(cx: Context, type: StructType, call: CallNode): Val {
  const v = arg(cx, call, 0, `what is seen as ${typeName(type)}`);
  if (v.k === "undef") return v;
  if (v.k === "ref" && isKernelStruct(v.type)) {
    if (v.type.kernel !== type.kernel) {
      refuse(cx, call.args[0]!.at, `expected a struct ${type.kernel}, got ${describe(v)} (struct ${v.type.kernel})`);
    }
    // A place inside another struct stays one: its offset is the path's.
    if (!v.core) return { ...v, type };
    return refuse(cx, call.at, `declare the fields of ${typeName(v.type)} where it is a field`);
  }
  const address = toScalar(cx, v, U64, call.args[0]!.at);
  return { k: "ref", type, address, off: 0, region: { kind: "probe" }, nullable: false };
}

// ---- what the kernel has ----

function nameArg(cx: Context, call: CallNode, k: number, what: string): string {
  const v = arg(cx, call, k, what);
  if (v.k === "string" && NAME.test(v.value)) return v.value;
  return refuse(cx, call.args[k]!.at, `expected ${what} in quotes, got ${describe(v)}`);
}

function structArg(cx: Context, call: CallNode): StructType {
  const type = typeArg(cx, call, 0);
  if (isKernelStruct(type)) return type;
  return refuse(cx, call.args[0]!.at, `expected a kernelStruct, got the type ${typeName(type)}`);
}

function inProgram(cx: Context, call: CallNode): void {
  if (!cx.program) refuse(cx, call.at, "what the kernel has is known only when a program is loaded: ask in a program");
}

/** `fieldExists(T, "field")` and its kin. */
function ofField(kind: number, local: (type: StructType, field: string) => number) {
  return (cx: Context, call: CallNode): Val => {
    inProgram(cx, call);
    const type = structArg(cx, call);
    const field = nameArg(cx, call, 1, "the field");
    if (!type.fields.has(field)) {
      refuse(
        cx,
        call.args[1]!.at,
        `${typeName(type)} has no field ${field}: it has ${[...type.fields.keys()].join(", ")}`,
      );
    }
    const ref: RefVal = { k: "ref", type, address: cx.b.ctx(), off: 0, region: { kind: "btf" }, nullable: false };
    const place = kernelField(ref, type, field);
    const site = { ...offsetSite(place.core!, place.off), kind, local: local(type, field) };
    const v = cx.b.core(site);
    return kind === CORE_RELO.fieldExists ? { k: "int", type: BOOL, v } : { k: "int", type: U32, v };
  };
}

function ofType(kind: number, local: (type: StructType) => number) {
  return (cx: Context, call: CallNode): Val => {
    inProgram(cx, call);
    const type = structArg(cx, call);
    const v = cx.b.core({ type, access: "0", kind, local: local(type) });
    return kind === CORE_RELO.typeExists ? { k: "int", type: BOOL, v } : { k: "int", type: U32, v };
  };
}

/** `enumValue("tcp_states", "TCP_LISTEN")`, `enumValueExists(…)`. */
function ofEnum(kind: number) {
  return (cx: Context, call: CallNode): Val => {
    inProgram(cx, call);
    const name = nameArg(cx, call, 0, "the kernel's name of the enum");
    const member = nameArg(cx, call, 1, "the enumerator");
    const exists = kind === CORE_RELO.enumvalExists;
    const v = cx.b.core({ type: { kind: "enum", name, member }, access: "0", kind, local: exists ? 1 : 0 });
    return exists ? { k: "int", type: BOOL, v } : { k: "int", type: I32, v };
  };
}

// ---- arguments of what is traced ----

/** Registers that hold a function's arguments on x86-64, as offsets in `struct pt_regs`. */
const ARG_REGISTERS = [14, 13, 12, 11, 9, 8].map((k) => k * 8);

export const TRACED: ReadonlySet<number> = new Set<number>([
  ProgType.BPF_PROG_TYPE_TRACING,
  ProgType.BPF_PROG_TYPE_RAW_TRACEPOINT,
  ProgType.BPF_PROG_TYPE_KPROBE,
]);

/** `ctx.arg(n, Type)`: an argument of what is traced, as a number or a kernel struct. */
export function tracedArg(cx: Context, call: CallNode, maybe: boolean): Val {
  const program = cx.program?.type;
  if (program === undefined || !cx.ctx || !TRACED.has(program)) {
    return refuse(cx, call.at, "only what is traced has arguments: rawTracepoint, tpBtf, fentry, fexit, kprobe");
  }
  const n = Number(constantOf(cx, arg(cx, call, 0, "which argument"), "the argument's number", call.at));
  const most = program === ProgType.BPF_PROG_TYPE_KPROBE ? ARG_REGISTERS.length : 12;
  if (n < 0 || n >= most) refuse(cx, call.args[0]!.at, `argument ${n}: expected 0 to ${most - 1}`);
  const type = call.args[1] ? typeArg(cx, call, 1) : U64;
  const byBtf = program === ProgType.BPF_PROG_TYPE_TRACING;
  const off = program === ProgType.BPF_PROG_TYPE_KPROBE ? ARG_REGISTERS[n]! : n * 8;
  const v = cx.b.load(8, cx.ctx, off, { kind: "ctx" });
  if (isKernelStruct(type)) {
    const region: Region = byBtf ? { kind: "btf" } : { kind: "probe" };
    return { k: "ref", type, address: v, off: 0, region, nullable: maybe };
  }
  if (maybe || type.kind !== "int" || type.be) {
    return refuse(
      cx,
      call.args[1]?.at ?? call.at,
      `an argument is a number or a kernelStruct, got the type ${typeName(type)}`,
    );
  }
  if (type.bits === 64) return { k: "int", type, v };
  if (!type.signed) return { k: "int", type, v: cx.b.zext(type.bits, v) };
  return { k: "int", type, v: type.bits === 32 ? cx.b.zext(32, v) : cx.b.sext(type.bits, 32, v) };
}

/** By the name that is called. */
export const KERNEL_STRUCT_FORMS: ReadonlyMap<string, (cx: Context, call: CallNode, tools: BuiltinTools) => Val> =
  new Map([
    ["kernelStruct", kernelStruct],
    ["pointerTo", pointerTo],
    ["kernelEnum", kernelEnum],
    ["fieldExists", ofField(CORE_RELO.fieldExists, () => 1)],
    ["fieldOffset", ofField(CORE_RELO.fieldByteOffset, (t, f) => t.fields.get(f)!.offset)],
    ["fieldSize", ofField(CORE_RELO.fieldByteSize, (t, f) => sizeOf(t.fields.get(f)!.type))],
    ["typeExists", ofType(CORE_RELO.typeExists, () => 1)],
    ["typeSize", ofType(CORE_RELO.typeSize, (t) => t.size)],
    ["enumValue", ofEnum(CORE_RELO.enumvalValue)],
    ["enumValueExists", ofEnum(CORE_RELO.enumvalExists)],
  ]);
