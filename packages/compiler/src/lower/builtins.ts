/**
 * The names that `ebplane/bpf` gives without being written in the language: types, constructors of structs and maps,
 * programs, conversions, helpers. One function each, in one table.
 */
import { HELPERS } from "@ebplane/core/object";
import {
  type ArrayType,
  alignOf,
  BOOL,
  type IntType,
  itemName,
  layoutStruct,
  type MemType,
  SCALARS,
  type StructType,
  sizeOf,
  U8,
  U32,
  U64,
} from "../check/index.ts";
import { constant, type Insn, RODATA } from "../ir/index.ts";
import type { Expr } from "../parse/index.ts";
import { requireHelper } from "./allowed.ts";
import {
  arg,
  type BuiltinTools,
  type CallNode,
  flag,
  memoryArgType,
  numberArg,
  options,
  requireOwn,
  typeArg,
} from "./arguments.ts";
import { inlineAsm } from "./asm.ts";
import { CALLBACKS } from "./callbacks.ts";
import { callHelper } from "./calls.ts";
import { type Context, refuse } from "./context.ts";
import { cast, describe, toScalar } from "./convert.ts";
import { PT_REGS } from "./ctx.ts";
import { encodeValue, requireWritable, textData } from "./data.ts";
import { DYNPTR, kernelArg } from "./handles.ts";
import { restoreParsed, saveParsed } from "./handover.ts";
import { headerLinks } from "./headers.ts";
import { helperForm, helperForms } from "./helpers.ts";
import { FLOW_KEYS, SOCKET, SPIN_LOCK, TCP_SOCKET, TIMER } from "./kernel.ts";
import { isKernelStruct, KERNEL_STRUCT_FORMS, viewKernel } from "./kernelstruct.ts";
import { callKfunc, kfuncForms } from "./kfuncs.ts";
import { makeMap } from "./mapcalls.ts";
import { MAP_FORMS } from "./maps.ts";
import { allocate, copyBytes, equalBytes } from "./memory.ts";
import { PROGRAM_FORMS, PROGRAM_NAMESPACES, type ProgramForm } from "./programs.ts";
import { moduleOf } from "./scope.ts";
import type { ProgramDecl, RefVal, Val } from "./values.ts";

const TRACE_PRINTK = 6;
const SEQ_PRINTF = 126;

type Builtin = (cx: Context, call: CallNode, tools: BuiltinTools) => Val;

/** A name of `ebplane/bpf`: a value, or undefined when there is no such name. */
export function builtin(name: string): Val | undefined {
  const scalar = SCALARS.get(name);
  if (scalar) return { k: "type", type: scalar };
  if (name === "address") return { k: "type", type: ADDRESS };
  const struct = KERNEL_STRUCTS.get(name);
  if (struct) return { k: "type", type: struct };
  if (PROGRAM_FORMS.has(name)) return { k: "builtin", name };
  if (PROGRAM_NAMESPACES.has(name)) return { k: "namespace", name };
  return BUILTINS.has(name) ||
    KERNEL_STRUCT_FORMS.has(name) ||
    CALLBACKS.has(name) ||
    kfuncForms().has(name) ||
    MAP_FORMS.has(name) ||
    helperForm(name)
    ? { k: "builtin", name }
    : undefined;
}

/** All names of `ebplane/bpf` that the compiler itself answers. */
export function builtinNames(): string[] {
  const tables = [
    SCALARS,
    KERNEL_STRUCTS,
    PROGRAM_FORMS,
    BUILTINS,
    KERNEL_STRUCT_FORMS,
    CALLBACKS,
    kfuncForms(),
    MAP_FORMS,
  ];
  return [...tables.flatMap((t) => [...t.keys()]), ...PROGRAM_NAMESPACES, ...helperForms().keys()];
}

export function callBuiltin(cx: Context, name: string, call: CallNode, tools: BuiltinTools): Val {
  const known = BUILTINS.get(name);
  if (known) return known(cx, call, tools);
  const form = PROGRAM_FORMS.get(name);
  if (form) return makeProgram(cx, form, call);
  if (MAP_FORMS.has(name)) return makeMap(cx, name, call);
  if (kfuncForms().has(name)) return callKfunc(cx, name, call);
  if (KERNEL_STRUCT_FORMS.has(name)) return KERNEL_STRUCT_FORMS.get(name)!(cx, call, tools);
  if (CALLBACKS.has(name)) return CALLBACKS.get(name)!(cx, call, tools);
  return callHelper(cx, name, call, tools);
}

// ---- types ----

function makeStruct(form: StructType["form"]): Builtin {
  return (cx, call) => {
    const e = call.args[0];
    if (e?.kind !== "object") return refuse(cx, e?.at ?? call.at, `write the fields in braces: ${form}({ a: u32, … })`);
    const members: { name: string; type: MemType }[] = [];
    for (const p of e.props) {
      if (p.name === undefined) refuse(cx, p.at, "spread is not in the language here: name the fields");
      const v = cx.expr(p.value);
      if (v.k !== "type") refuse(cx, p.value.at, `field ${p.name}: expected a type, got ${describe(v)}`);
      if (members.some((m) => m.name === p.name)) refuse(cx, p.at, `field ${p.name} is there twice`);
      const { type } = v as Val & { k: "type" };
      requireOwn(cx, type, p.value.at);
      members.push({ name: p.name!, type });
    }
    if (!members.length) refuse(cx, e.at, "a struct needs at least one field");
    let length: StructType["length"];
    let links: StructType["links"];
    let packed = false;
    const second = call.args[1];
    if (second) {
      const o = options(cx, second, form === "header" ? ["length", "next", "is"] : ["packed"]);
      packed = flag(o.get("packed"));
      const l = o.get("length");
      if (l && l.k !== "fn") refuse(cx, second.at, "length: expected a function of the header");
      if (l?.k === "fn") length = { fn: l.fn, scope: l.scope };
      if (o.has("next") || o.has("is")) links = headerLinks(cx, o.get("next"), o.get("is"), second.at);
    }
    return { k: "type", type: layoutStruct("", form, members, packed, length, links) };
  };
}

/** `protocols(be16)`: a space of numbers that announce headers. */
const protocols: Builtin = (cx, call) => {
  const type = typeArg(cx, call, 0);
  if (type.kind === "int" && !type.signed) return { k: "space", space: { name: "", type } };
  return refuse(cx, call.at, "protocols: expected an unsigned type (u8, be16 …)");
};

const repeated: Builtin = (cx, call) => {
  const type = typeArg(cx, call, 0);
  const most = numberArg(cx, call, 1, "how many there are at most");
  if (type.kind !== "struct" || type.form !== "header")
    return refuse(cx, call.args[0]!.at, "repeat: expected a header");
  if (most < 1 || most > 16) refuse(cx, call.args[1]!.at, `repeat: expected 1 to 16 of them, got ${most}`);
  return { k: "repeat", type, most };
};

/** `tuple(be32, be16)`: a struct whose fields are known by their places, `[addr, port]`. */
const tuple: Builtin = (cx, call) => {
  if (!call.args.length) refuse(cx, call.at, "a tuple needs at least one item");
  const members = call.args.map((e, k) => {
    const type = memoryArgType(cx, call, k);
    if (type.kind === "bits") refuse(cx, e.at, "bit fields are in structs: name them");
    return { name: itemName(k), type };
  });
  return { k: "type", type: layoutStruct("", "struct", members, false, undefined) };
};

/** The same struct under its name. */
export function nameType(type: MemType, name: string): MemType {
  if (type.kind === "struct" && !type.name) (type as { name: string }).name = name;
  return type;
}

const arrayOf: Builtin = (cx, call) => {
  const element = typeArg(cx, call, 0);
  return { k: "type", type: makeArray(cx, element, numberArg(cx, call, 1, "the length"), call.at) };
};

function makeArray(cx: Context, element: MemType, length: number, at: number): ArrayType {
  if (length < 1 || length > 65536) refuse(cx, at, `an array has 1 to 65536 elements, got ${length}`);
  return { kind: "array", element, length };
}

// ---- byte order ----

function swap(type: IntType, toNet: boolean): Builtin {
  return (cx, call) => {
    const v = arg(cx, call, 0, "the value");
    const net: IntType = { ...type, be: true };
    const host: IntType = { ...type, be: false };
    return toNet
      ? toBe(cx, v, net, call.at)
      : { k: "int", type: host, v: swapBits(cx, type, toScalar(cx, v, net, call.at)) };
  };
}

export function toBe(cx: Context, v: Val, net: IntType, at: number): Val {
  const host: IntType = { ...net, be: false };
  return { k: "int", type: net, v: swapBits(cx, net, toScalar(cx, v, host, at)) };
}

function swapBits(cx: Context, type: IntType, v: Insn): Insn {
  return cx.b.bswap(type.bits as 16 | 32 | 64, v);
}

const raw: Builtin = (cx, call) => {
  const v = arg(cx, call, 0, "the value");
  if (v.k !== "int" || v.type.kind !== "int" || !v.type.be) {
    return refuse(cx, call.at, `raw: expected be16, be32 or be64, got ${describe(v)}`);
  }
  return { k: "int", type: { ...v.type, be: false }, v: v.v };
};

function asBe(bits: 16 | 32 | 64): Builtin {
  return (cx, call) => {
    const type: IntType = { kind: "int", bits, signed: false, be: false, loose: false };
    const net: IntType = { ...type, be: true };
    const v = arg(cx, call, 0, "the bits");
    // `asBe32(a & b)`: TypeScript itself takes a masked network value for a plain number.
    if (v.k === "int" && v.type.kind === "int" && v.type.be && v.type.bits === bits) return v;
    return { k: "int", type: net, v: toScalar(cx, v, type, call.at) };
  };
}

const ip4: Builtin = (cx, call) => {
  const v = arg(cx, call, 0, "the address");
  const parts = v.k === "string" ? v.value.split(".") : [];
  const ok = parts.length === 4 && parts.every((p) => /^(0|[1-9]\d{0,2})$/.test(p) && Number(p) < 256);
  if (!ok) refuse(cx, call.at, `ip4: expected an IPv4 address like "10.0.0.1"`);
  const bits = parts.reduceRight((sum, p) => (sum << 8n) | BigInt(p), 0n);
  return { k: "int", type: SCALARS.get("be32") as IntType, v: constant(bits) };
};

// ---- memory ----

function sameKind(cx: Context, call: CallNode): [RefVal, RefVal] {
  const [a, b] = [arg(cx, call, 0, "the first value"), arg(cx, call, 1, "the second value")];
  for (const [k, v] of [a, b].entries()) {
    if (v.k !== "ref" || v.nullable) refuse(cx, call.args[k]!.at, `expected a struct or an array, got ${describe(v)}`);
  }
  const [x, y] = [a as RefVal, b as RefVal];
  if (sizeOf(x.type) !== sizeOf(y.type)) {
    refuse(cx, call.at, `the sizes differ: ${sizeOf(x.type)} and ${sizeOf(y.type)} bytes`);
  }
  return [x, y];
}

const equal: Builtin = (cx, call) => {
  const [a, b] = sameKind(cx, call);
  return { k: "int", type: BOOL, v: equalBytes(cx, a, b, sizeOf(a.type)) };
};

const copy: Builtin = (cx, call) => {
  const [to, from] = sameKind(cx, call);
  requireWritable(cx, to.region, call.at);
  copyBytes(cx, to, from, sizeOf(to.type));
  return { k: "void" };
};

function atomic(code: number): Builtin {
  return (cx, call, tools) => {
    const e = call.args[0];
    if (!e) return refuse(cx, call.at, "the place is missing");
    const p = tools.place(e);
    const t = p.type;
    if (t.kind !== "int" || t.be || (t.bits !== 32 && t.bits !== 64) || p.bit) {
      return refuse(cx, e.at, "expected a u32, i32, u64 or i64 in memory");
    }
    requireWritable(cx, p.region, call.at);
    const v = toScalar(cx, arg(cx, call, 1, "the value"), t, call.at);
    cx.b.atomic((t.bits / 8) as 4 | 8, code, p.address, v, p.off, p.region);
    return { k: "void" };
  };
}

/** `table(Element, [ … ])`: constant data that a program indexes at run time. */
const table: Builtin = (cx, call) => {
  if (cx.program) refuse(cx, call.at, "declare tables at the top level of the file");
  const element = memoryArgType(cx, call, 0);
  const values = arg(cx, call, 1, "the values");
  if (values.k !== "record" || !values.tuple) {
    return refuse(cx, call.at, `table: expected the values in brackets, got ${describe(values)}`);
  }
  const type = makeArray(cx, element, values.fields.size, call.at);
  const bytes = new Uint8Array(sizeOf(type));
  const node = call.args[1]!;
  const items = node.kind === "array" ? node.items : [];
  for (const [k, v] of values.fields) {
    encodeValue(cx, bytes, Number(k) * sizeOf(element), element, v, items[Number(k)]?.at ?? call.at);
  }
  return {
    k: "data",
    type,
    object: { id: cx.nextId++, name: "", section: RODATA, type, bytes, align: Math.max(8, alignOf(element)) },
  };
};

/** `printk("text %d", x)`: a line in the kernel's trace, with up to three numbers. */
const printk: Builtin = (cx, call) => {
  const text = arg(cx, call, 0, "the text");
  if (text.k !== "string") return refuse(cx, call.at, `printk: expected the text in quotes, got ${describe(text)}`);
  requireHelper(cx, "printk", HELPERS.get(TRACE_PRINTK)!, call.at);
  const numbers = call.args.slice(1);
  if (numbers.length > 3) refuse(cx, numbers[3]!.at, `printk takes up to 3 numbers, got ${numbers.length}`);
  const object = textData(cx, text.value, call.at);
  const values = numbers.map((e) => printed(cx, e));
  cx.b.call(TRACE_PRINTK, [cx.b.data(object), constant(BigInt(object.bytes.length)), ...values], {});
  return { k: "void" };
};

/** A number as the kernel's formats take it: 64 bits wide. */
function printed(cx: Context, e: Expr): Insn {
  const v = cx.expr(e);
  if (v.k === "lit") return constant(v.value);
  const t = v.k === "int" && v.type.kind === "int" ? v.type : U32;
  const r = toScalar(cx, v, t, e.at);
  return t.signed && t.bits < 64 ? cx.b.sext(32, 64, r) : r;
}

/** `seqPrintf(seq, "text %d", x)`: a line of what is read from an iterator, with up to twelve numbers. */
const seqPrintf: Builtin = (cx, call) => {
  const helper = HELPERS.get(SEQ_PRINTF)!;
  requireHelper(cx, "seqPrintf", helper, call.at);
  const seq = kernelArg(cx, arg(cx, call, 0, "the file"), "seq_file", "the file", call.at);
  const text = arg(cx, call, 1, "the text");
  if (text.k !== "string") return refuse(cx, call.at, `seqPrintf: expected the text in quotes, got ${describe(text)}`);
  const numbers = call.args.slice(2);
  if (numbers.length > 12) refuse(cx, numbers[12]!.at, `seqPrintf takes up to 12 numbers, got ${numbers.length}`);
  const values = numbers.map((e) => printed(cx, e));
  const object = textData(cx, text.value, call.at);
  const list = values.length
    ? allocate(cx, "numbers", { kind: "array", element: U64, length: values.length })
    : undefined;
  for (const [k, v] of values.entries()) cx.b.store(8, list!.address, v, k * 8, list!.region);
  const data = [list?.address ?? constant(0n), constant(BigInt(values.length * 8))];
  cx.b.call(SEQ_PRINTF, [seq, cx.b.data(object), constant(BigInt(object.bytes.length)), ...data], {});
  return { k: "void" };
};

// ---- configuration, programs, maps ----

const config: Builtin = (cx, call) => {
  const name = arg(cx, call, 0, "the name");
  if (name.k !== "string") return refuse(cx, call.at, `config: expected the name in quotes: config("NAME", 1)`);
  const fallback = arg(cx, call, 1, "the default");
  const file = moduleOf(cx.scope).node.source.name;
  const own = cx.settings.get(file)?.constants?.[name.value];
  const value = configured(cx, call, name.value, fallback, own);
  return cx.kept ? kept(cx, own === undefined ? name.value : ownConstant(file, name.value), value, call.at) : value;
};

/** The constant in memory, where a loader may still set it. */
function kept(cx: Context, name: string, value: Val, at: number): Val {
  const type =
    value.k === "int" ? value.type : value.k === "lit" && value.big ? { ...U64, loose: true } : { ...U32, loose: true };
  let object = cx.kept!.get(name);
  if (!object) {
    const size = sizeOf(type);
    object = { id: cx.nextId++, name, section: RODATA, type, bytes: new Uint8Array(size), align: size, settable: true };
    encodeValue(cx, object.bytes, 0, type, value, at);
    cx.kept!.set(name, object);
  }
  return { k: "setting", object, type, value };
}

function configured(
  cx: Context,
  call: CallNode,
  name: string,
  fallback: Val,
  own: number | bigint | boolean | undefined,
): Val {
  const given = own ?? cx.constants[name];
  if (given === undefined) return known(cx, fallback, call.at, name);
  const file = moduleOf(cx.scope).node.source.name;
  cx.usedConstants.set(own === undefined ? name : ownConstant(file, name), given);
  const isBool = fallback.k === "int" && fallback.type.kind === "bool";
  if (isBool !== (typeof given === "boolean")) {
    refuse(cx, call.at, `constant ${name}: expected a ${isBool ? "boolean" : "number"}, got ${String(given)}`);
  }
  if (typeof given === "boolean") return { k: "int", type: BOOL, v: constant(given ? 1n : 0n) };
  if (typeof given === "number" && !Number.isInteger(given)) {
    refuse(cx, call.at, `constant ${name}: expected an integer, got ${given}`);
  }
  const value = BigInt(given);
  if (fallback.k === "lit") return { k: "lit", value, big: fallback.big, given: true };
  const type = (fallback as Val & { k: "int" }).type as IntType;
  const host: Val = { k: "lit", value, big: type.bits === 64 };
  if (type.be) return toBe(cx, host, type, call.at);
  return { k: "int", type, v: toScalar(cx, host, type, call.at) };
}

/** How the receipt names a constant that was given for one file. */
export function ownConstant(file: string, name: string): string {
  return `${file}:${name}`;
}

function known(cx: Context, v: Val, at: number, name: string): Val {
  if (v.k === "lit" || (v.k === "int" && v.v.op === "const")) return v;
  return refuse(cx, at, `constant ${name}: the default must be a number or a boolean known at compile time`);
}

const license: Builtin = (cx, call) => {
  const v = arg(cx, call, 0, "the licence");
  if (v.k !== "string") return refuse(cx, call.at, `expected the licence in quotes: license("GPL")`);
  cx.license = v.value;
  return { k: "void" };
};

function makeProgram(cx: Context, form: ProgramForm, call: CallNode): Val {
  const own = form.target ? 1 : 0;
  const target = form.target ? arg(cx, call, 0, "the name of what to attach to") : undefined;
  if (target && target.k !== "string") {
    return refuse(cx, call.at, `expected what to attach to in quotes ("sched/sched_switch"), got ${describe(target)}`);
  }
  const run = arg(cx, call, own, "the function");
  if (run.k !== "fn") return refuse(cx, call.at, `expected a function of ctx, got ${describe(run)}`);
  const o = options(cx, call.args[own + 1], form.frags ? ["section", "frags"] : ["section"]);
  const section = o.get("section");
  const frags = flag(o.get("frags")) ? form.frags : undefined;
  const attachTo = target?.k === "string" ? target.value : undefined;
  const decl: ProgramDecl = {
    at: call.at,
    run,
    type: form.type,
    attachType: form.attachType,
    section: section?.k === "string" ? section.value : (frags?.section ?? form.section) + (attachTo ?? ""),
    flags: frags?.flags ?? 0,
    attachTo,
  };
  return { k: "program", program: decl };
}

/** `subprog(fn)`, `subprog.global(fn)`. */
export function makeSubprogram(cx: Context, call: CallNode, global: boolean): Val {
  const run = arg(cx, call, 0, "the function");
  if (run.k !== "fn") return refuse(cx, call.at, `subprog: expected a function, got ${describe(run)}`);
  if (cx.program) refuse(cx, call.at, "declare subprograms at the top level of the file");
  return { k: "subprog", run, global, name: "" };
}

export function callNamespace(cx: Context, namespace: string, name: string, call: CallNode): Val {
  const form = PROGRAM_FORMS.get(`${namespace}.${name}`);
  if (form) return makeProgram(cx, form, call);
  const names = [...PROGRAM_FORMS.keys()].filter((n) => n.startsWith(`${namespace}.`));
  return refuse(cx, call.at, `there is no ${namespace}.${name}: there is ${names.join(", ")}`);
}

/** Structs of the kernel's that annotations name. */
const KERNEL_STRUCTS = new Map<string, StructType>([
  ...[SOCKET, TCP_SOCKET, FLOW_KEYS, PT_REGS].map((t): [string, StructType] => [t.name, t]),
  ["bpfSpinLock", SPIN_LOCK],
  ["bpfTimer", TIMER],
  ["Dynptr", DYNPTR],
]);

/** `address`: a pointer of the kernel's, as a number. */
const ADDRESS: MemType = { kind: "pointer", to: undefined };

const BUILTINS = new Map<string, Builtin>([
  ["struct", makeStruct("struct")],
  ["union", makeStruct("union")],
  ["header", makeStruct("header")],
  ["tuple", tuple],
  ["arrayOf", arrayOf],
  ["protocols", protocols],
  ["repeat", repeated],
  ["saveParsed", (cx, call) => saveParsed(cx, arg(cx, call, 0, "ctx"), arg(cx, call, 1, "the parse result"), call.at)],
  ["restoreParsed", (cx, call) => restoreParsed(cx, arg(cx, call, 0, "ctx"), arg(cx, call, 1, "the headers"), call.at)],
  ["bytes", (cx, call) => ({ k: "type", type: makeArray(cx, U8, numberArg(cx, call, 0, "the length"), call.at) })],
  [
    "bits",
    (cx, call) => {
      const width = numberArg(cx, call, 0, "the width");
      if (width < 1 || width > 32) refuse(cx, call.at, `a bit field has 1 to 32 bits, got ${width}`);
      return { k: "type", type: { kind: "bits", width } };
    },
  ],
  ["htons", swap(SCALARS.get("be16") as IntType, true)],
  ["htonl", swap(SCALARS.get("be32") as IntType, true)],
  ["htonll", swap(SCALARS.get("be64") as IntType, true)],
  ["ntohs", swap(SCALARS.get("be16") as IntType, false)],
  ["ntohl", swap(SCALARS.get("be32") as IntType, false)],
  ["ntohll", swap(SCALARS.get("be64") as IntType, false)],
  ["raw", raw],
  ["asBe16", asBe(16)],
  ["asBe32", asBe(32)],
  ["asBe64", asBe(64)],
  ["ip4", ip4],
  ["equal", equal],
  ["copy", copy],
  ["sizeOf", (cx, call) => ({ k: "lit", value: BigInt(sizeOf(typeArg(cx, call, 0))), big: false })],
  [
    "range",
    (cx, call) => {
      if (!call.args[0]) return refuse(cx, call.at, "range wants an end: range(8), or range(2, 8)");
      const first = cx.expr(call.args[0]);
      const second = call.args[1] ? cx.expr(call.args[1]) : undefined;
      return { k: "range", start: second ? first : { k: "lit", value: 0n, big: false }, end: second ?? first };
    },
  ],
  ["table", table],
  ["printk", printk],
  ["seqPrintf", seqPrintf],
  ["asm", inlineAsm],
  ["subprog", (cx, call) => makeSubprogram(cx, call, false)],
  ["config", config],
  ["license", license],
  ["atomicAdd", atomic(0x00)],
  ["atomicOr", atomic(0x40)],
  ["atomicAnd", atomic(0x50)],
]);

/** `u8(x)`, `be16(x)`, `Key({…})`: a type called. */
export function callType(cx: Context, type: MemType, call: CallNode, tools: BuiltinTools): Val {
  if (isKernelStruct(type)) return viewKernel(cx, type, call);
  if (type.kind === "struct") return tools.construct(type, call.args[0], call.at);
  if (type.kind !== "int") return refuse(cx, call.at, `${type.kind} cannot be called`);
  const v = arg(cx, call, 0, "the value");
  return type.be ? toBe(cx, v, type, call.at) : cast(cx, v, type, call.at);
}
