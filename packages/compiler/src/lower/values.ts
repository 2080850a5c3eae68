/**
 * What an expression stands for while it is lowered: registers with a type, memory that is referred to, bundles of
 * those, and things that exist only at compile time (functions, types, maps, cursors).
 */
import type { IntType, MemType, NumberSpace, ScalarType, StructType } from "../check/index.ts";
import type { DataObject, Insn, Region } from "../ir/index.ts";
import type { FunctionNode } from "../parse/index.ts";
import type { MapDecl } from "./maps.ts";
import type { Scope } from "./scope.ts";

export type Val =
  | { readonly k: "int"; readonly type: ScalarType; readonly v: Insn }
  /** A number whose width is not settled yet. `given`: by the configuration; what is pointless with it is no mistake. */
  | { readonly k: "lit"; readonly value: bigint; readonly big: boolean; readonly given?: true }
  | RefVal
  | { readonly k: "undef" }
  | { readonly k: "void" }
  /** `inner` when `flag` is not 0. */
  | { readonly k: "opt"; readonly flag: Insn; readonly inner: Val }
  | { readonly k: "record"; readonly fields: ReadonlyMap<string, Val>; readonly tuple: boolean }
  | FnVal
  | { readonly k: "builtin"; readonly name: string }
  /** A function that another object defines. */
  | { readonly k: "external"; readonly run: FnVal }
  /** A function that is called, not lowered in place. `name` is given when it is bound to one. */
  | { readonly k: "subprog"; readonly run: FnVal; readonly global: boolean; name: string }
  | { readonly k: "namespace"; readonly name: string }
  | { readonly k: "type"; readonly type: MemType }
  | { readonly k: "map"; readonly map: MapDecl }
  /** Global data of the type: a reference where a program uses it. */
  | { readonly k: "data"; readonly object: DataObject; readonly type: MemType }
  /** A constant of the configuration that is not folded: read from memory in a program, `value` where it must be known. */
  | { readonly k: "setting"; readonly object: DataObject; readonly type: ScalarType; readonly value: Val }
  | { readonly k: "string"; readonly value: string }
  | { readonly k: "ctx" }
  | { readonly k: "space"; readonly space: NumberSpace }
  /** `repeat(header, most)`, for `parse`. */
  | { readonly k: "repeat"; readonly type: StructType; readonly most: number }
  | CursorVal
  | { readonly k: "range"; readonly start: Val; readonly end: Val }
  | { readonly k: "program"; readonly program: ProgramDecl };

/** A place in the packet. */
export interface CursorVal {
  readonly k: "cursor";
  /** The variable that holds the packet pointer. */
  readonly position: number;
  /** The variable with the bytes that it was moved on without the pointer: where it is not 0, no header can be read. */
  readonly beyond: number;
}

/** A path into a part of a kernel struct: libbpf's access string from `root` on. */
export interface CorePath {
  readonly root: StructType;
  readonly access: string;
}

export interface RefVal {
  readonly k: "ref";
  readonly type: MemType;
  readonly address: Insn;
  readonly off: number;
  readonly region: Region;
  readonly nullable: boolean;
  /** It lies inside a kernel struct, at an offset that only the kernel knows: `off` is the one written here. */
  readonly core?: CorePath | undefined;
}

export interface FnVal {
  readonly k: "fn";
  readonly fn: FunctionNode;
  readonly scope: Scope;
}

/** A program as declared: `xdp(fn, options)`. */
export interface ProgramDecl {
  readonly at: number;
  readonly run: FnVal;
  readonly type: number;
  readonly attachType: number;
  readonly section: string;
  readonly flags: number;
  /** What the section names to attach to. */
  readonly attachTo: string | undefined;
}

/** The type of a value that a variable, or a join of paths, can hold; it has a number of registers. */
export type ValType =
  | { readonly k: "int"; readonly type: ScalarType }
  | { readonly k: "lit"; readonly big: boolean }
  | { readonly k: "ref"; readonly type: MemType; readonly region: Region; readonly nullable: boolean }
  | { readonly k: "undef" }
  | { readonly k: "void" }
  | { readonly k: "opt"; readonly inner: ValType }
  | { readonly k: "record"; readonly fields: ReadonlyMap<string, ValType>; readonly tuple: boolean }
  /** Known at compile time: no register. */
  | { readonly k: "static"; readonly value: Val };

export function typeOfVal(v: Val): ValType {
  switch (v.k) {
    case "int":
      return { k: "int", type: v.type };
    case "lit":
      return { k: "lit", big: v.big };
    case "ref":
      return { k: "ref", type: v.type, region: v.region, nullable: v.nullable };
    case "undef":
    case "void":
      return { k: v.k };
    case "opt":
      return { k: "opt", inner: typeOfVal(v.inner) };
    case "record":
      return { k: "record", tuple: v.tuple, fields: new Map([...v.fields].map(([n, f]) => [n, typeOfVal(f)])) };
    default:
      return { k: "static", value: v };
  }
}

/** It is held in registers of the function that made it: other functions cannot see it. */
export function isRuntime(v: Val): boolean {
  switch (v.k) {
    case "int":
      return v.v.op !== "const";
    case "ref":
    case "opt":
    case "cursor":
      return true;
    case "record":
      return [...v.fields.values()].some(isRuntime);
    case "range":
      return isRuntime(v.start) || isRuntime(v.end);
    default:
      return false;
  }
}

export function isInt(v: Val): v is { k: "int"; type: IntType; v: Insn } {
  return v.k === "int" && v.type.kind === "int";
}

export function sameRegion(a: Region, b: Region): boolean {
  if (a.kind !== b.kind) return false;
  if (a.kind === "stack") return a.slot === (b as typeof a).slot;
  if (a.kind === "map") return a.name === (b as typeof a).name;
  return true;
}
