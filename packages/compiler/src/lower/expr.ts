/** Expressions to values: names, operators, members, calls, conditions and what they teach about `undefined`. */
import {
  BOOL,
  type IntType,
  isTuple,
  itemName,
  type MemType,
  NUMBER,
  type StructType,
  sizeOf,
  typeName,
  U64,
} from "../check/index.ts";
import { type BinOp, type Block, type Builder, type Cmp, constant, type Insn, type Width } from "../ir/index.ts";
import { type BinaryOp, declared, type Expr, nameOf } from "../parse/index.ts";
import { elementAdvice, elsewhere, methodAdvice, textAdvice, valueAdvice } from "./advice.ts";
import { type BuiltinTools, type CallNode, constantOf } from "./arguments.ts";
import { callBuiltin, callNamespace, callType, makeSubprogram } from "./builtins.ts";
import {
  type Context,
  type Fact,
  type Facts,
  factAt,
  forget,
  learn,
  NO_FACTS,
  Refused,
  refuse,
  under,
} from "./context.ts";
import { arithmeticType, describe, flatten, joinTypes, narrowed, operand, rebuild } from "./convert.ts";
import { ctxAs, ctxField } from "./ctx.ts";
import { dataRef, globalData, requireWritable } from "./data.ts";
import { parsePacket } from "./headers.ts";
import { tracedArg } from "./kernelstruct.ts";
import { callMap } from "./mapcalls.ts";
import type { MapDecl } from "./maps.ts";
import {
  allocate,
  copyBytes,
  elementPlace,
  fieldPlace,
  type Place,
  readPlace,
  writePlace,
  zeroBytes,
} from "./memory.ts";
import { contextHeader, contextOffset, cursorCall, cursorMember, newCursor, packetLength } from "./packet.ts";
import { PROGRAM_FORMS } from "./programs.ts";
import type { Bound, Scope } from "./scope.ts";
import { meant } from "./spelling.ts";
import { callExternal, callSubprogram } from "./subprograms.ts";
import { isRuntime, type RefVal, typeOfVal, type Val } from "./values.ts";

export function lowerExpr(cx: Context, e: Expr): Val {
  const v = lowerKind(cx, e);
  if (v.k === "setting") return cx.program ? readSetting(cx, v) : v.value;
  return v.k === "data" && cx.program ? dataRef(cx, v.object, v.type) : v;
}

function readSetting(cx: Context, { object, type }: Val & { k: "setting" }): Val {
  const v = readPlace(cx, dataRef(cx, object, type));
  // What was written without a type goes where its literal would.
  return v.k === "int" ? { ...v, type } : v;
}

/** What a name of the top level is bound to: as `lowerExpr`, but a constant of the configuration stays one. */
export function lowerInit(cx: Context, e: Expr): Val {
  return cx.program || e.kind !== "call" ? lowerExpr(cx, e) : lowerKind(cx, e);
}

function lowerKind(cx: Context, e: Expr): Val {
  cx.b.at = e.at;
  switch (e.kind) {
    case "number":
      return { k: "lit", value: e.value, big: e.big };
    case "bool":
      return { k: "int", type: BOOL, v: constant(e.value ? 1n : 0n) };
    case "string":
      return { k: "string", value: e.value };
    case "undefined":
      return { k: "undef" };
    case "name":
      return readName(cx, e);
    case "member":
      return member(cx, e);
    case "index":
      return element(cx, e);
    case "call":
      return call(cx, e);
    case "unary":
      return unary(cx, e);
    case "binary":
      return binary(cx, e.op, e.at, lowerExpr(cx, e.left), lowerExpr(cx, e.right));
    case "logical":
      return logical(cx, e);
    case "assign":
      return assign(cx, e);
    case "assignAll":
      return assignAll(cx, e);
    case "sequence":
      for (const item of e.items) lowerExpr(cx, item);
      return { k: "void" };
    case "update":
      return update(cx, e);
    case "cond":
      return conditional(cx, e);
    case "object": {
      const fields = new Map<string, Val>();
      for (const p of e.props) {
        const v = lowerExpr(cx, p.value);
        if (p.name !== undefined) fields.set(p.name, v);
        else if (v.k === "record") for (const [n, f] of v.fields) fields.set(n, f);
        else refuse(cx, p.at, `only an object can be spread, got ${describe(v)}`);
      }
      return { k: "record", fields, tuple: false };
    }
    case "array":
      return { k: "record", tuple: true, fields: new Map(e.items.map((i, k) => [String(k), lowerExpr(cx, i)])) };
    case "function":
      return { k: "fn", fn: e.fn, scope: cx.scope };
  }
}

// ---- names ----

export function lookup(cx: Context, name: string): Bound | undefined {
  for (let s: Scope | undefined = cx.scope; s; s = s.parent) {
    const found = s.names.get(name);
    if (found) return s.owner && s.owner !== cx.b && isHeld(found) ? { kind: "outside" } : found;
    if (s.module) return cx.moduleName(s.module, name);
  }
  return undefined;
}

/** All names that can be used here. */
function namesAt(cx: Context): Set<string> {
  const all = new Set<string>();
  for (let s: Scope | undefined = cx.scope; s; s = s.parent) {
    for (const name of s.names.keys()) all.add(name);
    if (!s.module) continue;
    for (const name of s.module.imports.keys()) all.add(name);
    for (const stmt of s.module.node.body) if (stmt.kind !== "type") for (const name of declared(stmt)) all.add(name);
  }
  return all;
}

/** Its value is in registers. */
function isHeld(b: Bound): boolean {
  return b.kind === "var" || (b.kind === "const" && isRuntime(b.value));
}

/** `memberName`: what of it is asked for. */
function bound(cx: Context, name: string, at: number, memberName?: string): Bound {
  const b = lookup(cx, name);
  if (!b) {
    const instead = elsewhere(name, memberName);
    if (instead) refuse(cx, at, `there is no ${memberName ? `${name}.${memberName}` : name}: ${instead}`);
    return refuse(cx, at, `there is no ${name}: declare it, or import it${meant(name, namesAt(cx))}`);
  }
  if (b.kind === "broken") return refuseSilently(cx);
  if (b.kind === "outside") {
    return refuse(cx, at, `${name} is of the function around this one, which is called on its own: hand it over`);
  }
  return b;
}

/** There was a complaint about the cause. */
function refuseSilently(cx: Context): never {
  cx.complaints++;
  throw new Refused();
}

function readName(cx: Context, e: Expr & { kind: "name" }): Val {
  const b = bound(cx, e.name, e.at);
  if (b.kind === "const") return narrowed(b.value, factAt(cx, String(b.id)));
  if (b.kind === "global") return readPlace(cx, globalPlace(cx, b, e.at));
  const v = b as Bound & { kind: "var" };
  const value = rebuild(
    v.type,
    v.vars.map((n) => cx.b.read(n)),
  );
  return narrowed(value, factAt(cx, String(v.id)));
}

function globalPlace(cx: Context, b: Bound & { kind: "global" }, at: number): Place {
  if (!cx.program) refuse(cx, at, `${b.name} has a value only while a program runs`);
  return dataRef(cx, b.value.object, b.value.type);
}

/** The path under which facts about an expression are kept; undefined when its value may change unseen. */
function pathOf(cx: Context, e: Expr): string | undefined {
  if (e.kind === "name") {
    const b = lookup(cx, e.name);
    return b && "id" in b ? String(b.id) : undefined;
  }
  if (e.kind !== "member") return undefined;
  const base = pathOf(cx, e.object);
  return base === undefined ? undefined : `${base}.${e.name}`;
}

// ---- members ----

function requireThere(cx: Context, v: Val, e: Expr): Val {
  const may = v.k === "opt" || v.k === "undef" || (v.k === "ref" && v.nullable);
  if (!may) return v;
  const name = nameOf(e);
  const path = pathOf(cx, e);
  // Said once: what follows is lowered as if the test were there.
  if (path !== undefined) learn(cx, [[path, "defined"]]);
  return refuse(
    cx,
    e.at,
    `${name ? `\`${name}\`` : "this"} may be undefined here: test it first (if (!${name || "x"}) return …), or use ?.`,
  );
}

function member(cx: Context, e: Expr & { kind: "member" }): Val {
  if (e.object.kind === "name") bound(cx, e.object.name, e.object.at, e.name);
  const object = lowerExpr(cx, e.object);
  if (inChain(e) && (object.k === "opt" || object.k === "undef" || (object.k === "ref" && object.nullable))) {
    return ifThere(cx, object, e.at, (there) => memberOf(cx, there, e));
  }
  return memberOf(cx, requireThere(cx, object, e.object), e);
}

function memberOf(cx: Context, object: Val, e: Expr & { kind: "member" }): Val {
  cx.b.at = e.at;
  switch (object.k) {
    case "ref":
      if (object.type.kind === "array" && e.name === "length") {
        return { k: "lit", value: BigInt(object.type.length), big: false };
      }
      noteAccess(cx, object, e);
      return readPlace(cx, fieldPlace(cx, object, e.name, e.nameAt));
    case "record": {
      if (object.tuple && e.name === "length") return { k: "lit", value: BigInt(object.fields.size), big: false };
      const f = object.fields.get(e.name);
      if (!f)
        return refuse(cx, e.nameAt, `the object has no ${e.name}: it has ${[...object.fields.keys()].join(", ")}`);
      const path = pathOf(cx, e);
      return narrowed(f, path === undefined ? undefined : factAt(cx, path));
    }
    case "ctx":
      if (e.name === "length") return packetLength(cx, e.at);
      return ctxField(cx, e.name, e.nameAt);
    case "cursor":
      return cursorMember(cx, object, e.name, e.nameAt);
    case "type":
      if (e.name === "size") return { k: "lit", value: BigInt(sizeOf(object.type)), big: false };
      return refuse(cx, e.nameAt, `the type ${typeName(object.type)} has no ${e.name}`);
    default:
      return refuse(cx, e.nameAt, `${describe(object)} has no ${e.name}`);
  }
}

function element(cx: Context, e: Expr & { kind: "index" }): Val {
  const object = lowerExpr(cx, e.object);
  const read = (there: Val): Val => {
    const index = lowerExpr(cx, e.index);
    if (there.k === "record") {
      const k = constantOf(cx, index, "the index of a compile-time array", e.index.at);
      const v = there.fields.get(String(k));
      return v ?? refuse(cx, e.index.at, `index ${k} is outside the array: it has ${there.fields.size} elements`);
    }
    if (there.k !== "ref") return refuse(cx, e.at, `${describe(there)} has no elements${elementAdvice(there)}`);
    return readPlace(cx, elementAt(cx, there, index, e));
  };
  if (inChain(e) && (object.k === "opt" || object.k === "undef" || (object.k === "ref" && object.nullable))) {
    return ifThere(cx, object, e.at, read);
  }
  return read(requireThere(cx, object, e.object));
}

/** The element's place; what the source calls it is kept for the case that the verifier finds it outside. */
function elementAt(cx: Context, array: RefVal, index: Val, e: Expr & { kind: "index" }): Place {
  cx.b.at = e.index.at;
  noteAccess(cx, array, e);
  if (isTuple(array.type)) {
    const k = constantOf(cx, index, "the index of a tuple", e.index.at);
    const { size } = array.type.fields;
    if (k < 0n || k >= BigInt(size)) refuse(cx, e.index.at, `index ${k} is outside the tuple: it has ${size} items`);
    return fieldPlace(cx, array, itemName(k), e.index.at);
  }
  const known = index.k === "lit" || (index.k === "int" && index.v.op === "const");
  if (array.type.kind === "array" && !known) {
    const { length } = array.type;
    cx.indexSites.set(e.index.at, { array: nameOf(e.object), index: nameOf(e.index), length });
  }
  return elementPlace(cx, array, index, e.index.at);
}

/** Keeps what the source calls the memory, for the case that the verifier refuses the access. */
function noteAccess(cx: Context, object: RefVal, e: Expr & { kind: "member" | "index" }): void {
  const site = { name: nameOf(e.object), type: typeName(object.type), packet: object.region.kind === "packet" };
  cx.accessSites.set(e.at, site);
  if (e.kind === "index") cx.accessSites.set(e.index.at, site);
}

/** The expression has a `?.` before it: all of it is left out where that finds nothing. */
function inChain(e: Expr): boolean {
  return (e.kind === "member" || e.kind === "index") && (e.optional || inChain(e.object));
}

/** `v?.…`: the member where v is there, undefined where not. */
function ifThere(cx: Context, v: Val, at: number, then: (there: Val) => Val): Val {
  if (v.k === "undef") return v;
  const yes = cx.b.newBlock();
  const no = cx.b.newBlock();
  testThere(cx, v, yes, no);
  return joinArms(cx, at, [
    [yes, () => then(narrowed(v, "defined"))],
    [no, () => ({ k: "undef" })],
  ]);
}

function testThere(cx: Context, v: Val, yes: Block, no: Block): void {
  if (v.k === "opt") cx.b.branch("ne", 32, v.flag, constant(0n), yes, no);
  else if (v.k === "ref" && v.nullable) cx.b.branch("ne", 64, v.address, constant(0n), yes, no);
  else cx.b.jump(v.k === "undef" ? no : yes);
  cx.b.seal(yes);
  cx.b.seal(no);
}

/** Lowers each arm in its block and gives what their values join to. */
function joinArms(cx: Context, at: number, arms: readonly (readonly [Block, () => Val])[]): Val {
  const { b } = cx;
  const done = b.newBlock();
  const ends: { block: Block; value: Val; live: boolean }[] = [];
  for (const [block, run] of arms) {
    b.block = block;
    const value = under(cx, [], run);
    ends.push({ block: b.block, value, live: b.live() });
  }
  const result = joinValues(cx, at, ends, done);
  b.seal(done);
  b.block = done;
  return result();
}

/** Brings the values of several open blocks together in `done`, which must then be sealed and current for the result. */
export function joinValues(
  cx: Context,
  at: number,
  ends: readonly { readonly block: Block; readonly value: Val; readonly live: boolean }[],
  done: Block,
): () => Val {
  const { b } = cx;
  // A dead arm's value still has a type: without it the program would type-check differently under other constants.
  const live = ends.some((e) => e.live) ? ends.filter((e) => e.live) : ends;
  // Literals last: they take the others' type.
  const typed = [...live].sort((x, y) => Number(x.value.k === "lit") - Number(y.value.k === "lit"));
  let type = typeOfVal(typed[0]!.value);
  for (const e of typed.slice(1)) {
    const joined = joinTypes(type, typeOfVal(e.value));
    if (!joined)
      refuse(cx, at, `the paths give different things: ${describe(typed[0]!.value)} and ${describe(e.value)}`);
    type = joined!;
  }
  if (live.length === 1) {
    const [only] = live;
    b.block = only!.block;
    b.jump(done);
    return () => only!.value;
  }
  if (type.k === "lit") {
    // Literals keep their width open only where there is one.
    type = { k: "int", type: type.big ? U64 : NUMBER };
  }
  const regs: Insn[][] = [];
  for (const e of live) {
    b.block = e.block;
    regs.push(flatten(cx, e.value, type, at));
    // Flattening may not leave the block: it makes no control flow.
    b.jump(done);
  }
  return () => {
    const joined = regs[0]!.map((_, k) =>
      b.join(
        done,
        regs.map((r) => r[k]!),
      ),
    );
    return rebuild(type, joined);
  };
}

// ---- operators ----

const BIN: Partial<Record<BinaryOp, BinOp>> = {
  "+": "add",
  "-": "sub",
  "*": "mul",
  "&": "and",
  "|": "or",
  "^": "xor",
  "<<": "shl",
  ">>>": "shr",
};
const COMPARE: Partial<Record<BinaryOp, Cmp>> = {
  "===": "eq",
  "!==": "ne",
  "<": "lt",
  "<=": "le",
  ">": "gt",
  ">=": "ge",
};

function binary(cx: Context, op: BinaryOp, at: number, a: Val, b: Val): Val {
  cx.b.at = at;
  if (a.k === "string" || b.k === "string") {
    const [text, other] = a.k === "string" ? [a, b] : [b, a];
    refuse(cx, at, `${op} is not for texts: ${textAdvice(text, other)}`);
  }
  const cmp = COMPARE[op];
  if (cmp) return compare(cx, cmp, op, at, a, b);
  if (a.k === "lit" && b.k === "lit") return foldLiterals(cx, op, at, a, b);
  const shift = op === "<<" || op === ">>" || op === ">>>";
  const type = shift ? shiftType(cx, a, b, at) : arithmeticType(cx, a, b, at);
  if (type.be && !["&", "|", "^"].includes(op)) {
    refuse(cx, at, `${op} is not for ${typeName(type)}: convert to host order first (ntohs, ntohl)`);
  }
  const w: Width = type.bits === 64 ? 64 : 32;
  const x = operand(cx, a, type, at);
  const y =
    shift && b.k !== "lit"
      ? (b as Val & { k: "int" }).v
      : operand(cx, b, shift ? { ...type, signed: false } : type, at);
  let insn = BIN[op];
  if (op === "/" || op === "%") {
    if (b.k === "lit" && b.value === 0n && !b.given) refuse(cx, at, "division by zero");
    insn = op === "/" ? (type.signed ? "sdiv" : "div") : type.signed ? "smod" : "mod";
  } else if (op === ">>") insn = type.signed ? "sar" : "shr";
  const divides = insn === "sdiv" || insn === "smod";
  const v =
    divides && !cx.forms.signedDivision
      ? signedDivision(cx.b, insn as "sdiv" | "smod", w, x, y)
      : cx.b.bin(insn!, w, x, y);
  const kept = op === ">>>" && type.signed ? { ...type, signed: false } : type;
  return { k: "int", type: kept, v };
}

/**
 * Division with sign from division without, for kernels whose instruction set has only that: of the absolute values, with
 * the sign put back. By zero the quotient is 0 and the rest the left side, and the smallest number by -1 is itself, as the
 * instruction has it.
 */
function signedDivision(b: Builder, op: "sdiv" | "smod", w: Width, x: Insn, y: Insn): Insn {
  const mask = (v: Insn): Insn => b.bin("sar", w, v, constant(BigInt(w - 1)));
  const flip = (v: Insn, sign: Insn): Insn => b.bin("sub", w, b.bin("xor", w, v, sign), sign);
  const [sx, sy] = [mask(x), mask(y)];
  const result = b.bin(op === "sdiv" ? "div" : "mod", w, flip(x, sx), flip(y, sy));
  return flip(result, op === "sdiv" ? b.bin("xor", w, sx, sy) : sx);
}

/** A shift has the left side's type; the count may have any. */
function shiftType(cx: Context, a: Val, b: Val, at: number): IntType {
  const left = arithmeticType(cx, a, a, at);
  // A literal's own type does not say whether it was written with n.
  const right = b.k === "lit" ? (b.big ? U64 : NUMBER) : arithmeticType(cx, b, b, at);
  if (left.be || right.be) refuse(cx, at, "network-order values are not shifted: convert first (ntohs, ntohl)");
  if (a.k !== "lit" && (left.bits === 64) !== (right.bits === 64) && b.k === "lit") {
    refuse(cx, at, `a number and a bigint do not mix: write ${b.value}${left.bits === 64 ? "n" : ""}`);
  }
  if (a.k === "lit") return a.big ? U64 : NUMBER;
  return left.bits === 64 ? left : left.signed ? { ...NUMBER, signed: true } : NUMBER;
}

function foldLiterals(cx: Context, op: BinaryOp, at: number, a: Val & { k: "lit" }, b: Val & { k: "lit" }): Val {
  if (a.big !== b.big) refuse(cx, at, "a number and a bigint do not mix: write both with n, or both without");
  const x = a.value;
  const y = b.value;
  if ((op === "/" || op === "%") && y === 0n) refuse(cx, at, "division by zero");
  if ((op === "<<" || op === ">>" || op === ">>>") && (y < 0n || y > 63n)) refuse(cx, at, `shift by ${y}`);
  const fold: Partial<Record<BinaryOp, () => bigint>> = {
    "+": () => x + y,
    "-": () => x - y,
    "*": () => x * y,
    "/": () => x / y,
    "%": () => x % y,
    "&": () => x & y,
    "|": () => x | y,
    "^": () => x ^ y,
    "<<": () => x << y,
    ">>": () => x >> y,
    ">>>": () => BigInt.asUintN(a.big ? 64 : 32, x) >> y,
  };
  return { k: "lit", value: fold[op]!(), big: a.big };
}

function compare(cx: Context, cmp: Cmp, op: BinaryOp, at: number, a: Val, b: Val): Val {
  const bool = (v: Insn): Val => ({ k: "int", type: BOOL, v });
  const known = (v: boolean): Val => bool(constant(v ? 1n : 0n));
  const equality = cmp === "eq" || cmp === "ne";
  if (a.k === "lit" && b.k === "lit") {
    if (a.big !== b.big) refuse(cx, at, "a number and a bigint do not mix: write both with n, or both without");
    const order = a.value < b.value ? -1 : a.value > b.value ? 1 : 0;
    const truth: Record<string, boolean> = {
      eq: order === 0,
      ne: order !== 0,
      lt: order < 0,
      le: order <= 0,
      gt: order > 0,
      ge: order >= 0,
    };
    return known(truth[cmp]!);
  }
  if (equality && (a.k === "undef" || b.k === "undef")) {
    const v = a.k === "undef" ? b : a;
    if (v.k === "undef") return known(cmp === "eq");
    if (v.k === "opt") return bool(cx.b.cmp(cmp, 32, v.flag, constant(0n)));
    if (v.k === "ref" && v.nullable) return bool(cx.b.nullTest(cmp, v.address));
    return known(cmp === "ne");
  }
  if (equality && a.k === "int" && b.k === "int" && a.type.kind === "bool" && b.type.kind === "bool") {
    return bool(cx.b.cmp(cmp, 32, a.v, b.v));
  }
  if (equality && (a.k === "opt") !== (b.k === "opt")) {
    // Undefined equals no value.
    const maybe = (a.k === "opt" ? a : b) as Val & { k: "opt" };
    const there = cx.b.newBlock();
    const not = cx.b.newBlock();
    testThere(cx, maybe, there, not);
    return joinArms(cx, at, [
      [
        there,
        () =>
          a.k === "opt" ? compare(cx, cmp, op, at, a.inner, b) : compare(cx, cmp, op, at, a, (b as typeof maybe).inner),
      ],
      [not, () => known(cmp === "ne")],
    ]);
  }
  if (equality && a.k === "ref" && b.k === "ref" && !a.nullable && !b.nullable) {
    refuse(cx, at, "structs are compared with equal(a, b)");
  }
  const type = arithmeticType(cx, a, b, at);
  if (type.be && !equality) {
    const how = type.bits === 16 ? "ntohs(x)" : type.bits === 32 ? "ntohl(x)" : "ntohll(x)";
    refuse(cx, at, `${op} is not for ${typeName(type)}: convert to host order first, ${how}`);
  }
  for (const [v, other, flipped] of [
    [b, a, false],
    [a, b, true],
  ] as const) {
    if (v.k !== "lit" || v.value >= 0n || type.signed || other.k !== "int") continue;
    const what = typeName(other.type);
    refuse(
      cx,
      at,
      `${what} is never negative: declare it i32, or compare with ${flipped ? "the unsigned value" : `${what}(…)`}`,
    );
  }
  if (!type.signed && !type.be && b.k === "lit" && !b.given && b.value === 0n && (cmp === "lt" || cmp === "ge")) {
    refuse(cx, at, `an unsigned value is never below 0: this is always ${cmp === "ge"}`);
  }
  const x = operand(cx, a, type, at);
  const y = operand(cx, b, type, at);
  const signed: Partial<Record<Cmp, Cmp>> = { lt: "slt", le: "sle", gt: "sgt", ge: "sge" };
  return bool(cx.b.cmp(type.signed ? (signed[cmp] ?? cmp) : cmp, type.bits === 64 ? 64 : 32, x, y));
}

function unary(cx: Context, e: Expr & { kind: "unary" }): Val {
  if (e.op === "!") {
    const yes = cx.b.newBlock();
    const no = cx.b.newBlock();
    const v = lowerExpr(cx, e.arg);
    const simple = truth(cx, v);
    if (simple) return { k: "int", type: BOOL, v: negate(cx, simple) };
    branchOnValue(cx, v, e.arg, yes, no);
    cx.b.seal(yes);
    cx.b.seal(no);
    const bool = (n: bigint): Val => ({ k: "int", type: BOOL, v: constant(n) });
    return joinArms(cx, e.at, [
      [yes, () => bool(0n)],
      [no, () => bool(1n)],
    ]);
  }
  const v = requireThere(cx, lowerExpr(cx, e.arg), e.arg);
  if (v.k === "lit") {
    if (e.op === "+") return v;
    return { ...v, value: e.op === "-" ? -v.value : ~v.value };
  }
  const type = arithmeticType(cx, v, v, e.at);
  const x = operand(cx, v, type, e.at);
  const w: Width = type.bits === 64 ? 64 : 32;
  if (e.op === "~") {
    const flipped = cx.b.bin(
      "xor",
      w,
      x,
      constant(w === 64 ? 0xffff_ffff_ffff_ffffn : type.be && type.bits === 16 ? 0xffffn : 0xffff_ffffn),
    );
    return { k: "int", type, v: flipped };
  }
  if (type.be) refuse(cx, e.at, `${e.op} is not for ${typeName(type)}: convert to host order first`);
  return e.op === "+" ? v : { k: "int", type, v: cx.b.neg(w, x) };
}

/** The comparison that says whether a value counts as true; undefined where that takes control flow. */
function truth(cx: Context, v: Val): Insn | undefined {
  switch (v.k) {
    case "int":
      if (v.type.kind === "bool") return v.v;
      return cx.b.cmp("ne", v.type.bits === 64 ? 64 : 32, v.v, constant(0n));
    case "lit":
      return constant(v.value === 0n ? 0n : 1n);
    case "undef":
      return constant(0n);
    case "ref":
      return v.nullable ? cx.b.nullTest("ne", v.address) : constant(1n);
    case "opt":
      // Of an optional number JavaScript asks both: is it there, and is it not 0.
      return v.inner.k === "int" || v.inner.k === "opt" ? undefined : cx.b.cmp("ne", 32, v.flag, constant(0n));
    case "record":
      return constant(1n);
    default:
      return undefined;
  }
}

function negate(cx: Context, v: Insn): Insn {
  const opposite: Partial<Record<Cmp, Cmp>> = {
    eq: "ne",
    ne: "eq",
    gt: "le",
    ge: "lt",
    lt: "ge",
    le: "gt",
    sgt: "sle",
    sge: "slt",
    slt: "sge",
    sle: "sgt",
  };
  if (v.op === "cmp" && v.address) return cx.b.nullTest(v.cmp === "eq" ? "ne" : "eq", v.args[0]!);
  if (v.op === "cmp" && opposite[v.cmp]) return cx.b.cmp(opposite[v.cmp]!, v.w, v.args[0]!, v.args[1]!);
  return cx.b.cmp("eq", 32, v, constant(0n));
}

// ---- conditions ----

function branchOnValue(cx: Context, v: Val, e: Expr, yes: Block, no: Block): void {
  const simple = truth(cx, v);
  if (simple) {
    cx.b.branchOn(simple, yes, no);
    return;
  }
  if (v.k !== "opt") {
    refuse(cx, e.at, `expected a condition, got ${describe(v)}`);
    return;
  }
  const there = cx.b.newBlock();
  cx.b.branch("ne", 32, v.flag, constant(0n), there, no);
  cx.b.seal(there);
  cx.b.block = there;
  branchOnValue(cx, v.inner, e, yes, no);
}

/** Takes what a condition names for there: the condition itself was refused, and nothing follows from that. */
export function trust(cx: Context, e: Expr): void {
  const path = pathOf(cx, e);
  if (path !== undefined) learn(cx, [[path, "defined"]]);
  if (e.kind === "unary") trust(cx, e.arg);
  if (e.kind === "logical" || e.kind === "binary") {
    trust(cx, e.left);
    trust(cx, e.right);
  }
}

/** Branches on a condition; the caller seals both blocks. Gives what each side then knows. */
export function lowerCondition(cx: Context, e: Expr, yes: Block, no: Block): Facts {
  cx.b.at = e.at;
  if (e.kind === "unary" && e.op === "!") {
    const inner = lowerCondition(cx, e.arg, no, yes);
    return { yes: inner.no, no: inner.yes };
  }
  if (e.kind === "logical" && e.op !== "??") {
    const and = e.op === "&&";
    const second = cx.b.newBlock();
    const a = lowerCondition(cx, e.left, and ? second : yes, and ? no : second);
    cx.b.seal(second);
    cx.b.block = second;
    const b = under(cx, and ? a.yes : a.no, () => lowerCondition(cx, e.right, yes, no));
    return and ? { yes: [...a.yes, ...b.yes], no: [] } : { yes: [], no: [...a.no, ...b.no] };
  }
  if (e.kind === "binary" && (e.op === "===" || e.op === "!==")) {
    const left = e.left.kind === "undefined";
    if (left || e.right.kind === "undefined") {
      const v = lowerExpr(cx, e);
      cx.b.branchOn((v as Val & { k: "int" }).v, yes, no);
      const path = pathOf(cx, left ? e.right : e.left);
      if (path === undefined) return NO_FACTS;
      const is: readonly Fact[] = [[path, "undefined"]];
      const not: readonly Fact[] = [[path, "defined"]];
      return e.op === "===" ? { yes: is, no: not } : { yes: not, no: is };
    }
  }
  const v = lowerExpr(cx, e);
  cx.b.at = e.at;
  branchOnValue(cx, v, e, yes, no);
  const path = v.k === "ref" || v.k === "opt" ? pathOf(cx, e) : undefined;
  if (path === undefined) return NO_FACTS;
  const zeroIsFalse = v.k === "opt" && v.inner.k === "int";
  return { yes: [[path, "defined"]], no: zeroIsFalse ? [] : [[path, "undefined"]] };
}

function conditional(cx: Context, e: Expr & { kind: "cond" }): Val {
  const yes = cx.b.newBlock();
  const no = cx.b.newBlock();
  const wasLive = cx.b.live();
  const facts = lowerCondition(cx, e.test, yes, no);
  cx.b.seal(yes);
  cx.b.seal(no);
  if (wasLive && !yes.preds.length) cx.removed.push({ at: e.yes.at, what: "branch" });
  if (wasLive && !no.preds.length) cx.removed.push({ at: e.no.at, what: "branch" });
  return joinArms(cx, e.at, [
    [yes, () => under(cx, facts.yes, () => lowerExpr(cx, e.yes))],
    [no, () => under(cx, facts.no, () => lowerExpr(cx, e.no))],
  ]);
}

function logical(cx: Context, e: Expr & { kind: "logical" }): Val {
  if (e.op === "??") {
    const v = lowerExpr(cx, e.left);
    if (v.k === "undef") return lowerExpr(cx, e.right);
    if (v.k !== "opt" && !(v.k === "ref" && v.nullable)) return v;
    const yes = cx.b.newBlock();
    const no = cx.b.newBlock();
    testThere(cx, v, yes, no);
    return joinArms(cx, e.at, [
      [yes, () => narrowed(v, "defined")],
      [no, () => lowerExpr(cx, e.right)],
    ]);
  }
  if (e.right.kind === "number") {
    const otherwise = e.op === "||" ? "x !== 0 ? x : " : "x !== 0 ? ";
    const rest = e.op === "||" ? "" : " : 0";
    refuse(cx, e.at, `${e.op} gives true or false: write ${otherwise}${e.right.value}${rest}`);
  }
  // As a value, both sides must be booleans: `a && b` of other things is written with ?:.
  const yes = cx.b.newBlock();
  const no = cx.b.newBlock();
  lowerCondition(cx, e, yes, no);
  cx.b.seal(yes);
  cx.b.seal(no);
  const bool = (n: bigint): Val => ({ k: "int", type: BOOL, v: constant(n) });
  return joinArms(cx, e.at, [
    [yes, () => bool(1n)],
    [no, () => bool(0n)],
  ]);
}

// ---- assignment ----

/** A place in memory. */
export function lowerPlace(cx: Context, e: Expr): Place {
  cx.b.at = e.at;
  if (e.kind === "name") {
    const b = bound(cx, e.name, e.at);
    if (b.kind === "global") return globalPlace(cx, b, e.at);
  }
  if (inChain(e))
    refuse(cx, e.at, "what may be missing is not assigned through ?.: test it first (if (x) x.value = …)");
  if (e.kind === "member") {
    const object = requireThere(cx, lowerExpr(cx, e.object), e.object);
    if (object.k === "ref") {
      noteAccess(cx, object, e);
      return fieldPlace(cx, object, e.name, e.nameAt);
    }
    if (object.k === "record") refuse(cx, e.at, "an object literal cannot be changed: use a struct({…})");
    return refuse(cx, e.at, `${describe(object)} has no field to assign`);
  }
  if (e.kind === "index") {
    const object = requireThere(cx, lowerExpr(cx, e.object), e.object);
    if (object.k === "ref") return elementAt(cx, object, lowerExpr(cx, e.index), e);
    if (object.k === "map") refuse(cx, e.at, "a map is changed by update(key, value)");
    return refuse(cx, e.at, "an array literal cannot be changed: use a struct with arrayOf(…)");
  }
  return refuse(cx, e.at, "expected a field or an element in memory");
}

function store(cx: Context, target: Expr, value: (old: () => Val) => Val, at: number): Val {
  const global = target.kind === "name" && bound(cx, target.name, target.at).kind === "global";
  if (target.kind === "name" && !global) {
    const b = bound(cx, target.name, target.at);
    if (b.kind === "const") {
      const how = valueAdvice(target, b.value) ?? `${target.name} is a constant: declare it with let`;
      return refuse(cx, at, how);
    }
    const v = b as Bound & { kind: "var" };
    const next = value(() => readName(cx, target));
    const regs = flatten(cx, next, v.type, at);
    for (const [k, r] of regs.entries()) cx.b.write(v.vars[k]!, r);
    forget(cx, v.id);
    return rebuild(v.type, [...regs]);
  }
  if (target.kind === "member" && target.object.kind === "name") {
    const object = lowerExpr(cx, target.object);
    if (object.k === "ctx") return writeCtx(cx, target.name, value, target, at);
  }
  const place = lowerPlace(cx, target);
  requireWritable(cx, place.region, at);
  const next = value(() => readPlace(cx, place));
  cx.b.at = at;
  const site = cx.accessSites.get(target.at);
  if (site) cx.accessSites.set(at, site);
  const index = target.kind === "index" ? cx.indexSites.get(target.index.at) : undefined;
  if (index) cx.indexSites.set(at, index);
  writePlace(cx, place, next, at);
  return next;
}

function writeCtx(
  cx: Context,
  name: string,
  value: (old: () => Val) => Val,
  target: Expr & { kind: "member" },
  at: number,
): Val {
  const next = value(() => ctxField(cx, name, target.nameAt));
  return ctxField(cx, name, target.nameAt, { value: next, at });
}

function assign(cx: Context, e: Expr & { kind: "assign" }): Val {
  const op = e.op;
  if (op === undefined) return store(cx, e.target, () => lowerExpr(cx, e.value), e.at);
  return store(cx, e.target, (old) => loosen(binary(cx, op, e.at, old(), lowerExpr(cx, e.value))), e.at);
}

/** `[a, b] = [b, a]` */
function assignAll(cx: Context, e: Expr & { kind: "assignAll" }): Val {
  const values = lowerExpr(cx, e.value);
  if (values.k !== "record" || !values.tuple || values.fields.size < e.targets.length) {
    return refuse(cx, e.value.at, `expected ${e.targets.length} values in brackets, got ${describe(values)}`);
  }
  for (const [k, target] of e.targets.entries()) store(cx, target, () => values.fields.get(String(k))!, e.at);
  return values;
}

function update(cx: Context, e: Expr & { kind: "update" }): Val {
  let before: Val | undefined;
  const after = store(
    cx,
    e.target,
    (old) => {
      before = old();
      const big = before.k === "int" && before.type.kind === "int" && before.type.bits === 64;
      return loosen(binary(cx, e.op, e.at, before, { k: "lit", value: 1n, big }));
    },
    e.at,
  );
  return e.prefix ? after : before!;
}

/** The result of a compound assignment goes back to the place it came from, truncated. */
function loosen(v: Val): Val {
  return v.k === "int" && v.type.kind === "int" && v.type.bits === 32 && !v.type.be
    ? { ...v, type: { ...v.type, loose: true } }
    : v;
}

// ---- calls ----

function call(cx: Context, e: CallNode): Val {
  const callee = e.callee;
  if (callee.kind === "member") {
    if (callee.object.kind === "name") bound(cx, callee.object.name, callee.object.at, callee.name);
    const object = lowerExpr(cx, callee.object);
    if (inChain(callee) && (object.k === "opt" || object.k === "undef" || (object.k === "ref" && object.nullable))) {
      return ifThere(cx, object, e.at, (there) => method(cx, there, e, callee));
    }
    return method(cx, object, e, callee);
  }
  const f = lowerExpr(cx, callee);
  cx.b.at = e.at;
  switch (f.k) {
    case "fn": {
      const args = e.args.map((a) => lowerExpr(cx, a));
      cx.b.at = e.at;
      return cx.invoke(f, args, e.at);
    }
    case "builtin":
      return callBuiltin(cx, f.name, e, tools(cx));
    case "type":
      return callType(cx, f.type, e, tools(cx));
    case "external": {
      const args = e.args.map((a) => lowerExpr(cx, a));
      cx.b.at = e.at;
      return callExternal(cx, f.run, cx.passArgs(f.run, args, e.at), e.at);
    }
    case "subprog": {
      const args = e.args.map((a) => lowerExpr(cx, a));
      cx.b.at = e.at;
      return callSubprogram(cx, f.name || f.run.fn.name, f.run, f.global, cx.passArgs(f.run, args, e.at), e.at);
    }
    default:
      return refuse(cx, callee.at, `${describe(f)} cannot be called`);
  }
}

function method(cx: Context, object: Val, e: CallNode, callee: Expr & { kind: "member" }): Val {
  const name = callee.name;
  cx.b.at = e.at;
  if (object.k === "builtin" && object.name === "subprog" && name === "global") return makeSubprogram(cx, e, true);
  if (object.k === "builtin" && PROGRAM_FORMS.has(`${object.name}.${name}`)) {
    return callNamespace(cx, object.name, name, e);
  }
  if (object.k === "map") return callMap(cx, object.map, name, e, tools(cx));
  if (object.k === "ref" && object.type.kind === "map") {
    const there = requireThere(cx, object, callee.object) as RefVal;
    return callMap(
      cx,
      there.type.kind === "map" ? (there.type.map as MapDecl) : refuse(cx, e.at, ""),
      name,
      e,
      tools(cx),
      there.address,
    );
  }
  if (object.k === "namespace") return callNamespace(cx, object.name, name, e);
  if (object.k === "ctx") return callCtx(cx, name, e);
  if (object.k === "cursor") {
    const args = e.args.map((a) => lowerExpr(cx, a));
    cx.b.at = e.at;
    if (name === "parse") return parsePacket(cx, object, args, e.at);
    return cursorCall(cx, object, name, args, e.at);
  }
  const own = object.k === "record" ? object.fields.get(name) : undefined;
  if (own?.k === "fn")
    return cx.invoke(
      own,
      e.args.map((a) => lowerExpr(cx, a)),
      e.at,
    );
  requireThere(cx, object, callee.object);
  return refuse(cx, callee.nameAt, `${describe(object)} has no function ${name}${methodAdvice(object)}`);
}

function callCtx(cx: Context, name: string, e: CallNode): Val {
  if (name === "packet") return newCursor(cx, e.at);
  if (name === "header") {
    const [type, offset] = e.args.map((a) => lowerExpr(cx, a));
    if (!type) return refuse(cx, e.at, "header needs a header type");
    return contextHeader(cx, type, offset, e.at);
  }
  if (name === "offset") {
    const [h] = e.args.map((a) => lowerExpr(cx, a));
    return h ? contextOffset(cx, h, e.at) : refuse(cx, e.at, "offset needs a header in the packet");
  }
  if (name === "arg" || name === "argOrUndefined") return tracedArg(cx, e, name === "argOrUndefined");
  if (name === "as") return ctxAs(cx, e.args[0] && lowerExpr(cx, e.args[0]), e.at);
  return refuse(
    cx,
    e.at,
    `the context has no function ${name}: it has packet(), header(type, offset) and offset(header)`,
  );
}

function tools(cx: Context): BuiltinTools {
  return {
    place: (e) => lowerPlace(cx, e),
    construct: (type, init, at) => construct(cx, type, init, at),
  };
}

// ---- structs on the stack ----

function construct(cx: Context, type: MemType, init: Expr | undefined, at: number): Val {
  const t = type as StructType;
  if (init?.kind === "array" && isTuple(t)) return construct(cx, type, itemsAsFields(cx, t, init), at);
  if (!cx.program) return globalData(cx, "", t, init && lowerExpr(cx, init), at);
  if (init && init.kind !== "object") {
    const from = lowerExpr(cx, init);
    if (from.k !== "ref" || from.nullable || from.type !== type) {
      return refuse(cx, init.at, `expected ${t.name} or its fields in braces, got ${describe(from)}`);
    }
    const to = allocate(cx, t.name, type);
    copyBytes(cx, to, from, t.size);
    return to;
  }
  // All values first: they may read the object that is made anew in a loop.
  const writes: { place: (r: RefVal) => Place; value: Val; at: number; from: number; to: number }[] = [];
  if (init) collect(cx, t, init, (r) => r, 0, writes);
  const to = allocate(cx, t.name, type);
  zeroAround(cx, to, t.size, writes);
  for (const w of writes) writePlace(cx, w.place(to), w.value, w.at);
  return to;
}

/** `[a, b]` as the fields of a tuple. */
function itemsAsFields(cx: Context, t: StructType, e: Expr & { kind: "array" }): Expr {
  if (e.items.length !== t.fields.size) refuse(cx, e.at, `expected ${t.fields.size} items, got ${e.items.length}`);
  const props = e.items.map((value, k) => ({ at: value.at, name: itemName(k), value }));
  return { kind: "object", at: e.at, props };
}

type Writes = { place: (r: RefVal) => Place; value: Val; at: number; from: number; to: number }[];

function collect(
  cx: Context,
  t: StructType,
  init: Expr & { kind: "object" },
  base: (r: RefVal) => RefVal,
  off: number,
  out: Writes,
): void {
  for (const p of init.props) {
    if (p.name === undefined)
      refuse(cx, p.at, `spread is not in the language here: write ${t.name}(other) and assign fields`);
    const name = p.name!;
    const f = t.fields.get(name);
    if (!f) refuse(cx, p.at, `${t.name} has no field ${name}: it has ${[...t.fields.keys()].join(", ")}`);
    const ft = f!.type;
    const inits = p.value.kind === "array" && isTuple(ft) ? itemsAsFields(cx, ft, p.value) : p.value;
    if (inits.kind === "object" && ft.kind === "struct") {
      const inner = (r: RefVal): RefVal => {
        const outer = base(r);
        return { ...outer, type: ft, off: outer.off + f!.offset };
      };
      collect(cx, ft, inits, inner, off + f!.offset, out);
    } else if (p.value.kind === "array" && ft.kind === "array") {
      if (p.value.items.length > ft.length)
        refuse(cx, p.at, `${name} has ${ft.length} elements, got ${p.value.items.length}`);
      const size = sizeOf(ft.element);
      for (const [k, item] of p.value.items.entries()) {
        const from = off + f!.offset + k * size;
        const place = (r: RefVal): Place => {
          const outer = base(r);
          return {
            type: ft.element,
            address: outer.address,
            off: outer.off + f!.offset + k * size,
            region: outer.region,
          };
        };
        out.push({ place, value: lowerExpr(cx, item), at: item.at, from, to: from + size });
      }
    } else {
      const value = lowerExpr(cx, p.value);
      const at = off + f!.offset;
      // A bit field reads its neighbours: it covers nothing.
      const size = f!.bit === undefined ? sizeOf(ft) : 0;
      out.push({ place: (r) => fieldPlace(cx, base(r), name, p.at), value, at: p.value.at, from: at, to: at + size });
    }
  }
}

/** Zeroes the bytes that no write covers. */
function zeroAround(cx: Context, to: RefVal, size: number, writes: Writes): void {
  const covered = new Uint8Array(size);
  for (const w of writes) covered.fill(1, w.from, w.to);
  for (let at = 0; at < size; ) {
    if (covered[at]) {
      at++;
      continue;
    }
    let end = at;
    while (end < size && !covered[end]) end++;
    zeroBytes(cx, to.address, to.off + at, end - at, to.region);
    at = end;
  }
}
