/** Calls of helpers by their names: each argument as the helper table says, sizes of memory filled in. */
import type { HelperArg } from "@ebplane/core/object";
import { type IntType, isTuple, type MemType, sizeOf, U64 } from "../check/index.ts";
import { constant, type Insn } from "../ir/index.ts";
import { type Expr, nameOf } from "../parse/index.ts";
import { requireHelper } from "./allowed.ts";
import { type BuiltinTools, type CallNode, requireOwn } from "./arguments.ts";
import { type Context, refuse } from "./context.ts";
import { describe, pointer, toScalar } from "./convert.ts";
import { requireWritable, textData } from "./data.ts";
import { isDynptr, kernelArg, makeDynptr } from "./handles.ts";
import { changesContext, type HelperForm, helperForm, isFilledIn, isSize, PURE } from "./helpers.ts";
import { SOCKET, TCP_SOCKET } from "./kernel.ts";
import { trusted } from "./kernelstruct.ts";
import type { MapDecl } from "./maps.ts";
import { addressOf } from "./memory.ts";
import { reloadPacket } from "./packet.ts";
import type { RefVal, Val } from "./values.ts";

/** A key or a value as memory of the type: a struct, its fields in braces, or a number. */
export function memoryArg(cx: Context, e: Expr, type: MemType, what: string, tools: BuiltinTools): Insn {
  const literal = (e.kind === "object" && type.kind === "struct") || (e.kind === "array" && isTuple(type));
  const v = literal ? tools.construct(type, e, e.at) : cx.expr(e);
  return addressOf(cx, v, type, what, e.at);
}

/** What the arguments of one call come to. */
interface Gathered {
  readonly args: Insn[];
  readonly writes: number[];
  map: MapDecl | undefined;
  /** The dynptr that it makes. */
  made?: RefVal;
  /** The type that the result is seen as. */
  seen?: MemType;
  /** Place of the call. */
  readonly at: number;
}

export function callHelper(cx: Context, name: string, call: CallNode, tools: BuiltinTools): Val {
  const form = helperForm(name, cx.program?.type)!;
  const { helper } = form;
  const { b } = cx;
  requireHelper(cx, name, helper, call.at);
  const got: Gathered = { args: [], writes: [], map: undefined, at: call.at };
  let given = 0;
  for (const [k, spec] of helper.args.entries()) {
    if (isFilledIn(spec)) {
      if (spec.kind === "dynptr") got.args.push((got.made = makeDynptr(cx)).address);
      continue;
    }
    const e = call.args[given++];
    // Flags at the end may be left out.
    if (!e && spec.kind === "any" && k > 0 && helper.args.slice(k + 1).every(isFilledIn)) {
      got.args.push(constant(0n));
      continue;
    }
    if (!e)
      return refuse(
        cx,
        call.at,
        `${name} has ${form.names.filter(Boolean).length} arguments (${words(form)}): ${form.names[k]} is missing`,
      );
    if (spec.kind === "mem") memory(cx, e, spec, form, k, got);
    else got.args.push(single(cx, e, spec, form, k, got, tools));
  }
  if (given < call.args.length) {
    refuse(cx, call.args[given]!.at, `${name} has ${given} arguments (${words(form)}), got ${call.args.length}`);
  }
  const { args, writes, map } = got;
  const changed = map ? { map: map.value ? map.name : true } : helper.name === "dynptr_write" ? { map: true } : {};
  b.at = call.at;
  // What goes through a dynptr may be the packet, which the kernel may move then.
  const moves = helper.changesPacket || (helper.name === "dynptr_write" && cx.packet !== undefined);
  const context = changesContext(helper);
  const r = b.call(helper.id, args, { packet: moves, context, writes, pure: PURE.has(helper.name), ...changed });
  if (moves) reloadPacket(cx);
  return got.made ?? resultOf(form, r, cx, got);
}

function words(form: HelperForm): string {
  return form.names.filter(Boolean).join(", ");
}

function resultOf(form: HelperForm, r: Insn, cx: Context, { map, seen }: Gathered): Val {
  const { result } = form;
  const { kind, orNull } = form.helper.result;
  switch (kind) {
    case "void":
      return { k: "void" };
    case "value": {
      const region = { kind: "map", name: map?.name ?? "" } as const;
      return { k: "ref", type: map!.value!, address: r, off: 0, region, nullable: orNull };
    }
    case "btf":
      return trusted(form.helper.result.of, r, orNull);
    case "dynptrMem":
      return { k: "ref", type: seen!, address: r, off: 0, region: { kind: "any" }, nullable: orNull };
    case "socket":
    case "sockCommon":
    case "tcpSock": {
      const type = kind === "tcpSock" ? TCP_SOCKET : SOCKET;
      return { k: "ref", type, address: r, off: 0, region: { kind: "kernel" }, nullable: orNull };
    }
    default:
      return { k: "int", type: result, v: result.bits === 64 ? r : cx.b.zext(32, r) };
  }
}

/** Memory, with how many bytes of it: the whole object, or `[object, bytes]`. */
function memory(cx: Context, e: Expr, spec: HelperArg, form: HelperForm, k: number, got: Gathered): void {
  const { helper } = form;
  const next = helper.args[k + 1];
  const sized = next !== undefined && isSize(next);
  const given = cx.expr(e);
  const pair = sized && given.k === "record" && given.tuple && given.fields.size === 2 ? given.fields : undefined;
  const v = pair?.get("0") ?? given;
  if (v.k === "undef" && spec.orNull) {
    got.args.push(constant(0n), ...(sized ? [constant(0n)] : []));
    return;
  }
  if (v.k !== "ref" || v.nullable) {
    refuse(cx, e.at, `${form.names[k]}: expected a struct or an array, got ${describe(v)}`);
    return;
  }
  if (v.region.kind === "packet" && !helper.packetAccess) {
    refuse(cx, e.at, `${form.names[k]}: the helper cannot read the packet itself: copy it to the stack first`);
  }
  if (spec.size > sizeOf(v.type)) {
    refuse(cx, e.at, `${form.names[k]}: expected at least ${spec.size} bytes, got ${describe(v)} of ${sizeOf(v.type)}`);
  }
  if (spec.access !== "read") {
    requireWritable(cx, v.region, e.at);
    got.writes.push(got.args.length);
  }
  got.args.push(pointer(cx, v));
  if (!sized) return;
  const bytes = pair?.get("1");
  if (bytes?.k === "lit" && bytes.value > BigInt(sizeOf(v.type))) {
    refuse(cx, e.at, `${bytes.value} bytes are more than the ${sizeOf(v.type)} of ${describe(v)}`);
  }
  if (bytes?.k === "int" && e.kind === "array") {
    const site = { memory: nameOf(e.items[0]!), bytes: nameOf(e.items[1]!), size: sizeOf(v.type) };
    cx.sizeSites.set(got.at, site);
  }
  got.args.push(bytes ? number(cx, bytes, { ...U64, bits: 32, loose: false }, e.at) : constant(BigInt(sizeOf(v.type))));
}

function single(
  cx: Context,
  e: Expr,
  spec: HelperArg,
  form: HelperForm,
  k: number,
  got: Gathered,
  tools: BuiltinTools,
): Insn {
  const what = form.names[k]!;
  if (spec.kind === "key" || spec.kind === "value") {
    if (spec.orNull && e.kind === "undefined") return constant(0n);
    const type = spec.kind === "key" ? got.map?.key : got.map?.value;
    if (!type) return refuse(cx, e.at, `${what}: the map has no ${spec.kind}s of a type`);
    if (spec.access !== "read") got.writes.push(got.args.length);
    return memoryArg(cx, e, type, what, tools);
  }
  const v = cx.expr(e);
  switch (spec.kind) {
    case "ctx":
      if (v.k === "undef" && spec.orNull) return constant(0n);
      return v.k === "ctx" ? cx.ctx! : refuse(cx, e.at, `expected ctx, got ${describe(v)}`);
    case "map":
      if (v.k !== "map") return refuse(cx, e.at, `${what}: expected a map, got ${describe(v)}`);
      if (!v.map.name) refuse(cx, e.at, "give the map a name: export const name = …");
      got.map = v.map;
      return cx.b.map(v.map.name);
    case "sock":
    case "sockCommon":
      if (v.k === "undef" && spec.orNull) return constant(0n);
      if (!isSocket(v)) return refuse(cx, e.at, `${what}: expected a Socket, got ${describe(v)}`);
      return pointer(cx, v);
    case "btf":
      if (v.k === "undef" && spec.orNull) return constant(0n);
      return kernelArg(cx, v, spec.of, what, e.at);
    case "dynptr":
      return isDynptr(v) ? pointer(cx, v) : refuse(cx, e.at, `${what}: expected a Dynptr, got ${describe(v)}`);
    case "allocSize":
      if (v.k !== "type")
        return refuse(cx, e.at, `${what}: expected a type (a struct, bytes(4) …), got ${describe(v)}`);
      requireOwn(cx, v.type, e.at);
      got.seen = v.type;
      return constant(BigInt(sizeOf(v.type)));
    case "str":
      if (v.k !== "string") return refuse(cx, e.at, `${what}: expected a text in quotes, got ${describe(v)}`);
      return cx.b.data(textData(cx, v.value, e.at));
    case "any":
    case "scalar":
      return number(cx, v, form.types[k]!, e.at);
    default:
      return refuse(cx, e.at, `${what}: this helper is not in the language yet`);
  }
}

function isSocket(v: Val): v is RefVal {
  return v.k === "ref" && !v.nullable && (v.type === SOCKET || v.type === TCP_SOCKET);
}

/** A number in an argument's register: 64 bits wide, as the kernel takes it. */
function number(cx: Context, v: Val, type: IntType, at: number): Insn {
  if (type.be) return toScalar(cx, v, type, at);
  const signed = v.k === "lit" ? v.value < 0n : v.k === "int" && v.type.kind === "int" && v.type.signed;
  const wide = type.bits === 64;
  // A literal of a 64-bit argument may be written without n where it is a constant of the library.
  const given: Val = v.k === "lit" ? { ...v, big: wide } : v;
  if (wide && v.k === "int" && v.type.kind === "int" && v.type.bits < 64 && !v.type.be && v.v.op === "const")
    return v.v;
  const r = toScalar(
    cx,
    given,
    wide ? { ...U64, signed: type.signed } : { ...type, signed: type.signed || signed },
    at,
  );
  return !wide && (type.signed || signed) ? cx.b.sext(32, 64, r) : r;
}
