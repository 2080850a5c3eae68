/** The arguments of calls that the compiler itself answers: types, constants, options. */
import { type MemType, typeName } from "../check/index.ts";
import type { Expr } from "../parse/index.ts";
import { type Context, refuse } from "./context.ts";
import { describe } from "./convert.ts";
import type { Place } from "./memory.ts";
import type { Val } from "./values.ts";

export type CallNode = Expr & { kind: "call" };
/** `place` lowers an expression as something to be written. */
export interface BuiltinTools {
  readonly place: (e: Expr) => Place;
  readonly construct: (type: MemType, init: Expr | undefined, at: number) => Val;
}

export function arg(cx: Context, call: CallNode, k: number, what: string): Val {
  const a = call.args[k];
  return a ? cx.expr(a) : refuse(cx, call.at, `${what} is missing`);
}

export function typeArg(cx: Context, call: CallNode, k: number): MemType {
  const v = arg(cx, call, k, "the type");
  if (v.k === "type") return v.type;
  return refuse(cx, call.args[k]!.at, `expected a type (u32, bytes(4), a struct …), got ${describe(v)}`);
}

/** As `typeArg`, of memory that a program has itself. */
export function memoryArgType(cx: Context, call: CallNode, k: number): MemType {
  const type = typeArg(cx, call, k);
  requireOwn(cx, type, call.args[k]!.at);
  return type;
}

/** @throws a complaint at a type that only describes the kernel's memory. */
export function requireOwn(cx: Context, type: MemType, at: number): void {
  if (type.kind === "pointer") refuse(cx, at, `${typeName(type)} is for fields of a kernelStruct: write u64`);
  if (type.kind === "struct" && type.form === "kernel") {
    refuse(cx, at, `${typeName(type)} describes the kernel's memory: declare a struct({…}), and copy what is wanted`);
  }
  if (type.kind === "array") requireOwn(cx, type.element, at);
}

/** A number known at compile time. */
export function constantOf(cx: Context, v: Val, what: string, at: number): bigint {
  if (v.k === "lit") return v.value;
  if (v.k === "int" && v.v.op === "const") return v.v.value;
  return refuse(cx, at, `${what} must be known at compile time`);
}

export function numberArg(cx: Context, call: CallNode, k: number, what: string): number {
  return Number(constantOf(cx, arg(cx, call, k, what), what, call.args[k]!.at));
}

/** Options: an object literal of compile-time values. */
export function options(cx: Context, e: Expr | undefined, allowed: readonly string[]): Map<string, Val> {
  const out = new Map<string, Val>();
  if (!e) return out;
  if (e.kind !== "object") return refuse(cx, e.at, `expected options in braces: { ${allowed.join(", ")} }`);
  for (const p of e.props) {
    if (p.name === undefined || !allowed.includes(p.name)) {
      refuse(cx, p.at, `there is no option ${p.name ?? "…"}: expected ${allowed.join(", ")}`);
    }
    out.set(p.name!, cx.expr(p.value));
  }
  return out;
}

export function flag(v: Val | undefined): boolean {
  return v?.k === "int" && v.v.op === "const" && v.v.value === 1n;
}
