/**
 * What all of the lowering shares: the builder of the program at hand, the complaints, the facts about which values
 * are known to be there, and the way back into expressions for the files that those call.
 */

import type { Block, Builder, DataObject, Insn } from "../ir/index.ts";
import type { KernelForms } from "../kernel.ts";
import type { Expr, TypeNode } from "../parse/index.ts";
import type { Bound, Module, Scope } from "./scope.ts";
import type { External, Instance } from "./subprograms.ts";
import type { FnVal, ProgramDecl, Val, ValType } from "./values.ts";

/** Thrown to leave code that was already complained about. */
export class Refused extends Error {}

/** A value at a path is known to be there, or known to be undefined. */
export type Fact = readonly [path: string, is: "defined" | "undefined"];
export interface Facts {
  readonly yes: readonly Fact[];
  readonly no: readonly Fact[];
}
export const NO_FACTS: Facts = { yes: [], no: [] };

/** A place where loops and switches are left. */
export interface Exit {
  readonly label: string | undefined;
  readonly onBreak: Block;
  readonly onContinue: Block | undefined;
  /** Gives back what the loop holds, where it is left other than by its own end. */
  readonly leave?: () => void;
}

/** One inlined call in progress. */
export interface Frame {
  readonly fn: FnVal["fn"];
  readonly returns: { block: Block; value: Val; at: number }[];
  readonly declared: ValType | undefined;
  readonly exits: Exit[];
}

export interface Removed {
  readonly at: number;
  readonly what: string;
}

/** An element taken by an index that only the verifier can bound: what the source calls the two. */
export interface IndexSite {
  readonly array: string;
  readonly index: string;
  readonly length: number;
}

/** Memory that is read or written through a reference: what the source calls it. */
export interface AccessSite {
  readonly name: string;
  readonly type: string;
  readonly packet: boolean;
}

/** Memory that a helper is given with a number of bytes that only the verifier can bound. */
export interface SizeSite {
  readonly memory: string;
  readonly bytes: string;
  readonly size: number;
}

/** Values for `config(name, …)`. */
export type Constants = Readonly<Record<string, number | bigint | boolean>>;

/** What holds for one file alone, so that one text can be built in several times (two firewalls in one program). */
export interface ModuleSettings {
  /** Stands before the names of the maps that the file declares. */
  readonly prefix?: string;
  /** Values for its own `config(name, …)`, before those for all files. */
  readonly constants?: Constants;
}

export interface Context {
  b: Builder;
  scope: Scope;
  frames: Frame[];
  facts: Map<string, "defined" | "undefined">[];
  program: ProgramDecl | undefined;
  /** Variables that hold data and data_end; undefined where the program type has no direct packet access. */
  packet: { readonly data: number; readonly end: number } | undefined;
  ctx: Insn | undefined;
  /** A label that waits for the loop it names. */
  label: string | undefined;
  nextId: number;
  /** Type aliases that are being resolved. */
  readonly aliases: Set<TypeNode>;
  /** How many complaints there were. */
  complaints: number;
  readonly forms: KernelForms;
  readonly constants: Constants;
  /** By path of the file. */
  readonly settings: ReadonlyMap<string, ModuleSettings>;
  readonly usedConstants: Map<string, number | bigint | boolean>;
  /** Constants of the configuration that are kept in memory, by name; undefined where they are folded. */
  readonly kept: Map<string, DataObject> | undefined;
  readonly removed: Removed[];
  /** By place of the index. */
  readonly indexSites: Map<number, IndexSite>;
  /** By place of the call. */
  readonly sizeSites: Map<number, SizeSite>;
  /** By place of the access. */
  readonly accessSites: Map<number, AccessSite>;
  /** Places of loops over the kernel's counter. */
  readonly counted: Set<number>;
  /** Functions that were lowered, and of them those that control reaches. */
  readonly calledFunctions: Set<FnVal["fn"]>;
  readonly reachedFunctions: Set<FnVal["fn"]>;
  license: string | undefined;
  readonly report: (at: number, message: string) => void;
  /** Functions that something outside defines, which programs call. */
  readonly externals: Map<string, External>;
  /** Subprograms of the program at hand. */
  instances: Instance[];
  readonly expr: (e: Expr) => Val;
  /** The arguments as a function's parameters have them. */
  readonly passArgs: (fn: FnVal, args: readonly Val[], at: number) => Val[];
  /** What a function says that it gives. */
  readonly resultType: (fn: FnVal) => ValType;
  /** Ends a function that is lowered. */
  readonly finish: (b: Builder) => void;
  readonly invoke: (fn: FnVal, args: readonly Val[], at: number) => Val;
  /** What a name of a module's top level is bound to. */
  readonly moduleName: (module: Module, name: string) => Bound | undefined;
  /** A `type` of a module's top level, own or imported. */
  readonly typeAlias: (module: Module, name: string) => { type: TypeNode; scope: Scope } | undefined;
}

/** Complains and leaves. */
export function refuse(cx: Context, at: number, message: string): never {
  cx.report(at, message);
  throw new Refused();
}

export function learn(cx: Context, facts: readonly Fact[]): void {
  for (const [path, is] of facts) cx.facts.at(-1)!.set(path, is);
}

/** Runs with facts that hold only meanwhile. */
export function under<T>(cx: Context, facts: readonly Fact[], run: () => T): T {
  cx.facts.push(new Map(facts));
  try {
    return run();
  } finally {
    cx.facts.pop();
  }
}

export function factAt(cx: Context, path: string): "defined" | "undefined" | undefined {
  for (let i = cx.facts.length - 1; i >= 0; i--) {
    const f = cx.facts[i]!.get(path);
    if (f) return f;
  }
  return undefined;
}

/** Forgets what is known about a variable (and what is below it): it was assigned. */
export function forget(cx: Context, id: number): void {
  const own = `${id}`;
  for (const level of cx.facts) {
    for (const path of level.keys()) if (path === own || path.startsWith(`${own}.`)) level.delete(path);
  }
}
