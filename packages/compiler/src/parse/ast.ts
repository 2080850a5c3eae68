/**
 * The syntax tree of a packet program: only what the language has, so that later stages need no case for anything
 * else. `parse.ts` makes it and refuses the rest.
 *
 * `at` is a place: a file's index times PLACE_FILE plus the offset in its text.
 */

export const PLACE_FILE = 2 ** 26;

/** A source file of the compilation. `index` is the file part of each `at` in it. */
export interface Source {
  readonly name: string;
  readonly text: string;
  readonly index: number;
  /** Offset of each line's start. */
  readonly lines: readonly number[];
}

export type BinaryOp =
  | "+"
  | "-"
  | "*"
  | "/"
  | "%"
  | "&"
  | "|"
  | "^"
  | "<<"
  | ">>"
  | ">>>"
  | "==="
  | "!=="
  | "<"
  | "<="
  | ">"
  | ">=";
export type LogicalOp = "&&" | "||" | "??";
export type UnaryOp = "-" | "+" | "~" | "!";

export type Expr =
  | { readonly kind: "number"; readonly at: number; readonly value: bigint; readonly big: boolean }
  | { readonly kind: "bool"; readonly at: number; readonly value: boolean }
  | { readonly kind: "string"; readonly at: number; readonly value: string }
  | { readonly kind: "undefined"; readonly at: number }
  | { readonly kind: "name"; readonly at: number; readonly name: string }
  | {
      readonly kind: "member";
      readonly at: number;
      readonly object: Expr;
      readonly name: string;
      readonly nameAt: number;
      readonly optional: boolean;
    }
  | {
      readonly kind: "index";
      readonly at: number;
      readonly object: Expr;
      readonly index: Expr;
      readonly optional: boolean;
    }
  | { readonly kind: "call"; readonly at: number; readonly callee: Expr; readonly args: readonly Expr[] }
  | { readonly kind: "unary"; readonly at: number; readonly op: UnaryOp; readonly arg: Expr }
  | { readonly kind: "binary"; readonly at: number; readonly op: BinaryOp; readonly left: Expr; readonly right: Expr }
  | { readonly kind: "logical"; readonly at: number; readonly op: LogicalOp; readonly left: Expr; readonly right: Expr }
  | {
      readonly kind: "assign";
      readonly at: number;
      readonly op: BinaryOp | undefined;
      readonly target: Expr;
      readonly value: Expr;
    }
  /** `[a, b] = [b, a]`: all values first. */
  | { readonly kind: "assignAll"; readonly at: number; readonly targets: readonly Expr[]; readonly value: Expr }
  /** One after the other, for what they do: `i++, j--` in a loop's head, `void f()`. */
  | { readonly kind: "sequence"; readonly at: number; readonly items: readonly Expr[] }
  | {
      readonly kind: "update";
      readonly at: number;
      readonly op: "+" | "-";
      readonly prefix: boolean;
      readonly target: Expr;
    }
  | { readonly kind: "cond"; readonly at: number; readonly test: Expr; readonly yes: Expr; readonly no: Expr }
  | { readonly kind: "object"; readonly at: number; readonly props: readonly Prop[] }
  | { readonly kind: "array"; readonly at: number; readonly items: readonly Expr[] }
  | { readonly kind: "function"; readonly at: number; readonly fn: FunctionNode };

export interface Prop {
  readonly at: number;
  /** undefined for a spread. */
  readonly name: string | undefined;
  readonly value: Expr;
}

export interface FunctionNode {
  readonly at: number;
  /** `declare function`: another object defines it. */
  readonly external?: true;
  readonly name: string;
  readonly params: readonly Param[];
  readonly returns: TypeNode | undefined;
  /** Statements, or the one expression of an arrow. */
  readonly body: readonly Stmt[] | Expr;
  /** Names that are assigned anywhere inside. */
  readonly assigned: ReadonlySet<string>;
}

export interface Param {
  readonly at: number;
  readonly binding: Binding;
  readonly type: TypeNode | undefined;
  readonly fallback: Expr | undefined;
}

export type Binding =
  | { readonly kind: "name"; readonly at: number; readonly name: string }
  | { readonly kind: "fields"; readonly at: number; readonly fields: readonly { name: string; binding: Binding }[] }
  | { readonly kind: "items"; readonly at: number; readonly items: readonly (Binding | undefined)[] };

export type TypeNode =
  | { readonly kind: "ref"; readonly at: number; readonly name: string; readonly args: readonly TypeNode[] }
  | { readonly kind: "typeof"; readonly at: number; readonly name: string }
  | { readonly kind: "union"; readonly at: number; readonly types: readonly TypeNode[] }
  /** Anything that the compiler need not know: function types, object types, tuples. */
  | { readonly kind: "other"; readonly at: number };

export interface Declarator {
  readonly at: number;
  readonly binding: Binding;
  readonly type: TypeNode | undefined;
  readonly init: Expr | undefined;
}

export type Stmt =
  | { readonly kind: "let"; readonly at: number; readonly constant: boolean; readonly decls: readonly Declarator[] }
  | { readonly kind: "function"; readonly at: number; readonly fn: FunctionNode }
  | { readonly kind: "type"; readonly at: number; readonly name: string; readonly type: TypeNode }
  | { readonly kind: "expr"; readonly at: number; readonly expr: Expr }
  | { readonly kind: "if"; readonly at: number; readonly test: Expr; readonly yes: Stmt; readonly no: Stmt | undefined }
  | {
      readonly kind: "for";
      readonly at: number;
      readonly init: Stmt | undefined;
      readonly test: Expr | undefined;
      readonly step: Expr | undefined;
      readonly body: Stmt;
    }
  | {
      readonly kind: "forOf";
      readonly at: number;
      readonly binding: Binding;
      readonly constant: boolean;
      readonly over: Expr;
      readonly body: Stmt;
    }
  | {
      readonly kind: "while";
      readonly at: number;
      readonly test: Expr;
      readonly body: Stmt;
      readonly testLast: boolean;
    }
  | {
      readonly kind: "switch";
      readonly at: number;
      readonly value: Expr;
      readonly cases: readonly { at: number; test: Expr | undefined; body: readonly Stmt[] }[];
    }
  | { readonly kind: "break" | "continue"; readonly at: number; readonly label: string | undefined }
  | { readonly kind: "return"; readonly at: number; readonly value: Expr | undefined }
  | { readonly kind: "block"; readonly at: number; readonly body: readonly Stmt[] }
  | { readonly kind: "label"; readonly at: number; readonly label: string; readonly body: Stmt };

export interface ImportNode {
  readonly at: number;
  readonly from: string;
  readonly names: readonly { readonly at: number; readonly imported: string; readonly local: string }[];
}

export interface ModuleNode {
  readonly source: Source;
  readonly imports: readonly ImportNode[];
  readonly body: readonly Stmt[];
  /** Exported name → local name. */
  readonly exports: ReadonlyMap<string, string>;
  /** `export … from`. */
  readonly reexports: readonly ImportNode[];
  readonly assigned: ReadonlySet<string>;
}

/** A name or a path as written; other expressions have none. */
export function nameOf(e: Expr): string {
  if (e.kind === "name") return e.name;
  if (e.kind === "member") {
    const object = nameOf(e.object);
    return object && `${object}.${e.name}`;
  }
  return "";
}
