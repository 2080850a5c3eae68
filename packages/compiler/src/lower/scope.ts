/** Names and what they are bound to. A module's scope binds its names when they are first looked up. */
import type { MemType } from "../check/index.ts";
import type { Builder } from "../ir/index.ts";
import type { ModuleNode } from "../parse/index.ts";
import type { Val, ValType } from "./values.ts";

export type Bound =
  | { readonly kind: "const"; readonly id: number; readonly value: Val }
  | {
      readonly kind: "var";
      readonly id: number;
      readonly name: string;
      readonly type: ValType;
      readonly vars: readonly number[];
    }
  /** A number that outlives the packet. */
  | { readonly kind: "global"; readonly id: number; readonly name: string; readonly value: Val & { k: "data" } }
  /** It is in registers of another function. */
  | { readonly kind: "outside" }
  /** Its declaration was refused: say nothing more. */
  | { readonly kind: "broken" };

export interface Scope {
  readonly parent: Scope | undefined;
  readonly names: Map<string, Bound>;
  readonly types: Map<string, MemType>;
  /** The function whose registers its names are held in; undefined at a module's top level. */
  readonly owner: Builder | undefined;
  /** Only of a module's outermost scope. */
  readonly module: Module | undefined;
}

export interface Module {
  readonly node: ModuleNode;
  readonly scope: Scope;
  /** Names being evaluated, to find cycles. */
  readonly pending: Set<string>;
  /** What `import` names are: the module they come from, or undefined for what the compiler itself provides. */
  readonly imports: ReadonlyMap<
    string,
    { readonly from: Module | undefined; readonly name: string; readonly at: number }
  >;
  /** Of `ebplane/bpf`: not reported in receipts. */
  readonly library: boolean;
}

export function childScope(parent: Scope, owner: Builder): Scope {
  return { parent, names: new Map(), types: new Map(), owner, module: undefined };
}

export function moduleOf(scope: Scope): Module {
  let s = scope;
  while (s.parent) s = s.parent;
  return s.module!;
}
