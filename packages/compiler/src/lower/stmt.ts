/** Statements: declarations, control flow with its facts, and functions lowered at their calls. */
import { type IntType, isTuple, itemName, type MemType, NUMBER, SCALARS, U32, U64 } from "../check/index.ts";
import { type Block, constant } from "../ir/index.ts";
import type { Binding, Expr, FunctionNode, Stmt, TypeNode } from "../parse/index.ts";
import { elementAdvice } from "./advice.ts";
import { nameType } from "./builtins.ts";
import { type Context, type Exit, type Facts, type Frame, learn, Refused, refuse, under } from "./context.ts";
import { describe, describeType, flatten, rebuild, toScalar } from "./convert.ts";
import { joinValues, lookup, lowerCondition, lowerExpr, lowerInit, trust } from "./expr.ts";
import { elementPlace, fieldPlace, readPlace } from "./memory.ts";
import { forgetVariables, rangeLoop } from "./rangeloops.ts";
import { childScope, moduleOf } from "./scope.ts";
import { type FnVal, typeOfVal, type Val, type ValType } from "./values.ts";

/** Iterations of a loop over a compile-time array at most: each is a copy of the body. */
const MAX_UNROLL = 256;

export function lowerStatements(cx: Context, statements: readonly Stmt[]): void {
  // Functions and types are visible before their declaration.
  for (const s of statements) {
    if (s.kind === "function") {
      cx.scope.names.set(s.fn.name, { kind: "const", id: cx.nextId++, value: { k: "fn", fn: s.fn, scope: cx.scope } });
    }
  }
  for (const s of statements) lowerStatement(cx, s);
}

/** A statement that is refused is left out; the next ones still say what is wrong with them. */
export function lowerStatement(cx: Context, s: Stmt): void {
  try {
    statement(cx, s);
  } catch (e) {
    if (!(e instanceof Refused)) throw e;
    if (s.kind === "let") for (const d of s.decls) breakNames(cx, d.binding);
  }
}

function breakNames(cx: Context, b: Binding): void {
  if (b.kind === "name") {
    if (!cx.scope.names.has(b.name)) cx.scope.names.set(b.name, { kind: "broken" });
  } else if (b.kind === "fields") for (const f of b.fields) breakNames(cx, f.binding);
  else for (const i of b.items) if (i) breakNames(cx, i);
}

function inScope(cx: Context, run: () => void): void {
  const outer = cx.scope;
  cx.scope = childScope(outer, cx.b);
  try {
    run();
  } finally {
    cx.scope = outer;
  }
}

function statement(cx: Context, s: Stmt): void {
  cx.b.at = s.at;
  const label = cx.label;
  if (s.kind !== "label") cx.label = undefined;
  switch (s.kind) {
    case "let":
      for (const d of s.decls) {
        const type = d.type && resolveType(cx, d.type);
        const value = d.init && (type ? lowerExpr : lowerInit)(cx, d.init);
        cx.b.at = d.at;
        declare(cx, d.binding, s.constant, type, value, d.at);
      }
      return;
    case "function":
      return;
    case "type":
      refuse(cx, s.at, "declare types at the top level of the file");
      return;
    case "expr":
      lowerExpr(cx, s.expr);
      return;
    case "block":
      inScope(cx, () => lowerStatements(cx, s.body));
      return;
    case "if":
      lowerIf(cx, s);
      return;
    case "for":
      inScope(cx, () => {
        if (s.init) lowerStatement(cx, s.init);
        loop(cx, label, s.test, s.body, s.step ? () => void lowerExpr(cx, s.step!) : undefined, false);
      });
      return;
    case "while":
      loop(cx, label, s.test, s.body, undefined, s.testLast);
      return;
    case "forOf":
      lowerForOf(cx, s, label);
      return;
    case "switch":
      lowerSwitch(cx, s, label);
      return;
    case "break":
    case "continue":
      leave(cx, s);
      return;
    case "return":
      lowerReturn(cx, s);
      return;
    case "label":
      cx.label = s.label;
      if (["for", "forOf", "while", "switch"].includes(s.body.kind)) {
        statement(cx, s.body);
        return;
      }
      refuse(cx, s.at, "only loops and switches have labels");
      return;
  }
}

// ---- declarations ----

function declare(
  cx: Context,
  b: Binding,
  constantName: boolean,
  type: ValType | undefined,
  value: Val | undefined,
  at: number,
): void {
  if (b.kind === "name") {
    if (cx.scope.names.has(b.name)) refuse(cx, b.at, `${b.name} is declared twice`);
    if (!value) {
      if (!type) {
        refuse(cx, b.at, `give ${b.name} a type or a value: let ${b.name}: u32 = 0`);
        return;
      }
      if (type.k === "opt" || (type.k === "ref" && type.nullable)) value = { k: "undef" };
      else if (type.k !== "int") {
        refuse(cx, b.at, `give ${b.name} a value`);
        return;
      } else value = type.type.kind === "bool" ? { k: "int", type: type.type, v: constant(0n) } : zeroOf(type.type);
    }
    if (constantName && !type) {
      if (value.k === "void") refuse(cx, at, "the function gives no value");
      if (value.k === "type") nameType(value.type, b.name);
      cx.scope.names.set(b.name, { kind: "const", id: cx.nextId++, value });
      return;
    }
    const held = type ?? widen(typeOfVal(value));
    if (held.k === "static" || held.k === "void") {
      if (!constantName) refuse(cx, b.at, `${describe(value)} cannot change: declare ${b.name} with const`);
      cx.scope.names.set(b.name, { kind: "const", id: cx.nextId++, value });
      return;
    }
    const from = regionOf(held, value);
    const regs = flatten(cx, value, from, at);
    if (constantName) {
      cx.scope.names.set(b.name, { kind: "const", id: cx.nextId++, value: rebuild(from, regs) });
      return;
    }
    const vars = regs.map((r) => {
      const v = cx.b.newVar();
      cx.b.write(v, r);
      return v;
    });
    cx.scope.names.set(b.name, {
      kind: "var",
      id: cx.nextId++,
      name: b.name,
      type: constantName ? from : anyRegion(from),
      vars,
    });
    return;
  }
  if (!value) {
    refuse(cx, b.at, "a pattern needs a value");
    return;
  }
  if (b.kind === "fields") {
    for (const f of b.fields) {
      if (value.k === "record") {
        const part = value.fields.get(f.name);
        if (!part)
          refuse(cx, f.binding.at, `the object has no ${f.name}: it has ${[...value.fields.keys()].join(", ")}`);
        declare(cx, f.binding, constantName, undefined, part, at);
      } else if (
        value.k === "ctx" ||
        value.k === "cursor" ||
        (value.k === "ref" && !value.nullable && value.type.kind === "struct")
      ) {
        const name = "value";
        const hidden = childScope(cx.scope, cx.b);
        hidden.names.set(name, { kind: "const", id: cx.nextId++, value });
        const outer = cx.scope;
        cx.scope = hidden;
        const at2 = f.binding.at;
        let part: Val;
        try {
          part = lowerExpr(cx, {
            kind: "member",
            at: at2,
            object: { kind: "name", at: at2, name },
            name: f.name,
            nameAt: at2,
            optional: false,
          });
        } finally {
          cx.scope = outer;
        }
        declare(cx, f.binding, constantName, undefined, part, at);
      } else refuse(cx, b.at, `${describe(value)} cannot be taken apart: test it first`);
    }
    return;
  }
  for (const [k, item] of b.items.entries()) {
    if (!item) continue;
    if (value.k === "record" && value.tuple) {
      const part = value.fields.get(String(k));
      if (!part) refuse(cx, item.at, `the tuple has ${value.fields.size} items`);
      declare(cx, item, constantName, undefined, part, at);
    } else if (value.k === "ref" && !value.nullable && value.type.kind === "array") {
      const part = readPlace(cx, elementPlace(cx, value, { k: "lit", value: BigInt(k), big: false }, item.at));
      declare(cx, item, constantName, undefined, part, at);
    } else if (value.k === "ref" && !value.nullable && isTuple(value.type)) {
      const part = readPlace(cx, fieldPlace(cx, value, itemName(k), item.at));
      declare(cx, item, constantName, undefined, part, at);
    } else refuse(cx, b.at, `${describe(value)} cannot be taken apart by position`);
  }
}

function zeroOf(type: IntType): Val {
  return { k: "int", type, v: constant(0n) };
}

/** What a variable without a declared type holds. */
export function widen(t: ValType): ValType {
  if (t.k === "lit") return { k: "int", type: t.big ? U64 : NUMBER };
  if (t.k === "record") {
    return { k: "record", tuple: t.tuple, fields: new Map([...t.fields].map(([n, f]) => [n, widen(f)])) };
  }
  return t;
}

/** A declared reference type says nothing of the memory: that is the value's. */
function regionOf(type: ValType, value: Val): ValType {
  if (type.k !== "ref") return type;
  return value.k === "ref" ? { ...type, region: value.region } : type;
}

/** Memory that is read in a way of its own. */
const KEPT = new Set(["packet", "btf", "probe"]);

/** A variable may later refer to other memory. */
function anyRegion(type: ValType): ValType {
  if (type.k !== "ref") return type;
  return { ...type, region: KEPT.has(type.region.kind) ? type.region : { kind: "any" } };
}

// ---- types ----

/** The type that an annotation means; undefined where it says nothing that the compiler needs. */
export function resolveType(cx: Context, t: TypeNode): ValType | undefined {
  switch (t.kind) {
    case "other":
      return undefined;
    case "union": {
      const rest = t.types.filter((u) => !(u.kind === "ref" && u.name === "undefined"));
      const [one, ...more] = rest.map((u) => resolveType(cx, u));
      if (rest.length === t.types.length || more.length) return undefined;
      if (!one) return undefined;
      if (one.k === "ref") return { ...one, nullable: true };
      return one.k === "static" ? undefined : { k: "opt", inner: one };
    }
    case "typeof":
      return undefined;
    case "ref": {
      if (t.name === "Infer" || t.name === "Readonly") {
        const [inner] = t.args;
        if (inner?.kind === "typeof") return memType(cx, inner.name);
        return inner ? resolveType(cx, inner) : undefined;
      }
      if (t.name === "number") return { k: "int", type: NUMBER };
      if (t.name === "bigint") return { k: "int", type: U64 };
      if (t.name === "boolean") return { k: "int", type: SCALARS.get("bool")! };
      if (t.name === "void") return { k: "void" };
      if (t.name === "undefined") return { k: "undef" };
      return memType(cx, t.name);
    }
  }
}

function memType(cx: Context, name: string): ValType | undefined {
  const found = lookup(cx, name);
  if (found?.kind === "const" && found.value.k === "type") return asValue(found.value.type);
  const alias = cx.typeAlias(moduleOf(cx.scope), name);
  // Where it means itself (its value was refused), it says nothing.
  if (!alias || cx.aliases.has(alias.type)) return undefined;
  const outer = cx.scope;
  cx.scope = alias.scope;
  cx.aliases.add(alias.type);
  try {
    return resolveType(cx, alias.type);
  } finally {
    cx.scope = outer;
    cx.aliases.delete(alias.type);
  }
}

function asValue(type: MemType): ValType {
  if (type.kind === "int" || type.kind === "bool") return { k: "int", type };
  return { k: "ref", type, region: { kind: "any" }, nullable: false };
}

// ---- control flow ----

/** Control goes on in a block that nothing reaches: what follows is lowered only for its complaints. */
function unreachable(cx: Context): void {
  const dead = cx.b.newBlock();
  cx.b.seal(dead);
  cx.b.block = dead;
}

function lowerIf(cx: Context, s: Stmt & { kind: "if" }): void {
  const { b } = cx;
  const wasLive = b.live();
  const yes = b.newBlock();
  const no = b.newBlock();
  const facts = conditionOf(cx, s.test, yes, no);
  b.seal(yes);
  b.seal(no);
  if (wasLive && !yes.preds.length) cx.removed.push({ at: s.yes.at, what: "branch" });
  if (wasLive && !no.preds.length && s.no) cx.removed.push({ at: s.no.at, what: "branch" });
  const arm = (block: Block, body: Stmt | undefined, known: Facts["yes"]): { block: Block; live: boolean } => {
    b.block = block;
    if (body) under(cx, known, () => inScope(cx, () => lowerStatement(cx, body)));
    return { block: b.block, live: b.live() && !b.block.term };
  };
  const ends = [arm(yes, s.yes, facts.yes), arm(no, s.no, facts.no)];
  const done = b.newBlock();
  for (const e of ends) {
    b.block = e.block;
    b.jump(done);
  }
  b.seal(done);
  b.block = done;
  if (!ends[0]!.live && ends[1]!.live) learn(cx, facts.no);
  if (!ends[1]!.live && ends[0]!.live) learn(cx, facts.yes);
}

function conditionOf(cx: Context, test: Expr, yes: Block, no: Block): Facts {
  try {
    return lowerCondition(cx, test, yes, no);
  } catch (e) {
    if (e instanceof Refused) trust(cx, test);
    throw e;
  }
}

/**
 * Loops are lowered with the test at the end, and once before: one jump an iteration, and the first test is often known.
 */
function loop(
  cx: Context,
  label: string | undefined,
  test: (Stmt & { kind: "while" })["test"] | undefined,
  body: Stmt,
  step: (() => void) | undefined,
  testLast: boolean,
): void {
  const { b } = cx;
  const head = b.newBlock();
  const next = b.newBlock();
  const done = b.newBlock();
  forgetVariables(cx);
  let facts: Facts["yes"] = [];
  if (test && !testLast) facts = lowerCondition(cx, test, head, done).yes;
  else b.jump(head);
  b.block = head;
  const exits = cx.frames.at(-1)!.exits;
  exits.push({ label, onBreak: done, onContinue: next });
  under(cx, testLast ? [] : facts, () => inScope(cx, () => lowerStatement(cx, body)));
  exits.pop();
  b.jump(next);
  b.seal(next);
  b.block = next;
  step?.();
  if (test) lowerCondition(cx, test, head, done);
  else b.jump(head);
  b.seal(head);
  b.seal(done);
  b.block = done;
}

/** What a round of a loop has tested does not hold behind it: `continue` leads there, too. */
function inRound(cx: Context, run: () => void): void {
  under(cx, [], () => inScope(cx, run));
}

function lowerForOf(cx: Context, s: Stmt & { kind: "forOf" }, label: string | undefined): void {
  const over = lowerExpr(cx, s.over);
  if (over.k === "range") {
    const { binding } = s;
    if (binding.kind !== "name") {
      refuse(cx, binding.at, "name the counter: for (const i of range(n))");
      return;
    }
    rangeLoop(cx, over, s.at, (counter, exit) => {
      const { exits } = cx.frames.at(-1)!;
      exits.push({ label, ...exit });
      inRound(cx, () => {
        const value: Val = { k: "int", type: U32, v: counter };
        cx.scope.names.set(binding.name, { kind: "const", id: cx.nextId++, value });
        lowerStatement(cx, s.body);
      });
      exits.pop();
    });
    return;
  }
  const { b } = cx;
  const items: (() => Val)[] = [];
  if (over.k === "record" && over.tuple) for (const v of over.fields.values()) items.push(() => v);
  else if (over.k === "ref" && !over.nullable && over.type.kind === "array") {
    for (let k = 0; k < over.type.length; k++) {
      items.push(() => readPlace(cx, elementPlace(cx, over, { k: "lit", value: BigInt(k), big: false }, s.at)));
    }
  } else {
    refuse(cx, s.over.at, `for…of goes over range(n) or an array, got ${describe(over)}${elementAdvice(over)}`);
    return;
  }
  if (items.length > MAX_UNROLL) refuse(cx, s.over.at, `${items.length} copies of the body are too many: use range(n)`);
  const done = b.newBlock();
  for (const item of items) {
    const next = b.newBlock();
    cx.frames.at(-1)!.exits.push({ label, onBreak: done, onContinue: next });
    inRound(cx, () => {
      declare(cx, s.binding, s.constant, undefined, item(), s.at);
      lowerStatement(cx, s.body);
    });
    cx.frames.at(-1)!.exits.pop();
    b.jump(next);
    b.seal(next);
    b.block = next;
  }
  b.jump(done);
  b.seal(done);
  b.block = done;
}

function lowerSwitch(cx: Context, s: Stmt & { kind: "switch" }, label: string | undefined): void {
  const { b } = cx;
  const value = lowerExpr(cx, s.value);
  const name = " switch";
  const done = b.newBlock();
  const bodies = s.cases.map(() => b.newBlock());
  const outer = cx.scope;
  cx.scope = childScope(outer, cx.b);
  try {
    // The value is computed once and compared like any `===`.
    cx.scope.names.set(name, { kind: "const", id: cx.nextId++, value });
    for (const [k, c] of s.cases.entries()) {
      if (!c.test) continue;
      const next = b.newBlock();
      const at = c.test.at;
      const left = { kind: "name", at, name } as const;
      lowerCondition(cx, { kind: "binary", at, op: "===", left, right: c.test }, bodies[k]!, next);
      b.seal(next);
      b.block = next;
    }
    const fallback = s.cases.findIndex((c) => !c.test);
    b.jump(fallback < 0 ? done : bodies[fallback]!);
    const frame = cx.frames.at(-1)!;
    frame.exits.push({ label, onBreak: done, onContinue: undefined });
    for (const [k, c] of s.cases.entries()) {
      b.seal(bodies[k]!);
      b.block = bodies[k]!;
      under(cx, [], () => lowerStatements(cx, c.body));
      b.jump(bodies[k + 1] ?? done);
    }
    frame.exits.pop();
  } finally {
    cx.scope = outer;
  }
  b.seal(done);
  b.block = done;
}

function leave(cx: Context, s: Stmt & { kind: "break" | "continue" }): void {
  const { exits } = cx.frames.at(-1)!;
  const fits = (e: Exit) => (s.label === undefined ? s.kind === "break" || e.onContinue : e.label === s.label);
  const k = exits.findLastIndex(fits);
  const exit = exits[k];
  const to = s.kind === "break" ? exit?.onBreak : exit?.onContinue;
  if (!to) {
    refuse(cx, s.at, s.label ? `there is no loop labelled ${s.label}` : `${s.kind} stands in no loop`);
    return;
  }
  leaveAll(exits.slice(k + 1));
  cx.b.jump(to);
  unreachable(cx);
}

/** What the loops hold that are left, the innermost first. */
function leaveAll(exits: readonly Exit[]): void {
  for (let k = exits.length - 1; k >= 0; k--) exits[k]!.leave?.();
}

function lowerReturn(cx: Context, s: Stmt & { kind: "return" }): void {
  const frame = cx.frames.at(-1)!;
  const value: Val = s.value ? lowerExpr(cx, s.value) : { k: "void" };
  cx.b.at = s.at;
  leaveAll(frame.exits);
  finish(cx, frame, value, s.at);
  unreachable(cx);
}

function finish(cx: Context, frame: Frame, value: Val, at: number): void {
  frame.returns.push({ block: cx.b.block, value, at });
}

// ---- calls ----

/** Lowers a function's body in place, with its parameters bound to the arguments. */
export function invoke(cx: Context, f: FnVal, args: readonly Val[], at: number): Val {
  const fn = f.fn;
  if (cx.frames.some((frame) => frame.fn === fn)) {
    refuse(cx, at, `${fn.name} calls itself: there is no recursion, write a bounded loop`);
  }
  if (args.length > fn.params.length)
    refuse(cx, at, `${fn.name} has ${fn.params.length} parameters, got ${args.length}`);
  cx.calledFunctions.add(fn);
  if (cx.b.live() && !cx.b.block.term) cx.reachedFunctions.add(fn);
  const outerScope = cx.scope;
  const outerFacts = cx.facts;
  cx.scope = childScope(f.scope, cx.b);
  // Facts about the caller's variables still hold for functions that see them.
  cx.facts = [...outerFacts, new Map()];
  const frame: Frame = { fn, returns: [], declared: fn.returns && resolveReturn(cx, fn.returns), exits: [] };
  cx.frames.push(frame);
  try {
    for (const [k, p] of fn.params.entries()) {
      const given = args[k] ?? (p.fallback && lowerExpr(cx, p.fallback));
      if (!given) return missing(cx, fn, k, at);
      bindParam(cx, fn, p.binding, p.type && resolveType(cx, p.type), given, at);
    }
    return runBody(cx, fn, frame);
  } finally {
    cx.frames.pop();
    cx.scope = outerScope;
    cx.facts = outerFacts;
  }
}

function missing(cx: Context, fn: FunctionNode, k: number, at: number): never {
  return refuse(cx, at, `${fn.name}: parameter ${k + 1} (${paramName(fn.params[k]!.binding)}) is missing`);
}

/** The arguments as the parameters' types have them, for a function that is called on its own. */
export function checkArgs(cx: Context, f: FnVal, args: readonly Val[], at: number): Val[] {
  const { fn } = f;
  if (args.length > fn.params.length) {
    refuse(cx, at, `${fn.name} has ${fn.params.length} parameters, got ${args.length}`);
  }
  const outer = cx.scope;
  cx.scope = childScope(f.scope, cx.b);
  try {
    return fn.params.map((p, k) => {
      const given = args[k] ?? (p.fallback && lowerExpr(cx, p.fallback)) ?? missing(cx, fn, k, at);
      const type = p.type && resolveType(cx, p.type);
      if (!type) return given;
      const fits = checkParam(cx, type, given, `${fn.name}: parameter ${paramName(p.binding)}`, at);
      // One function for literals and others alike.
      if (type.k === "int" && fits.k === "lit")
        return { k: "int", type: type.type, v: toScalar(cx, fits, type.type, at) };
      if (type.k === "ref" && type.nullable && fits.k === "undef") return { ...rebuild(type, [constant(0n)]) };
      return type.k === "ref" && type.nullable && fits.k === "ref" ? { ...fits, nullable: true } : fits;
    });
  } finally {
    cx.scope = outer;
  }
}

/** What a function that has no body here says that it gives. */
export function resultType(cx: Context, f: FnVal): ValType {
  const outer = cx.scope;
  cx.scope = f.scope;
  try {
    return (f.fn.returns && resolveType(cx, f.fn.returns)) ?? { k: "undef" };
  } finally {
    cx.scope = outer;
  }
}

function resolveReturn(cx: Context, t: TypeNode): ValType | undefined {
  const type = resolveType(cx, t);
  // What memory a reference is to comes from the value.
  return type && (type.k === "int" || (type.k === "opt" && type.inner.k === "int")) ? type : undefined;
}

function paramName(b: Binding): string {
  return b.kind === "name" ? b.name : "a pattern";
}

function bindParam(cx: Context, fn: FunctionNode, b: Binding, type: ValType | undefined, given: Val, at: number): void {
  if (b.kind !== "name") {
    declare(cx, b, true, undefined, given, at);
    return;
  }
  const fits = type ? checkParam(cx, type, given, `${fn.name}: parameter ${b.name}`, at) : given;
  if (!fn.assigned.has(b.name)) {
    cx.scope.names.set(b.name, { kind: "const", id: cx.nextId++, value: fits });
    return;
  }
  declare(cx, b, false, undefined, fits, at);
}

function checkParam(cx: Context, type: ValType, given: Val, what: string, at: number): Val {
  const complain = (message: string): never => refuse(cx, at, `${what}: ${message}`);
  if (type.k === "int") {
    // A literal for a plain number stays one: constants fold through calls.
    if (given.k === "lit" && type.type.kind === "int" && type.type.loose) return given;
    const prefixed: Context = { ...cx, report: (p, m) => cx.report(p, `${what}: ${m}`) };
    const v = toScalar(prefixed, given, type.type, at);
    return { k: "int", type: type.type, v };
  }
  if (type.k === "ref") {
    if (given.k === "undef" && type.nullable) return given;
    if (given.k !== "ref" || given.type !== type.type)
      return complain(`expected ${describeType(type)}, got ${describe(given)}`);
    if (given.nullable && !type.nullable) return complain(`it may be undefined here: test it first`);
    return given;
  }
  if (type.k === "opt" && given.k !== "opt" && given.k !== "undef") return checkParam(cx, type.inner, given, what, at);
  return given;
}

function runBody(cx: Context, fn: FunctionNode, frame: Frame): Val {
  const { b } = cx;
  if (!isStatements(fn.body)) {
    const v = lowerExpr(cx, fn.body);
    return frame.declared ? convertReturn(cx, frame.declared, v, fn.at) : v;
  }
  const before = cx.complaints;
  lowerStatements(cx, fn.body);
  const complained = cx.complaints > before;
  const end = b.block;
  const fallsThrough = b.live() && !b.block.term;
  if (!frame.returns.length) return { k: "void" };
  const ends = frame.returns.map((r) => {
    b.block = r.block;
    const value = frame.declared ? convertReturn(cx, frame.declared, r.value, r.at) : r.value;
    return { block: b.block, value, live: b.live() };
  });
  if (fallsThrough) {
    if (ends.some((e) => e.value.k !== "void")) {
      if (complained) throw new Refused();
      refuse(cx, fn.at, `${fn.name} does not return a value on every path: end it with return`);
    }
    ends.push({ block: end, value: { k: "void" }, live: true });
  }
  const empty = ends.findIndex((e) => e.value.k === "void");
  if (empty >= 0 && ends.some((e) => e.value.k !== "void")) {
    if (complained) throw new Refused();
    refuse(cx, frame.returns[empty]!.at, "this return gives nothing and another one a value: give one here, too");
  }
  const done = b.newBlock();
  const result = joinValues(cx, fn.at, ends, done);
  b.seal(done);
  b.block = done;
  return result();
}

function isStatements(body: FunctionNode["body"]): body is readonly Stmt[] {
  return Array.isArray(body);
}

function convertReturn(cx: Context, type: ValType, v: Val, at: number): Val {
  return rebuild(type, flatten(cx, v, type, at));
}
