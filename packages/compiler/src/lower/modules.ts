/** Files: which import which, and what the names at their top level are. */
import { Builder } from "../ir/index.ts";
import {
  declared,
  type ModuleNode,
  makeSource,
  parseModule,
  type Source,
  type Stmt,
  type TypeNode,
} from "../parse/index.ts";
import { PRELUDE } from "../prelude.generated.ts";
import { builtin, builtinNames, nameType } from "./builtins.ts";
import { type Context, Refused, refuse } from "./context.ts";
import { globalData } from "./data.ts";
import { lowerExpr } from "./expr.ts";
import type { MapDecl } from "./maps.ts";
import { CONTEXTS } from "./programs.ts";
import type { Bound, Module, Scope } from "./scope.ts";
import { meant } from "./spelling.ts";
import { lowerStatement, resolveType, widen } from "./stmt.ts";
import { type FnVal, typeOfVal, type Val, type ValType } from "./values.ts";

const LIBRARY = "ebplane/bpf";

/** Names of `ebplane/bpf` that are only types, in annotations. */
const TYPE_NAMES = new Set([
  "Infer",
  "Type",
  "IntType",
  "BeType",
  "ArrayOf",
  "Fields",
  "FieldsOf",
  "StructType",
  "HeaderType",
  "Packet",
  "Parsed",
  "Protocols",
  "Repeated",
  ...CONTEXTS.keys(),
  "Program",
  "ProgramOptions",
  "MapOptions",
  "RefTo",
  "KeyedMap",
  "ArrayMap",
  "RedirectMap",
  "ProgArray",
  "RingBuffer",
]);

/** Gives a file's text, or undefined when there is none. */
export type ReadFile = (path: string) => string | undefined;

export interface Modules {
  readonly entry: Module;
  readonly all: readonly Module[];
  readonly sources: readonly Source[];
}

let prelude: ModuleNode | undefined;

/** The library's syntax tree: parsed once. Its file has index 0. */
function preludeNode(): ModuleNode {
  prelude ??= parseModule(makeSource(LIBRARY, PRELUDE, 0), (_, message) => {
    throw new Error(`the prelude does not parse: ${message}`);
  });
  return prelude;
}

/** Loads the entry file and all that it imports. */
export function loadModules(
  entry: string,
  read: ReadFile,
  report: (at: number, message: string) => void,
): Modules | undefined {
  const sources: Source[] = [preludeNode().source];
  const byPath = new Map<string, Module>();
  const library = makeModule(preludeNode(), new Map(), true);
  for (const [name] of libraryImports())
    (library.imports as Map<string, unknown>).set(name, { from: undefined, name, at: 0 });
  byPath.set(LIBRARY, library);

  const load = (path: string): Module | undefined => {
    const known = byPath.get(path);
    if (known) return known;
    const text = read(path);
    if (text === undefined) return undefined;
    const source = makeSource(path, text, sources.length);
    sources.push(source);
    const node = parseModule(source, report);
    const imports = new Map<string, { from: Module | undefined; name: string; at: number }>();
    const module = makeModule(node, imports, false);
    byPath.set(path, module);
    const take = (from: string, at: number): Module | undefined => {
      if (from === LIBRARY) return library;
      if (!from.startsWith(".")) {
        report(at, `cannot import ${from}: expected "${LIBRARY}" or a file ("./name.bpf.ts")`);
        return undefined;
      }
      const target = load(resolvePath(path, from)) ?? load(`${resolvePath(path, from).replace(/\.js$/, "")}.ts`);
      if (!target) report(at, `there is no file ${resolvePath(path, from)}`);
      return target;
    };
    for (const i of node.imports) {
      const target = take(i.from, i.at);
      if (target) for (const n of i.names) imports.set(n.local, { from: target, name: n.imported, at: n.at });
    }
    for (const i of node.reexports) {
      const target = take(i.from, i.at);
      if (!target) continue;
      for (const n of i.names) {
        imports.set(n.local, { from: target, name: n.imported, at: n.at });
        (node.exports as Map<string, string>).set(n.local, n.local);
      }
    }
    return module;
  };
  const module = load(entry);
  if (!module) return undefined;
  const all = [...byPath.values()].filter((m) => !m.library);
  for (const m of all) {
    checkImports(m, report);
    checkNames(m, report);
  }
  return { entry: module, all, sources };
}

function libraryImports(): Map<string, string> {
  const names = new Map<string, string>();
  for (const i of preludeNode().imports) for (const n of i.names) names.set(n.local, n.imported);
  return names;
}

function makeModule(node: ModuleNode, imports: Module["imports"], library: boolean): Module {
  const scope: { -readonly [K in keyof Scope]: Scope[K] } = {
    parent: undefined,
    names: new Map(),
    types: new Map(),
    owner: undefined,
    module: undefined,
  };
  const module: Module = { node, scope, pending: new Set(), imports, library };
  scope.module = module;
  return module;
}

function checkImports(m: Module, report: (at: number, message: string) => void): void {
  for (const { from, name, at } of m.imports.values()) {
    if (!from) continue;
    if (from.library && (builtin(name) || TYPE_NAMES.has(name))) continue;
    if (!from.node.exports.has(name)) {
      const exported = [...from.node.exports.keys(), ...(from.library ? [...builtinNames(), ...TYPE_NAMES] : [])];
      report(at, `${from.node.source.name} has no export ${name}${meant(name, exported)}`);
    }
  }
}

/** A name stands for one thing at the top level; a type may share it. */
function checkNames(m: Module, report: (at: number, message: string) => void): void {
  const seen = new Set(m.imports.keys());
  for (const s of m.node.body) {
    if (s.kind === "type") continue;
    for (const name of declared(s)) {
      if (seen.has(name)) report(s.at, `${name} is declared twice`);
      seen.add(name);
    }
  }
}

function resolvePath(from: string, to: string): string {
  const absolute = from.startsWith("/");
  const parts = from.split("/").slice(0, -1);
  for (const p of to.split("/")) {
    if (p === "..") parts.pop();
    else if (p !== "." && p !== "") parts.push(p);
  }
  const path = parts.filter((p, k) => p !== "" || k > 0).join("/");
  return absolute && !path.startsWith("/") ? `/${path}` : path;
}

// ---- names of the top level ----

const declarationsOf = new WeakMap<ModuleNode, ReadonlyMap<string, Stmt>>();

/** The statement that declares each name: the first where there are several. Made once a tree, the library's once and for all. */
function declarations(node: ModuleNode): ReadonlyMap<string, Stmt> {
  let found = declarationsOf.get(node);
  if (!found) {
    const all = node.body.flatMap((s) => (s.kind === "type" ? [] : declared(s).map((name) => [name, s] as const)));
    declarationsOf.set(node, (found = new Map(all.reverse())));
  }
  return found;
}

/** The value of a module's name; evaluated when it is first asked for. */
export function moduleName(cx: Context, module: Module, name: string): Bound | undefined {
  const found = module.scope.names.get(name);
  if (found) return found;
  const bind = (b: Bound): Bound => {
    module.scope.names.set(name, b);
    return b;
  };
  const imported = module.imports.get(name);
  if (imported) {
    const { from } = imported;
    const value = !from || from.library ? builtin(imported.name) : undefined;
    if (value) return bind({ kind: "const", id: cx.nextId++, value });
    const local = from?.node.exports.get(imported.name);
    const target = from && local !== undefined ? moduleName(cx, from, local) : undefined;
    return target && bind(target);
  }
  const stmt = declarations(module.node).get(name);
  if (!stmt) return undefined;
  if (stmt.kind === "function") {
    const run: FnVal = { k: "fn", fn: stmt.fn, scope: module.scope };
    return bind({ kind: "const", id: cx.nextId++, value: stmt.fn.external ? { k: "external", run } : run });
  }
  if (module.pending.has(name)) {
    cx.report(stmt.at, `${name} is defined by itself`);
    return bind({ kind: "broken" });
  }
  module.pending.add(name);
  try {
    evaluate(cx, module, stmt);
  } finally {
    module.pending.delete(name);
  }
  const bound = module.scope.names.get(name);
  if (bound?.kind === "const") nameValue(bound.value, name, cx.settings.get(module.node.source.name)?.prefix ?? "");
  return bound;
}

function nameValue(v: Val, name: string, prefix: string): void {
  if (v.k === "map" && !v.map.name) v.map.name = prefix + name;
  if (v.k === "map" && v.map.inner) {
    const inner = v.map.inner.map as MapDecl;
    inner.name ||= `${v.map.name}_inner`;
  }
  if (v.k === "subprog" && !v.name) v.name = prefix + name;
  if (v.k === "data" && !v.object.name) v.object.name = prefix + name;
  if (v.k === "type") nameType(v.type, name);
  if (v.k === "space" && !v.space.name) v.space.name = name;
}

/** Runs a statement of the top level: all of it must be known at compile time. */
export function evaluate(cx: Context, module: Module, stmt: Stmt): void {
  const saved = { ...cx };
  const scratch = new Builder("the top level");
  const variables = stmt.kind === "let" && !stmt.constant;
  Object.assign(cx, {
    b: scratch,
    scope: module.scope,
    frames: [{ fn: undefined, returns: [], declared: undefined, exits: [] }],
    facts: [new Map()],
    program: undefined,
    packet: undefined,
    ctx: undefined,
  });
  try {
    if (variables) declareGlobals(cx, module, stmt);
    else if (stmt.kind === "let" || stmt.kind === "expr") {
      if (stmt.kind === "let") lowerStatement(cx, stmt);
      else lowerTop(cx, stmt);
      if (scratch.block !== scratch.fn.entry || scratch.block.insns.length) {
        cx.report(stmt.at, "the top level must be known at compile time");
      }
    } else cx.report(stmt.at, "this statement belongs in a function");
  } finally {
    const { nextId, license, complaints } = cx;
    Object.assign(cx, saved, { nextId, license, complaints });
  }
}

/** `let` at the top level: numbers that all runs of all programs share. */
function declareGlobals(cx: Context, module: Module, stmt: Stmt & { kind: "let" }): void {
  const prefix = cx.settings.get(module.node.source.name)?.prefix ?? "";
  for (const d of stmt.decls) {
    if (d.binding.kind !== "name") {
      cx.report(d.at, "name each value at the top level");
      continue;
    }
    const { name } = d.binding;
    try {
      const declaredType = d.type && resolveType(cx, d.type);
      const init = d.init && lowerExpr(cx, d.init);
      const type = declaredType ?? (init && widen(typeOfVal(init)));
      if (type?.k !== "int") {
        refuse(
          cx,
          d.at,
          `${name}: a variable here is a number (let ${name}: u32 = 0); structs are declared with const, other things are known at compile time: write const`,
        );
      }
      const value = globalData(cx, prefix + name, (type as ValType & { k: "int" }).type, init, d.at);
      module.scope.names.set(name, { kind: "global", id: cx.nextId++, name, value });
    } catch (e) {
      if (!(e instanceof Refused)) throw e;
      module.scope.names.set(name, { kind: "broken" });
    }
  }
}

function lowerTop(cx: Context, stmt: Stmt & { kind: "expr" }): void {
  try {
    lowerExpr(cx, stmt.expr);
  } catch (e) {
    if (!(e instanceof Refused)) throw e;
  }
}

/** A type alias by name, followed through imports. */
export function typeAlias(module: Module, name: string): { type: TypeNode; scope: Scope } | undefined {
  const imported = module.imports.get(name);
  if (imported?.from) {
    const local = imported.from.node.exports.get(imported.name);
    return local === undefined ? undefined : typeAlias(imported.from, local);
  }
  for (const s of module.node.body)
    if (s.kind === "type" && s.name === name) return { type: s.type, scope: module.scope };
  return undefined;
}
