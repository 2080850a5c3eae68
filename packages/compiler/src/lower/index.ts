/** Syntax tree to intermediate form: each exported program of the entry file, with all it calls. */
import { ctxLayout } from "@ebplane/core/object";
import { I32, NUMBER, type StructType } from "../check/index.ts";
import { Builder, type Fn, mapOperands, reversePostorder } from "../ir/index.ts";
import type { KernelForms } from "../kernel.ts";
import type { FunctionNode, Source } from "../parse/index.ts";
import { ownConstant } from "./builtins.ts";
import {
  type AccessSite,
  type Constants,
  type Context,
  type IndexSite,
  type ModuleSettings,
  Refused,
  type Removed,
  type SizeSite,
} from "./context.ts";
import { toScalar } from "./convert.ts";
import { lowerExpr } from "./expr.ts";
import type { MapDecl } from "./maps.ts";
import { evaluate, loadModules, type Modules, moduleName, type ReadFile, typeAlias } from "./modules.ts";
import { newCursor, reloadPacket } from "./packet.ts";
import { CONTEXTS, packetFields } from "./programs.ts";
import { checkReservations } from "./reservations.ts";
import type { Module } from "./scope.ts";
import { checkArgs, invoke, resolveType, resultType } from "./stmt.ts";
import type { External, Subprogram } from "./subprograms.ts";
import type { ProgramDecl, Val, ValType } from "./values.ts";

export type { AccessSite, Constants, IndexSite, ModuleSettings, SizeSite } from "./context.ts";
export type { MapDecl } from "./maps.ts";
export type { ReadFile } from "./modules.ts";
export type { External, SubParam, Subprogram } from "./subprograms.ts";
export type { ProgramDecl } from "./values.ts";

/** Stands for a call that gives an unknown value where code is only checked. */
const UNKNOWN_HELPER = 0;

export interface LoweredProgram {
  readonly name: string;
  readonly decl: ProgramDecl;
  readonly fn: Fn;
  /** Functions that it may call. */
  readonly subs: readonly Subprogram[];
}

export interface Lowered {
  readonly programs: readonly LoweredProgram[];
  /** Every map that is declared, used or not. */
  readonly maps: ReadonlyMap<string, MapDecl>;
  readonly license: string;
  readonly sources: readonly Source[];
  readonly removed: readonly Removed[];
  readonly usedConstants: ReadonlyMap<string, number | bigint | boolean>;
  /** Structs, unions and headers of the user's files, for BTF. */
  readonly structs: readonly StructType[];
  /** By place of the index. */
  readonly indexSites: ReadonlyMap<number, IndexSite>;
  /** By place of the call. */
  readonly sizeSites: ReadonlyMap<number, SizeSite>;
  /** By place of the access. */
  readonly accessSites: ReadonlyMap<number, AccessSite>;
  /** Functions that something outside defines. */
  readonly externals: readonly External[];
  /** Places of loops over the kernel's counter. */
  readonly counted: ReadonlySet<number>;
  /** Functions of the user's files that no program reaches. */
  readonly unusedFunctions: readonly { readonly fn: FunctionNode; readonly at: number }[];
}

/** `report` gets every complaint; with any, the result is of no use. */
export function lower(
  entry: string,
  read: ReadFile,
  constants: Constants,
  settings: ReadonlyMap<string, ModuleSettings>,
  fold: boolean,
  forms: KernelForms,
  report: (at: number, message: string, sources: readonly Source[]) => void,
): Lowered | undefined {
  let modules: Modules | undefined;
  const pending: [number, string][] = [];
  const complain = (at: number, message: string): void => {
    if (modules) report(at, message, modules.sources);
    else pending.push([at, message]);
  };
  modules = loadModules(entry, read, complain);
  if (!modules) return undefined;
  for (const [at, message] of pending) report(at, message, modules.sources);
  // What was refused is not in the tree: all further complaints would be its echo.
  if (pending.length) return nothing(modules);
  const cx = makeContext(constants, settings, fold, forms, complain);
  for (const m of modules.all) {
    for (const s of m.node.body) if (s.kind !== "let" && s.kind !== "function" && s.kind !== "type") evaluate(cx, m, s);
  }
  const declared: { name: string; decl: ProgramDecl }[] = [];
  const maps = new Map<string, MapDecl>();
  const structs = new Set<StructType>();
  for (const m of modules.all) {
    for (const s of m.node.body) {
      if (s.kind !== "let") continue;
      for (const d of s.decls) {
        if (d.binding.kind !== "name") {
          complain(d.at, "name each value at the top level");
          continue;
        }
        const { name } = d.binding;
        const bound = moduleName(cx, m, name);
        if (bound?.kind !== "const") continue;
        if (bound.value.k === "map") {
          const other = maps.get(bound.value.map.name);
          if (other && other !== bound.value.map) complain(d.at, `there is another map named ${bound.value.map.name}`);
          maps.set(bound.value.map.name, bound.value.map);
        }
        if (bound.value.k === "type" && bound.value.type.kind === "struct") structs.add(bound.value.type);
        if (bound.value.k === "program" && m === modules.entry) declared.push({ name, decl: bound.value.program });
      }
    }
  }
  if (!declared.length && !cx.complaints) {
    complain(modules.entry.node.source.index * 2 ** 26, "the file has no program: export const name = xdp((ctx) => …)");
  }
  for (const m of modules.all) {
    const file = m.node.source.name;
    for (const name of Object.keys(settings.get(file)?.constants ?? {})) {
      if (!cx.usedConstants.has(ownConstant(file, name))) {
        complain(m.node.source.index * 2 ** 26, `constant ${name}: the file has no config("${name}", …)`);
      }
    }
  }
  const programs = declared.map(({ name, decl }) => {
    const fn = lowerProgram(cx, name, decl);
    return { name, decl, fn, subs: cx.instances.map((i) => i.sub) };
  });
  const called = new Set(cx.calledFunctions);
  const removed = cx.removed.filter((r) => r.at >= 2 ** 26);
  const unusedFunctions = modules.all.flatMap((m) =>
    m.node.body.flatMap((s) =>
      s.kind === "function" && !s.fn.external && !cx.reachedFunctions.has(s.fn) ? [{ fn: s.fn, at: s.at }] : [],
    ),
  );
  for (const m of modules.all) {
    for (const s of m.node.body) {
      if (s.kind !== "function" || s.fn.external || called.has(s.fn)) continue;
      if (programs[0]) checkFunction(cx, m, s.fn, programs[0].decl);
    }
  }
  return {
    programs,
    maps,
    license: cx.license ?? "",
    sources: modules.sources,
    removed,
    usedConstants: cx.usedConstants,
    indexSites: cx.indexSites,
    structs: [...structs],
    accessSites: cx.accessSites,
    sizeSites: cx.sizeSites,
    counted: cx.counted,
    unusedFunctions,
    externals: [...cx.externals.values()],
  };
}

function nothing(modules: Modules): Lowered {
  return {
    programs: [],
    maps: new Map(),
    license: "",
    sources: modules.sources,
    removed: [],
    usedConstants: new Map(),
    structs: [],
    indexSites: new Map(),
    accessSites: new Map(),
    sizeSites: new Map(),
    counted: new Set(),
    unusedFunctions: [],
    externals: [],
  };
}

function makeContext(
  constants: Constants,
  settings: Context["settings"],
  fold: boolean,
  forms: KernelForms,
  report: Context["report"],
): Context {
  const cx: Context = {
    b: new Builder(""),
    scope: { parent: undefined, names: new Map(), types: new Map(), owner: undefined, module: undefined },
    frames: [],
    facts: [new Map()],
    program: undefined,
    packet: undefined,
    ctx: undefined,
    label: undefined,
    nextId: 1,
    aliases: new Set(),
    forms,
    constants,
    settings,
    usedConstants: new Map(),
    kept: fold ? undefined : new Map(),
    removed: [],
    indexSites: new Map(),
    accessSites: new Map(),
    sizeSites: new Map(),
    counted: new Set(),
    calledFunctions: new Set(),
    reachedFunctions: new Set(),
    license: undefined,
    complaints: 0,
    report: (at, message) => {
      cx.complaints++;
      report(at, message);
    },
    expr: (e) => lowerExpr(cx, e),
    invoke: (fn, args, at) => invoke(cx, fn, args, at),
    passArgs: (fn, args, at) => checkArgs(cx, fn, args, at),
    resultType: (f) => resultType(cx, f),
    externals: new Map(),
    instances: [],
    finish: finishFn,
    moduleName: (m, name) => moduleName(cx, m, name),
    typeAlias,
  };
  return cx;
}

/**
 * Lowers a function that no program calls, for its complaints, with arguments of its declared types. One whose types do
 * not say what it takes (a generic, a function) is checked only where it is called.
 */
function checkFunction(cx: Context, module: Module, fn: FunctionNode, decl: ProgramDecl): void {
  const b = new Builder(fn.name);
  begin(cx, b, decl);
  cx.scope = module.scope;
  const args: Val[] = [];
  for (const p of fn.params) {
    const name = p.type?.kind === "ref" ? p.type.name : undefined;
    const type = p.type && resolveType(cx, p.type);
    const form = name === undefined ? undefined : CONTEXTS.get(name);
    if (form) {
      // A function of another context than the file's first program has is begun anew with a program of its own.
      if (form.type === decl.type && ctxOf(form) === ctxOf(decl)) args.push({ k: "ctx" });
      else {
        if (!args.length) checkFunction(cx, module, fn, { ...decl, type: form.type, attachType: form.attachType });
        return;
      }
    } else if (type && type.k !== "static" && type.k !== "void" && type.k !== "undef") args.push(anything(b, type));
    else if (p.type?.kind === "ref" && isCursorName(module, p.type.name)) args.push(newCursor(cx, fn.at));
    else return;
  }
  try {
    invoke(cx, { k: "fn", fn, scope: module.scope }, args, fn.at);
  } catch (e) {
    if (!(e instanceof Refused)) throw e;
  }
}

function ctxOf(form: { readonly type: number; readonly attachType: number }): unknown {
  return ctxLayout(form.type, form.attachType);
}

function isCursorName(module: Module, name: string): boolean {
  const imported = module.imports.get(name);
  return imported?.from?.library === true && imported.name === "Packet";
}

/** A value of the type of which nothing is known. */
function anything(b: Builder, type: ValType): Val {
  const unknown = () => b.call(UNKNOWN_HELPER, [], {});
  switch (type.k) {
    case "int":
      return { k: "int", type: type.type, v: unknown() };
    case "ref":
      return { k: "ref", type: type.type, address: unknown(), off: 0, region: type.region, nullable: type.nullable };
    case "opt":
      return { k: "opt", flag: unknown(), inner: anything(b, type.inner) };
    default:
      return { k: "undef" };
  }
}

/** A fresh program: nothing known, the packet at its start. */
function begin(cx: Context, b: Builder, decl: ProgramDecl): void {
  b.at = decl.at;
  cx.b = b;
  cx.program = decl;
  cx.frames = [];
  cx.facts = [new Map()];
  cx.instances = [];
  cx.ctx = b.ctx();
  cx.packet = packetFields(decl) ? { data: b.newVar(), end: b.newVar() } : undefined;
  reloadPacket(cx);
}

function lowerProgram(cx: Context, name: string, decl: ProgramDecl): Fn {
  const b = new Builder(name);
  begin(cx, b, decl);
  try {
    const before = cx.complaints;
    const args = decl.run.fn.params.length ? [{ k: "ctx" } as const] : [];
    const v = invoke(cx, decl.run, args, decl.run.fn.at);
    const signed = v.k === "int" && v.type.kind === "int" && v.type.signed;
    const at = decl.run.fn.at;
    // After another complaint the missing return may be the one that was left out.
    if (cx.complaints > before) return b.fn;
    if (v.k === "void") cx.report(at, `${name} must return a verdict on every path`);
    else b.ret(toScalar(cx, v, signed ? I32 : NUMBER, at));
  } catch (e) {
    if (!(e instanceof Refused)) throw e;
  }
  finishFn(b);
  checkReservations(b.fn, cx.report);
  return b.fn;
}

/** Puts what phis became in their users' places and forgets blocks that nothing reaches. */
function finishFn(b: Builder): void {
  const blocks = reversePostorder(b.fn);
  const live = new Set(blocks);
  mapOperands(blocks, (v) => b.resolve(v));
  for (const block of blocks) {
    for (let k = block.preds.length - 1; k >= 0; k--) {
      if (live.has(block.preds[k]!)) continue;
      block.preds.splice(k, 1);
      for (const phi of block.phis) phi.args.splice(k, 1);
    }
  }
}
