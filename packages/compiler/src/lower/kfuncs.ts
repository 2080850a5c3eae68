/**
 * Kernel functions as functions: `bpf_ct_release` is `ctRelease(ct)`. Those of the one kfunc table whose arguments the
 * language has; objects of the program's own, lists, trees, arenas and locks of theirs are not among them.
 */
import { CORE_RELO } from "@ebplane/core/btf";
import { KFUNC_PROTOS, KFUNCS, type Kfunc, type KfuncArg, kernelCtx } from "@ebplane/core/object";
import { I32, type IntType, type MemType, SCALARS, type ScalarType, sizeOf, U64 } from "../check/index.ts";
import { constant, type Insn } from "../ir/index.ts";
import type { Expr } from "../parse/index.ts";
import { requireKfunc } from "./allowed.ts";
import { type CallNode, requireOwn, typeArg } from "./arguments.ts";
import { type Context, refuse } from "./context.ts";
import { describe, pointer, toScalar } from "./convert.ts";
import { requireWritable, textData } from "./data.ts";
import { DYNPTR, isDynptr, kernelArg, makeDynptr } from "./handles.ts";
import { camelCase } from "./helpers.ts";
import { isKernelStruct, trusted } from "./kernelstruct.ts";
import { allocate } from "./memory.ts";
import { reloadPacket } from "./packet.ts";
import type { RefVal, Val } from "./values.ts";

const TAKEN = new Set([
  "ctx",
  "scalar",
  "constant",
  "mem",
  "size",
  "constantSize",
  "dynptr",
  "btf",
  "str",
  "unchecked",
  "hidden",
]);
const GIVEN = new Set(["scalar", "void", "btf", "kernCtx", "cast"]);
/** What they give is a pointer into the dynptr, or memory of the program's: seen as a type that the program names. */
const SLICES = new Set(["bpf_dynptr_slice", "bpf_dynptr_slice_rdwr"]);

/** A kernel function as a program sees it. */
export interface KfuncForm {
  readonly kfunc: Kfunc;
  /** By argument register; "" for what the compiler fills in. */
  readonly names: readonly string[];
  /** Of numbers; undefined for pointers. */
  readonly types: readonly (IntType | undefined)[];
  readonly result: ScalarType;
}

/** The compiler fills it in: a size, what the kernel wants as 0, the place of a new dynptr, a slice's own buffer. */
export function isFilledIn(kfunc: Kfunc, k: number): boolean {
  const a = kfunc.args[k]!;
  if (SLICES.has(kfunc.name)) return a.kind === "mem";
  return a.kind === "size" || a.kind === "constantSize" || a.kind === "hidden" || a.uninit;
}

/** `buffer__opt` says to the kernel what it is, `skb_` is a name beside another: neither is for a program. */
function plainName(name: string): string {
  return camelCase(name.replace(/__\w+$|_+$/, "").replace(/^_+/, ""));
}

function formOf(kfunc: Kfunc): KfuncForm {
  const proto = KFUNC_PROTOS.get(kfunc.name)!;
  const slices = SLICES.has(kfunc.name);
  const names = kfunc.args.map((a, k) => {
    if (slices && a.kind === "constantSize") return "type";
    if (a.kind === "ctx") return "ctx";
    return isFilledIn(kfunc, k) ? "" : plainName(proto.params[k]!.name);
  });
  const types = proto.params.map(({ type }) => {
    const scalar = SCALARS.get(type.startsWith("enum") ? "u32" : type);
    return scalar?.kind === "int" ? scalar : undefined;
  });
  return { kfunc, names, types, result: SCALARS.get(proto.result) ?? I32 };
}

const BY_NAME = new Map<string, KfuncForm>();
for (const k of KFUNCS.values()) {
  // Exceptions are not in the language, and `throw` is no name; what pairs without a value is not checked yet.
  if (/^bpf_(throw|rcu_read_|preempt_)/.test(k.name) || k.iter) continue;
  const known = SLICES.has(k.name) || GIVEN.has(k.result.kind);
  if (!known || !k.args.length || !k.args.every((a) => TAKEN.has(a.kind) && !(a.uninit && a.kind !== "dynptr")))
    continue;
  BY_NAME.set(camelCase(k.name.replace(/^bpf_/, "")), formOf(k));
}

/** Those that a program calls by their names. */
export function kfuncForms(): ReadonlyMap<string, KfuncForm> {
  return BY_NAME;
}

/** What one call comes to. */
interface Gathered {
  readonly args: Insn[];
  /** Arguments whose memory it may change. */
  readonly writes: number[];
  /** The dynptr that it makes. */
  made: RefVal | undefined;
  /** The type that the result is seen as. */
  seen: MemType | undefined;
}

export function callKfunc(cx: Context, name: string, call: CallNode): Val {
  const form = BY_NAME.get(name)!;
  const { kfunc } = form;
  requireKfunc(cx, name, kfunc, call.at);
  const got: Gathered = { args: [], writes: [], made: undefined, seen: undefined };
  let given = 0;
  for (const [k, spec] of kfunc.args.entries()) {
    if (isFilledIn(kfunc, k)) {
      fillIn(cx, spec, got);
      continue;
    }
    const e = call.args[given];
    // Flags may be left out; so may a slice's type not.
    if (!e && form.names[k] === "flags") {
      got.args.push(constant(0n));
      continue;
    }
    if (!e) return refuse(cx, call.at, `${name} has ${words(form)}: ${form.names[k]} is missing`);
    given++;
    if (SLICES.has(kfunc.name) && spec.kind === "constantSize") continue;
    argument(cx, form, k, spec, e, call, got);
  }
  if (SLICES.has(kfunc.name)) {
    given++;
    slice(cx, call, got);
  }
  if (given < call.args.length) {
    refuse(cx, call.args[given]!.at, `${name} has ${words(form)}, got ${call.args.length} arguments`);
  }
  cx.externals.set(kfunc.name, { name: kfunc.name, proto: KFUNC_PROTOS.get(kfunc.name)! });
  cx.b.at = call.at;
  const moves = kfunc.changesPacket || writesPacket(cx, kfunc);
  const context = kfunc.args.some((a) => a.kind === "ctx");
  const r = cx.b.callExternal(kfunc.name, got.args, { packet: moves, context, map: true, writes: got.writes });
  if (moves) reloadPacket(cx);
  return resultOf(cx, form, r, got);
}

function words(form: KfuncForm): string {
  const names = form.names.filter(Boolean);
  return `${names.length} arguments (${names.join(", ")})`;
}

/** What goes through a dynptr may be the packet, which the kernel may move then. */
function writesPacket(cx: Context, kfunc: Kfunc): boolean {
  return cx.packet !== undefined && /^bpf_dynptr_(copy|memset)$|_dynptr$|crypto/.test(kfunc.name);
}

/** Sizes go with the memory before them, a slice's buffer with its type. */
function fillIn(cx: Context, spec: KfuncArg, got: Gathered): void {
  if (spec.kind === "hidden") got.args.push(constant(0n));
  if (spec.kind !== "dynptr") return;
  got.made = makeDynptr(cx);
  got.writes.push(got.args.length);
  got.args.push(got.made.address);
}

function argument(
  cx: Context,
  form: KfuncForm,
  k: number,
  spec: KfuncArg,
  e: Expr,
  call: CallNode,
  got: Gathered,
): void {
  if (form.kfunc.name === "bpf_rdonly_cast" && spec.kind === "constant") {
    const type = typeArg(cx, call, k);
    if (!isKernelStruct(type)) refuse(cx, e.at, `expected a kernelStruct, got ${describe({ k: "type", type })}`);
    got.seen = type;
    got.args.push(cx.b.core({ type, access: "0", kind: CORE_RELO.typeIdTarget, local: 0 }));
    return;
  }
  const v = cx.expr(e);
  const what = form.names[k]!;
  switch (spec.kind) {
    case "ctx":
      if (/^bpf_dynptr_from_(skb|xdp)$/.test(form.kfunc.name) && isPacketBuffer(v)) {
        got.args.push(pointer(cx, v));
        return;
      }
      if (v.k !== "ctx") refuse(cx, e.at, `${what}: expected ctx, got ${describe(v)}`);
      got.args.push(cx.ctx!);
      return;
    case "dynptr":
      if (v.k === "undef" && spec.orNull) {
        got.args.push(constant(0n));
        return;
      }
      if (isDynptr(v)) got.args.push(pointer(cx, v));
      else refuse(cx, e.at, `${what}: expected a Dynptr, got ${describe(v)}`);
      return;
    case "btf":
      if (v.k === "undef" && spec.orNull) {
        got.args.push(constant(0n));
        return;
      }
      got.args.push(kernelArg(cx, v, spec.of, what, e.at));
      return;
    case "mem":
      memory(cx, form, k, spec, v, e, got);
      return;
    case "str":
    case "unchecked":
      if (v.k === "string") {
        got.args.push(cx.b.data(textData(cx, v.value, e.at)));
        return;
      }
      if (v.k === "ref" && !v.nullable) {
        got.args.push(pointer(cx, v));
        return;
      }
      break;
    default:
      break;
  }
  // An address is a number too.
  const type = form.types[k] ?? U64;
  const wide = type.bits === 64;
  if (v.k === "int" && v.type.kind === "int" && !v.type.be && wide && v.type.bits < 64) {
    got.args.push(v.type.signed ? cx.b.sext(32, 64, v.v) : v.v);
    return;
  }
  got.args.push(toScalar(cx, v.k === "lit" ? { ...v, big: wide } : v, { ...type, loose: true }, e.at));
}

function memory(cx: Context, form: KfuncForm, k: number, spec: KfuncArg, v: Val, e: Expr, got: Gathered): void {
  const what = form.names[k]!;
  const next = form.kfunc.args[k + 1]?.kind;
  const sized = next === "size" || next === "constantSize";
  if (v.k === "undef" && spec.orNull) {
    got.args.push(constant(0n), ...(sized ? [constant(0n)] : []));
    return;
  }
  if (v.k !== "ref" || v.nullable || v.type === DYNPTR) {
    refuse(cx, e.at, `${what}: expected a struct or an array, got ${describe(v)}`);
    return;
  }
  const size = sizeOf(v.type);
  if (spec.size > size) refuse(cx, e.at, `${what}: expected ${spec.size} bytes, got ${describe(v)} of ${size}`);
  requireWritable(cx, v.region, e.at);
  got.writes.push(got.args.length);
  got.args.push(pointer(cx, v));
  if (sized) got.args.push(constant(BigInt(size)));
}

/** The kernel's own packet, where the context is another: netfilter's, what is traced. */
function isPacketBuffer(v: Val): v is RefVal {
  return v.k === "ref" && !v.nullable && v.type.kind === "struct" && /^(sk|xdp)_buff$/.test(v.type.kernel ?? "");
}

/** The buffer that a slice is copied to where it does not lie in one piece, and its size. */
function slice(cx: Context, call: CallNode, got: Gathered): void {
  const type = typeArg(cx, call, 2);
  requireOwn(cx, type, call.args[2]!.at);
  got.seen = type;
  const buffer = allocate(cx, "a slice", type);
  got.writes.push(got.args.length);
  got.args.push(buffer.address);
  got.args.push(constant(BigInt(sizeOf(type))));
}

function resultOf(cx: Context, form: KfuncForm, r: Insn, got: Gathered): Val {
  const { result, name } = form.kfunc;
  if (got.made) return got.made;
  switch (result.kind) {
    case "void":
      return { k: "void" };
    case "btf":
      return trusted(result.of, r, result.orNull);
    case "kernCtx":
      return trusted(kernelCtx(cx.program!.type) ?? "", r, false);
    case "cast":
      return { k: "ref", type: got.seen!, address: r, off: 0, region: { kind: "btf" }, nullable: false };
    case "mem": {
      const region = { kind: "any", readOnly: name === "bpf_dynptr_slice" } as const;
      return { k: "ref", type: got.seen!, address: r, off: 0, region, nullable: true };
    }
    default:
      break;
  }
  const type = form.result;
  // A bool comes in the lowest byte alone.
  if (type.kind === "bool") return { k: "int", type, v: cx.b.bin("and", 32, r, constant(1n)) };
  return { k: "int", type, v: type.bits === 64 ? r : cx.b.zext(32, r) };
}
