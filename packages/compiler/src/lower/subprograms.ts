/**
 * Functions of their own in a program's code: `subprog(fn)`, which the verifier walks with each caller's values,
 * `subprog.global(fn)`, which it checks once by what its types say, and what helpers call back.
 *
 * Each is lowered when it is first called, once for every list of argument types: what is known at compile time (maps,
 * types, functions) is no argument but makes a function of its own.
 */
import type { KfuncProto } from "@ebplane/core/object";
import { type MemType, NUMBER, type ScalarType, U64 } from "../check/index.ts";
import { Builder, type Callee, constant, type Fn, type Insn, type Region } from "../ir/index.ts";
import { type Context, Refused, refuse } from "./context.ts";
import { describe, flatten, rebuild, sameStatic } from "./convert.ts";
import { reloadPacket } from "./packet.ts";
import { packetFields } from "./programs.ts";
import { checkReservations } from "./reservations.ts";
import { type FnVal, isRuntime, typeOfVal, type Val, type ValType } from "./values.ts";

/** Registers for arguments. */
const MAX_ARGS = 5;

/** What a parameter's register is to BTF. */
export type SubParam =
  | { readonly name: string; readonly kind: "scalar"; readonly type: ScalarType }
  | { readonly name: string; readonly kind: "ctx" }
  | { readonly name: string; readonly kind: "ref"; readonly type: MemType; readonly nullable: boolean };

/** One function of a program. */
export interface Subprogram {
  readonly callee: Callee;
  readonly at: number;
  readonly fn: Fn;
  readonly global: boolean;
  readonly params: readonly SubParam[];
  /** undefined where it gives nothing, or an address. */
  readonly returns: ScalarType | undefined;
}

/** A function that something outside defines, as BTF declares it: another object's, or one of the kernel's. */
export type External =
  | { readonly name: string; readonly params: readonly SubParam[]; readonly returns: ScalarType | undefined }
  | { readonly name: string; readonly proto: KfuncProto };

/** A subprogram in the making or made, by what it was called with. */
export interface Instance {
  readonly run: FnVal;
  readonly args: readonly ValType[];
  readonly sub: Subprogram;
  /** undefined while it is lowered, and where it was refused. */
  result: ValType | undefined;
}

/** Memory that a pointer may lead to: any, and where it is no header, possibly the stack, which wants it aligned. */
function regionFor(type: MemType): Region {
  return { kind: "any", aligned: !(type.kind === "struct" && type.form === "header") };
}

/** The type under which a value is handed over; registers hold what it has of them. */
function passed(t: ValType): ValType {
  switch (t.k) {
    case "lit":
      return { k: "int", type: t.big ? U64 : NUMBER };
    case "ref":
      return { ...t, region: t.region.kind === "btf" || t.region.kind === "probe" ? t.region : regionFor(t.type) };
    case "opt":
      return { k: "opt", inner: passed(t.inner) };
    case "record":
      return { ...t, fields: new Map([...t.fields].map(([n, f]) => [n, passed(f)])) };
    default:
      return t;
  }
}

function same(a: ValType, b: ValType): boolean {
  if (a.k !== b.k) return false;
  switch (a.k) {
    case "int":
      return JSON.stringify(a.type) === JSON.stringify((b as typeof a).type);
    case "ref":
      return (
        a.type === (b as typeof a).type &&
        a.nullable === (b as typeof a).nullable &&
        a.region.kind === (b as typeof a).region.kind
      );
    case "opt":
      return same(a.inner, (b as typeof a).inner);
    case "record": {
      const other = (b as typeof a).fields;
      return a.fields.size === other.size && [...a.fields].every(([n, f]) => other.has(n) && same(f, other.get(n)!));
    }
    case "static":
      return sameStatic(a.value, (b as typeof a).value);
    default:
      return true;
  }
}

/** Most that a register of the type can hold, by the invariants of the intermediate form. */
function mostOf(type: ScalarType): bigint {
  if (type.kind === "bool") return 1n;
  if (type.bits === 64) return 0xffff_ffff_ffff_ffffn;
  return type.signed ? 0xffff_ffffn : (1n << BigInt(type.bits)) - 1n;
}

/** The registers of a value handed over, with what BTF calls each. */
function registers(cx: Context, type: ValType, name: string, at: number): SubParam[] {
  switch (type.k) {
    case "int":
      return [{ name, kind: "scalar", type: type.type }];
    case "ref":
      return [{ name, kind: "ref", type: type.type, nullable: type.nullable }];
    case "opt":
      return [{ name: `has_${name}`, kind: "scalar", type: NUMBER }, ...registers(cx, type.inner, name, at)];
    case "record":
      return [...type.fields].flatMap(([n, f]) => registers(cx, f, `${name}_${n}`, at));
    case "static":
      if (type.value.k === "ctx") return [{ name, kind: "ctx" }];
      if (type.value.k === "cursor" || isRuntime(type.value)) {
        return refuse(cx, at, `${describe(type.value)} cannot be handed to a subprogram: hand over ctx and an offset`);
      }
      return [];
    default:
      return [];
  }
}

/**
 * How a subprogram's own code names what it was given. `untold`: of a global function, the verifier is not told that its
 * pointers are never null (by a tag, since 6.8): the code says it.
 */
function entryValues(
  b: Builder,
  types: readonly ValType[],
  global: boolean,
  untold: boolean,
): { values: Val[]; ctx: Insn | undefined } {
  let index = 0;
  const pointers: Insn[] = [];
  let ctx: Insn | undefined;
  const take = (t: ValType): Insn[] => {
    switch (t.k) {
      case "int": {
        // The verifier knows of a global function's arguments only what the code itself says.
        const most = mostOf(t.type);
        const p = b.param(index++, global ? 0xffff_ffff_ffff_ffffn : most);
        return [p];
      }
      case "ref": {
        const p = b.param(index++, 0xffff_ffff_ffff_ffffn);
        if (!t.nullable) pointers.push(p);
        return [p];
      }
      case "opt":
        return [b.param(index++, 1n), ...take(t.inner)];
      case "record":
        return [...t.fields.values()].flatMap(take);
      case "static":
        if (t.value.k === "ctx") ctx = b.param(index++, 0xffff_ffff_ffff_ffffn);
        return [];
      default:
        return [];
    }
  };
  // All arguments are taken first: they are gone after the first call.
  const regs = types.map(take);
  if (global && untold) for (const p of pointers) leaveWhereNull(b, p);
  const values = types.map((t, k) => rebuild(t, narrow(b, t, regs[k]!, global)));
  return { values, ctx };
}

function leaveWhereNull(b: Builder, p: Insn): void {
  const [there, none] = [b.newBlock(), b.newBlock()];
  b.branch("ne", 64, p, constant(0n), there, none);
  b.seal(there);
  b.seal(none);
  b.block = none;
  b.ret(constant(0n));
  b.block = there;
}

function narrow(b: Builder, t: ValType, regs: Insn[], global: boolean): Insn[] {
  if (!global || t.k !== "int") return regs;
  const type = t.type;
  if (type.kind === "bool") return [b.bin("and", 32, regs[0]!, constant(1n))];
  if (type.bits === 64) return regs;
  if (type.bits < 32 && type.signed) return [b.sext(type.bits as 8 | 16, 32, regs[0]!)];
  return [b.zext(type.bits as 8 | 16 | 32, regs[0]!)];
}

/** Calls a subprogram, which is lowered where it is called with such arguments for the first time. */
export function callSubprogram(
  cx: Context,
  name: string,
  run: FnVal,
  global: boolean,
  args: readonly Val[],
  at: number,
): Val {
  if (!cx.program) return refuse(cx, at, `${name} can only be called in a program`);
  const types = args.map((a) => passed(typeOfVal(a)));
  const i = instanceOf(cx, name, run, global, types, at);
  if (!i.result) throw new Refused();
  const regs = args.flatMap((a, k) => {
    const t = types[k]!;
    if (t.k === "static" && t.value.k === "ctx") {
      return [cx.ctx ?? refuse(cx, at, "there is no context here: take ctx as a parameter")];
    }
    return flatten(cx, a, t, at);
  });
  const writes = i.sub.params.flatMap((p, k) => (p.kind === "ref" ? [k] : []));
  // Whatever it does to memory may be seen by the caller.
  const effects = { packet: true, map: true, writes: writes.length ? writes : [0] };
  const most = i.result.k === "int" && !global ? mostOf(i.result.type) : 0xffff_ffff_ffff_ffffn;
  const r = cx.b.callFunction(i.sub.callee, regs, effects, most);
  if (cx.packet) reloadPacket(cx);
  if (i.result.k === "void" || i.result.k === "undef") return rebuild(i.result, []);
  return rebuild(i.result, narrow(cx.b, i.result, [r], global));
}

/** Calls a function that another object defines (`declare function`), and lists it among the undefined ones. */
export function callExternal(cx: Context, run: FnVal, args: readonly Val[], at: number): Val {
  const { name } = run.fn;
  if (!cx.program) return refuse(cx, at, `${name} can only be called in a program`);
  const types = args.map((a) => passed(typeOfVal(a)));
  const params = types.flatMap((t, k) => registers(cx, t, paramName(run, k), at));
  if (params.length > MAX_ARGS)
    refuse(cx, at, `${name}: its arguments need ${params.length} registers, there are ${MAX_ARGS}`);
  const result = cx.resultType(run);
  if (result.k !== "int" && result.k !== "void") {
    return refuse(cx, at, `${name}: a function that is defined elsewhere gives a number or nothing`);
  }
  cx.externals.set(name, { name, params, returns: result.k === "int" ? result.type : undefined });
  const regs = args.flatMap((a, k) => {
    const t = types[k]!;
    return t.k === "static" && t.value.k === "ctx" ? [cx.ctx!] : flatten(cx, a, t, at);
  });
  const r = cx.b.callExternal(name, regs, { packet: true, map: true, writes: [0, 1, 2, 3, 4].slice(0, regs.length) });
  if (cx.packet) reloadPacket(cx);
  // What it gives keeps to no invariant of ours.
  return result.k === "void" ? { k: "void" } : rebuild(result, narrow(cx.b, result, [r], true));
}

/** How a helper calls a function back. */
interface Callback {
  /** Arguments that the helper passes first and the function does not see. */
  readonly skip: number;
  /** What its result means: 1 ends the round, or nothing. */
  readonly result: "stop" | "nothing";
}

/** The subprogram that a helper calls back with such arguments. */
export function callbackOf(
  cx: Context,
  run: FnVal,
  types: readonly ValType[],
  skip: number,
  result: Callback["result"],
  at: number,
): Callee {
  const name = `${cx.b.fn.name}_${run.fn.name === "the function" ? "callback" : run.fn.name}`;
  const seen = run.fn.params.length;
  if (seen > types.length - skip)
    refuse(cx, at, `the function takes ${seen} values, it is given ${types.length - skip}`);
  const i = instanceOf(cx, name, run, false, types.map(passed), at, { skip, result });
  if (!i.result) throw new Refused();
  return i.sub.callee;
}

/** The function that such arguments get. */
export function instanceOf(
  cx: Context,
  name: string,
  run: FnVal,
  global: boolean,
  types: readonly ValType[],
  at: number,
  callback?: Callback,
): Instance {
  if (cx.frames.some((f) => f.fn === run.fn)) {
    refuse(cx, at, `${name} calls itself: there is no recursion, write a bounded loop`);
  }
  const known = cx.instances.find(
    (i) =>
      i.run.fn === run.fn &&
      i.run.scope === run.scope &&
      i.args.length === types.length &&
      types.every((t, k) => same(t, i.args[k]!)),
  );
  if (known) return known;
  const params = types.flatMap((t, k) => registers(cx, t, paramName(run, k), at));
  if (params.length > MAX_ARGS) {
    refuse(
      cx,
      at,
      `${name}: its arguments need ${params.length} registers, a subprogram has ${MAX_ARGS}: hand over a struct`,
    );
  }
  if (global) checkGlobal(cx, name, params, run.fn.at);
  const again = cx.instances.filter(
    (i) => i.sub.callee.name === name || i.sub.callee.name.startsWith(`${name}_v`),
  ).length;
  const b = new Builder(again ? `${name}_v${again + 1}` : name);
  const callee: Callee = { id: cx.nextId++, name: b.fn.name };
  const saved = { ...cx };
  b.at = run.fn.at;
  const { values, ctx } = entryValues(b, types, global, !cx.forms.argumentTags);
  Object.assign(cx, { b, ctx, facts: [new Map()], packet: undefined, label: undefined });
  if (ctx && packetFields(cx.program!)) {
    cx.packet = { data: b.newVar(), end: b.newVar() };
    reloadPacket(cx);
  }
  const made: { -readonly [K in keyof Subprogram]: Subprogram[K] } = {
    callee,
    at: run.fn.at,
    fn: b.fn,
    global,
    params,
    returns: undefined,
  };
  const instance: Instance = { run, args: types, sub: made, result: undefined };
  cx.instances.push(instance);
  try {
    const own = callback ? values.slice(callback.skip, callback.skip + run.fn.params.length) : values;
    const v = cx.invoke(run, own, at);
    instance.result = callback ? endRound(cx, v, callback, run.fn.at) : giveBack(cx, name, v, global, run.fn.at);
    if (instance.result.k === "int") made.returns = instance.result.type;
    cx.finish(b);
    checkReservations(b.fn, cx.report);
  } finally {
    const { nextId, complaints } = cx;
    Object.assign(cx, saved, { nextId, complaints });
  }
  return instance;
}

function paramName(run: FnVal, k: number): string {
  const b = run.fn.params[k]?.binding;
  return b?.kind === "name" ? b.name : `arg${k + 1}`;
}

/** The kernel wants 0 or 1 of a callback. */
function endRound(cx: Context, v: Val, { result }: Callback, at: number): ValType {
  if (v.k === "void" || v.k === "undef") cx.b.ret(constant(0n));
  else if (result === "nothing") refuse(cx, at, `the function gives ${describe(v)}: it gives nothing here`);
  else if (v.k === "int" && v.type.kind === "bool") cx.b.ret(v.v);
  else refuse(cx, at, `the function gives ${describe(v)}: it gives true to stop, false or nothing to go on`);
  return { k: "void" };
}

/** Ends the function with its result in r0. */
function giveBack(cx: Context, name: string, v: Val, global: boolean, at: number): ValType {
  const type = passed(typeOfVal(v));
  switch (type.k) {
    case "void":
    case "undef":
      cx.b.ret(constant(0n));
      return type;
    case "int":
      cx.b.ret(flatten(cx, v, type, at)[0]!);
      return type;
    case "ref":
      if (global) refuse(cx, at, `${name} gives ${describe(v)}: a global function gives a number`);
      if (v.k === "ref" && v.region.kind === "stack") {
        refuse(cx, at, `${name} gives a struct of its own stack: fill one that the caller hands over`);
      }
      cx.b.ret(flatten(cx, v, type, at)[0]!);
      return type;
    default:
      return refuse(cx, at, `${name} gives ${describe(v)}: a subprogram gives one number or one reference`);
  }
}

function checkGlobal(cx: Context, name: string, params: readonly SubParam[], at: number): void {
  for (const p of params) {
    if (p.kind === "ref" && p.name && p.type.kind !== "struct" && p.type.kind !== "array") {
      refuse(cx, at, `${name}: parameter ${p.name}: a global function takes numbers, ctx and structs`);
    }
  }
}
