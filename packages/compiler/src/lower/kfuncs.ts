/**
 * Kernel functions as functions: `bpf_xdp_metadata_rx_hash` is `xdpMetadataRxHash(ctx, hash, type)`. Those of the one
 * kfunc table that take ctx, numbers and memory; the others speak of kernel structs, which the language has not.
 */
import { isGplCompatible, KFUNCS, type Kfunc, kfuncAllowed } from "@ebplane/core/object";
import { I32, type MemType, sizeOf, U8, U32, U64 } from "../check/index.ts";
import { constant, type Insn } from "../ir/index.ts";
import type { CallNode } from "./arguments.ts";
import { type Context, refuse } from "./context.ts";
import { describe, pointer, toScalar } from "./convert.ts";
import { requireWritable } from "./data.ts";
import { camelCase } from "./helpers.ts";
import { reloadPacket } from "./packet.ts";
import type { SubParam } from "./subprograms.ts";
import type { Val } from "./values.ts";

const TAKEN = new Set(["ctx", "scalar", "constant", "mem", "size", "constantSize"]);
const GIVEN = new Set(["scalar", "void"]);

const BY_NAME = new Map<string, Kfunc>();
for (const k of KFUNCS.values()) {
  // Exceptions are not in the language, and `throw` is no name.
  if (k.name === "bpf_throw") continue;
  if (!GIVEN.has(k.result.kind) || !k.args.length || !k.args.every((a) => TAKEN.has(a.kind))) continue;
  BY_NAME.set(camelCase(k.name.replace(/^bpf_/, "")), k);
}

/** Those that a program calls by their names. */
export function kfuncForms(): ReadonlyMap<string, Kfunc> {
  return BY_NAME;
}

export function callKfunc(cx: Context, name: string, call: CallNode): Val {
  const kfunc = BY_NAME.get(name)!;
  if (!cx.program) return refuse(cx, call.at, `${name} can only be called in a program`);
  if (!kfuncAllowed(kfunc, cx.program.type)) refuse(cx, call.at, `${name} cannot be called in a program of this type`);
  if (!isGplCompatible(cx.license ?? "")) {
    refuse(cx, call.at, `${name} is for GPL-compatible programs: write license("GPL") at the top level`);
  }
  const args: Insn[] = [];
  const params: SubParam[] = [];
  const writes: number[] = [];
  let given = 0;
  for (const [k, spec] of kfunc.args.entries()) {
    if (spec.kind === "size" || spec.kind === "constantSize") continue;
    const e = call.args[given++];
    if (!e) return refuse(cx, call.at, `${name}: argument ${given} is missing`);
    const v = cx.expr(e);
    const label = `arg${k + 1}`;
    if (spec.kind === "ctx") {
      if (v.k !== "ctx" || !cx.ctx) return refuse(cx, e.at, `expected ctx, got ${describe(v)}`);
      args.push(cx.ctx);
      params.push({ name: label, kind: "ctx" });
    } else if (spec.kind === "mem") {
      if (v.k !== "ref" || v.nullable) return refuse(cx, e.at, `expected a struct or an array, got ${describe(v)}`);
      const size = sizeOf(v.type);
      if (spec.size > size) refuse(cx, e.at, `expected ${spec.size} bytes, got ${describe(v)} of ${size}`);
      requireWritable(cx, v.region, e.at);
      writes.push(args.length);
      args.push(pointer(cx, v));
      params.push({ name: label, kind: "ref", type: scalarOf(spec.size), nullable: spec.orNull });
      const next = kfunc.args[k + 1]?.kind;
      if (next === "size" || next === "constantSize") {
        args.push(constant(BigInt(size)));
        params.push({ name: `${label}__sz`, kind: "scalar", type: U32 });
      }
    } else {
      const wide = v.k === "lit" ? v.big : v.k === "int" && v.type.kind === "int" && v.type.bits === 64;
      args.push(toScalar(cx, v, wide ? U64 : U32, e.at));
      params.push({ name: label, kind: "scalar", type: wide ? U64 : U32 });
    }
  }
  if (given < call.args.length)
    refuse(cx, call.args[given]!.at, `${name} has ${given} arguments, got ${call.args.length}`);
  const returns = kfunc.result.kind === "void" ? undefined : I32;
  cx.externals.set(kfunc.name, { name: kfunc.name, params, returns });
  const r = cx.b.callExternal(kfunc.name, args, { packet: kfunc.changesPacket, map: true, writes });
  if (kfunc.changesPacket) reloadPacket(cx);
  return returns ? { k: "int", type: returns, v: cx.b.zext(32, r) } : { k: "void" };
}

/** The number that memory of a fixed size holds. */
function scalarOf(size: number): MemType {
  if (size === 8) return U64;
  if (size === 4) return U32;
  return { kind: "array", element: U8, length: size || 1 };
}
