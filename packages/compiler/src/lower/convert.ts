/**
 * The rules of conversion: which value fits which type and how it gets there, what type two paths join to, and how a
 * value lies in registers.
 */
import {
  I32,
  type IntType,
  type MemType,
  NUMBER,
  type ScalarType,
  SIGNED_NUMBER,
  sameType,
  typeName,
  U32,
  U64,
} from "../check/index.ts";
import { constant, type Insn } from "../ir/index.ts";
import { type Context, refuse } from "./context.ts";
import { kernelAddress } from "./kernelmemory.ts";
import { sameRegion, typeOfVal, type Val, type ValType } from "./values.ts";

/** What a value is called in messages. */
export function describe(v: Val): string {
  return describeType(typeOfVal(v));
}

export function describeType(t: ValType): string {
  switch (t.k) {
    case "int":
      return typeName(t.type);
    case "lit":
      return t.big ? "a bigint" : "a number";
    case "ref":
      return t.nullable ? `${typeName(t.type)} or undefined` : typeName(t.type);
    case "undef":
      return "undefined";
    case "void":
      return "nothing";
    case "opt":
      return `${describeType(t.inner)} or undefined`;
    case "record":
      return t.tuple ? "a tuple" : "an object";
    case "static":
      switch (t.value.k) {
        case "fn":
        case "builtin":
        case "subprog":
        case "external":
          return "a function";
        case "type":
          return `the type ${typeName(t.value.type)}`;
        case "map":
          return "a map";
        case "data":
          return "a table";
        case "ctx":
          return "the context";
        case "cursor":
          return "a cursor";
        case "space":
          return "a space of protocol numbers";
        case "repeat":
          return "a repeated header";
        case "program":
          return "a program";
        default:
          return `a ${t.value.k}`;
      }
  }
}

function range(t: IntType): [bigint, bigint] {
  const b = BigInt(t.bits);
  return t.signed ? [-(1n << (b - 1n)), (1n << (b - 1n)) - 1n] : [0n, (1n << b) - 1n];
}

/** A literal as a constant of the type, by the invariants of the intermediate form. */
export function literal(cx: Context, value: bigint, big: boolean, type: ScalarType, at: number): Insn {
  if (type.kind === "bool") refuse(cx, at, `expected a boolean, got ${value}: write ${value ? "true" : "false"}`);
  if (type.be) {
    const host = `be${type.bits}(${value}${type.bits === 64 ? "n" : ""})`;
    refuse(cx, at, `${value} is in host order and the other side in network order: write ${host}`);
  }
  if (type.bits === 64 && !big) refuse(cx, at, `${typeName(type)} is a bigint: write ${value}n`);
  if (type.bits !== 64 && big) refuse(cx, at, `${typeName(type)} is a number: write ${value}`);
  const [lo, hi] = range(type);
  // A negative literal of an unsigned type is its two's complement, as in `x & -8`.
  const least = type.signed ? lo : -(1n << BigInt(type.bits - 1));
  const most = type.signed && type.loose ? (1n << BigInt(type.bits)) - 1n : hi;
  if (value < least || value > most) refuse(cx, at, `${value} does not fit ${typeName(type)} (${lo} to ${hi})`);
  return pack(type, value);
}

/** Bits of a value of the type in a register. */
function pack(type: IntType, value: bigint): Insn {
  if (type.bits === 64) return constant(BigInt.asUintN(64, value));
  const narrow = type.signed ? BigInt.asIntN(type.bits, value) : BigInt.asUintN(type.bits, value);
  return constant(BigInt.asUintN(32, narrow));
}

/** The register with a value cut to the type's width and extended as its invariant says. */
export function narrowTo(cx: Context, v: Insn, to: IntType): Insn {
  if (to.bits >= 32) return v;
  const bits = to.bits as 8 | 16;
  return to.signed ? cx.b.sext(bits, 32, v) : cx.b.zext(bits, v);
}

/** The value in the place of a scalar type, without a cast: `@throws` a complaint where one is needed. */
export function toScalar(cx: Context, v: Val, type: ScalarType, at: number): Insn {
  if (v.k === "lit") return literal(cx, v.value, v.big, type, at);
  if (v.k === "opt" || (v.k === "ref" && v.nullable) || v.k === "undef") {
    refuse(cx, at, `expected ${typeName(type)}, got ${describe(v)}: test it first, or give a default with ??`);
  }
  if (v.k === "ref" && (v.type.kind === "int" || v.type.kind === "bool")) {
    refuse(cx, at, `expected ${typeName(type)}, got a reference to one: write .value`);
  }
  if (v.k !== "int") refuse(cx, at, `expected ${typeName(type)}, got ${describe(v)}`);
  const from = v.type;
  const want = typeName(type);
  if (from.kind === "bool" || type.kind === "bool") {
    if (from.kind === type.kind) return v.v;
    if (type.kind === "bool") refuse(cx, at, `expected a boolean, got ${typeName(from)}: write x !== 0`);
    refuse(cx, at, `expected ${want}, got a boolean: write ${want}(x)`);
  }
  if (from.be || type.be) {
    if (from.be === type.be && from.bits === type.bits) return v.v;
    const how = from.be ? (type.be ? `they differ in width` : `write ntoh(x)`) : `write be${type.bits}(x)`;
    const ntoh = from.bits === 16 ? "ntohs" : from.bits === 32 ? "ntohl" : "ntohll";
    refuse(cx, at, `expected ${want}, got ${typeName(from)}: ${how.replace("ntoh(", `${ntoh}(`)}`);
  }
  if ((from.bits === 64) !== (type.bits === 64)) {
    refuse(cx, at, `expected ${want}, got ${typeName(from)}: write ${want}(x)`);
  }
  if (from.bits === type.bits && from.signed === type.signed) return v.v;
  if (from.loose) return narrowTo(cx, v.v, type);
  const widens = from.bits < type.bits && (!from.signed || type.signed);
  if (!widens) refuse(cx, at, `${typeName(from)} does not fit ${want}: write ${want}(x)`);
  return v.v;
}

/** An explicit cast, `u8(x)`. */
export function cast(cx: Context, v: Val, to: IntType, at: number): Val {
  if (v.k === "lit") return { k: "int", type: to, v: pack(to, v.value) };
  if (v.k !== "int") {
    // Reports what is wrong with anything that is no number.
    return { k: "int", type: to, v: toScalar(cx, v, to, at) };
  }
  const from = v.type;
  if (from.kind === "bool") return { k: "int", type: to, v: v.v };
  if (from.be) {
    const f = from.bits === 16 ? "ntohs" : from.bits === 32 ? "ntohl" : "ntohll";
    refuse(
      cx,
      at,
      `${typeName(from)} is in network order: write ${f}(x), or raw(x) for its bits as they lie in memory`,
    );
  }
  if (to.bits === 64) {
    return { k: "int", type: to, v: from.bits < 64 && from.signed ? cx.b.sext(32, 64, v.v) : v.v };
  }
  const low = from.bits === 64 ? cx.b.zext(32, v.v) : v.v;
  const keeps = from.bits < to.bits && (!from.signed || to.signed);
  return { k: "int", type: to, v: keeps && from.bits < 64 ? low : narrowTo(cx, low, to) };
}

/** The type that arithmetic of two operands is done in; literals take the other's. */
export function arithmeticType(cx: Context, a: Val, b: Val, at: number): IntType {
  const pick = [a, b].map((v, k) => {
    if (v.k === "lit") return undefined;
    if (v.k === "opt" || v.k === "undef" || (v.k === "ref" && v.nullable)) {
      refuse(cx, at, `the ${k ? "right" : "left"} side is ${describe(v)}: test it first, or give a default with ??`);
    }
    if (v.k === "ref" && v.type.kind === "int") {
      refuse(cx, at, `the ${k ? "right" : "left"} side is a reference to ${typeName(v.type)}: write .value`);
    }
    if (v.k !== "int") refuse(cx, at, `the ${k ? "right" : "left"} side is ${describe(v)}: expected a number`);
    if (v.type.kind === "bool") refuse(cx, at, `the ${k ? "right" : "left"} side is a boolean: write u32(x)`);
    return v.type;
  });
  const [x, y] = pick;
  const one = x ?? y;
  if (!one) return NUMBER;
  if (!x || !y) {
    const lit = (x ? b : a) as Val & { k: "lit" };
    // A negative literal against a narrow or loose unsigned makes no signed arithmetic: it wraps.
    if (one.be || one.bits === 64) return one;
    if (lit.big) refuse(cx, at, `a number and a bigint do not mix: write ${lit.value}, or u64(x)`);
    return one.signed ? SIGNED_NUMBER : NUMBER;
  }
  if (x.be || y.be) {
    if (x.be && y.be && x.bits === y.bits) return x;
    refuse(cx, at, `${typeName(x)} and ${typeName(y)} do not mix: convert one side (ntohs, be16, …)`);
  }
  if ((x.bits === 64) !== (y.bits === 64)) {
    refuse(cx, at, `${typeName(x)} and ${typeName(y)} do not mix: write u64(x) for the number`);
  }
  if (x.bits === 64) {
    if (x.signed !== y.signed) refuse(cx, at, `u64 and i64 do not mix: write u64(x) or i64(x)`);
    return x.signed ? x : U64;
  }
  // A narrower unsigned value fits the signed type.
  const xs = x.signed || (y.signed && x.bits < 32);
  const ys = y.signed || (x.signed && y.bits < 32);
  if (xs !== ys) refuse(cx, at, `${typeName(x)} and ${typeName(y)} do not mix: write u32(x) or i32(x)`);
  return xs ? SIGNED_NUMBER : NUMBER;
}

/** The register of an operand in the type that `arithmeticType` gave. */
export function operand(cx: Context, v: Val, type: IntType, at: number): Insn {
  if (v.k === "lit") {
    if (type.be) return literal(cx, v.value, v.big, type, at);
    const wide: IntType = { ...type, loose: true };
    const fits =
      type.bits === 64
        ? v.value >= -(1n << 63n) && v.value < 1n << 64n
        : v.value >= -(1n << 31n) && v.value < 1n << 32n;
    if (!fits) refuse(cx, at, `${v.value} does not fit ${typeName(type)}`);
    return v.big === (type.bits === 64) ? pack(wide, v.value) : literal(cx, v.value, v.big, type, at);
  }
  return (v as Val & { k: "int" }).v;
}

// ---- joining paths ----

/** The type that values of both types can be held in; undefined where there is none. */
export function joinTypes(a: ValType, b: ValType): ValType | undefined {
  if (a.k === "lit" && b.k === "lit") {
    if (a.big !== b.big) return undefined;
    return { k: "int", type: a.big ? U64 : NUMBER };
  }
  if (a.k === "undef") return b.k === "undef" ? a : joinTypes(b, a);
  if (b.k === "undef") {
    if (a.k === "ref") return { ...a, nullable: true };
    if (a.k === "opt") return a;
    if (a.k === "void" || a.k === "static") return undefined;
    return { k: "opt", inner: a.k === "lit" ? { k: "int", type: a.big ? U64 : NUMBER } : a };
  }
  if (a.k === "lit") return joinTypes(b, a);
  if (a.k === "opt" || b.k === "opt") {
    const inner = joinTypes(a.k === "opt" ? a.inner : a, b.k === "opt" ? b.inner : b);
    return inner && { k: "opt", inner };
  }
  if (a.k === "int") {
    if (b.k === "lit") {
      if (a.type.kind === "bool" || a.type.be || (a.type.bits === 64) !== b.big) return undefined;
      return a.type.bits < 32 ? { k: "int", type: a.type.signed ? SIGNED_NUMBER : NUMBER } : a;
    }
    if (b.k !== "int") return undefined;
    if (sameType(a.type, b.type)) return a.type.kind === "int" && a.type.loose ? a : b;
    if (a.type.kind === "bool" || b.type.kind === "bool" || a.type.be || b.type.be) return undefined;
    if (a.type.bits === 64 || b.type.bits === 64) return undefined;
    const { signed } = a.type.loose ? b.type : a.type;
    // Of a sum and what is declared, the latter says whether there is a sign.
    if (a.type.signed !== b.type.signed) {
      return a.type.loose === b.type.loose ? undefined : { k: "int", type: signed ? I32 : U32 };
    }
    return { k: "int", type: signed ? SIGNED_NUMBER : NUMBER };
  }
  if (a.k === "ref" && b.k === "ref") {
    if (!sameType(a.type, b.type)) return undefined;
    const region = sameRegion(a.region, b.region) ? a.region : ({ kind: "any" } as const);
    // One is read by loads, the other by a helper.
    if (a.region.kind !== b.region.kind && (isProbed(a) || isProbed(b))) return undefined;
    return { k: "ref", type: a.type, region, nullable: a.nullable || b.nullable };
  }
  if (a.k === "record" && b.k === "record") {
    if (a.tuple !== b.tuple || a.fields.size !== b.fields.size) return undefined;
    const fields = new Map<string, ValType>();
    for (const [name, x] of a.fields) {
      const y = b.fields.get(name);
      const joined = y && joinTypes(x, y);
      if (!joined) return undefined;
      fields.set(name, joined);
    }
    return { k: "record", fields, tuple: a.tuple };
  }
  if (a.k === "void" && b.k === "void") return a;
  if (a.k === "static" && b.k === "static" && sameStatic(a.value, b.value)) return a;
  return undefined;
}

function isProbed(t: ValType & { k: "ref" }): boolean {
  return t.region.kind === "probe";
}

export function sameStatic(a: Val, b: Val): boolean {
  if (a === b) return true;
  if (a.k !== b.k) return false;
  if (a.k === "fn" && b.k === "fn") return a.fn === b.fn && a.scope === b.scope;
  if (a.k === "map" && b.k === "map") return a.map === b.map;
  if (a.k === "type" && b.k === "type") return a.type === b.type;
  if (a.k === "cursor" && b.k === "cursor") return a.position === b.position;
  return a.k === "ctx" || (a.k === "string" && b.k === "string" && a.value === b.value);
}

/** The registers of a value held as `type`. */
export function flatten(cx: Context, v: Val, type: ValType, at: number): Insn[] {
  switch (type.k) {
    case "int":
      return [toScalar(cx, v, type.type, at)];
    case "lit":
      return v.k === "lit" ? [] : refuse(cx, at, `expected a number known at compile time, got ${describe(v)}`);
    case "ref":
      if (v.k === "undef" && type.nullable) return [constant(0n)];
      if (v.k !== "ref" || !sameType(v.type, type.type)) {
        return refuse(cx, at, `expected ${typeName(type.type)}, got ${describe(v)}`);
      }
      if (v.nullable && !type.nullable) {
        return refuse(cx, at, `expected ${typeName(type.type)}, got ${describe(v)}: test it first`);
      }
      return [pointer(cx, v)];
    case "undef":
    case "void":
      return [];
    case "opt": {
      if (v.k === "undef") return [constant(0n), ...blank(type.inner)];
      if (v.k === "opt") return [v.flag, ...flatten(cx, v.inner, type.inner, at)];
      return [constant(1n), ...flatten(cx, v, type.inner, at)];
    }
    case "record": {
      if (v.k !== "record") return refuse(cx, at, `expected an object, got ${describe(v)}`);
      return [...type.fields].flatMap(([name, t]) => flatten(cx, v.fields.get(name)!, t, at));
    }
    case "static":
      if (!sameStatic(v, type.value)) {
        return refuse(cx, at, `${describe(v)} must be the same on every path: it exists only at compile time`);
      }
      return [];
  }
}

function blank(type: ValType): Insn[] {
  switch (type.k) {
    case "int":
    case "ref":
      return [constant(0n)];
    case "opt":
      return [constant(0n), ...blank(type.inner)];
    case "record":
      return [...type.fields.values()].flatMap(blank);
    default:
      return [];
  }
}

/** The value back from its registers, taken off the front of `regs`. */
export function rebuild(type: ValType, regs: Insn[]): Val {
  switch (type.k) {
    case "int":
      return { k: "int", type: type.type, v: regs.shift()! };
    case "lit":
      throw new RangeError("a literal has no registers");
    case "ref":
      return {
        k: "ref",
        type: type.type,
        address: regs.shift()!,
        off: 0,
        region: type.region,
        nullable: type.nullable,
      };
    case "undef":
      return { k: "undef" };
    case "void":
      return { k: "void" };
    case "opt":
      return { k: "opt", flag: regs.shift()!, inner: rebuild(type.inner, regs) };
    case "record":
      return {
        k: "record",
        tuple: type.tuple,
        fields: new Map([...type.fields].map(([name, t]) => [name, rebuild(t, regs)])),
      };
    case "static":
      return type.value;
  }
}

/** The address of a referred-to object in a register. */
export function pointer(cx: Context, v: Val & { k: "ref" }): Insn {
  if (v.core) return kernelAddress(cx, v);
  return v.off ? cx.b.bin("add", 64, v.address, constant(BigInt(v.off))) : v.address;
}

/** A value that is surely there: narrowed by a fact. */
export function narrowed(v: Val, is: "defined" | "undefined" | undefined): Val {
  if (!is) return v;
  if (is === "undefined") return v.k === "opt" || v.k === "ref" ? { k: "undef" } : v;
  if (v.k === "ref" && v.nullable) return { ...v, nullable: false };
  return v.k === "opt" ? v.inner : v;
}

export function isMem(v: Val, type: MemType): v is Val & { k: "ref" } {
  return v.k === "ref" && !v.nullable && sameType(v.type, type);
}
