/**
 * TypeScript text to our syntax tree: the only module that knows the TypeScript compiler. It takes the syntax alone
 * (no type-check: ours is faster and speaks of packets) and refuses, with what to write instead, all that the language
 * has not.
 */
import ts from "typescript";
import {
  type BinaryOp,
  type Binding,
  type Expr,
  type FunctionNode,
  type ImportNode,
  type ModuleNode,
  type Param,
  PLACE_FILE,
  type Prop,
  type Source,
  type Stmt,
  type TypeNode,
  type UnaryOp,
} from "./ast.ts";

/** Called for each complaint. */
export type Report = (at: number, message: string) => void;

/** Thrown to leave a construct that was already reported. */
class Refused extends Error {}

const K = ts.SyntaxKind;

const BINARY = new Map<ts.SyntaxKind, BinaryOp>([
  [K.PlusToken, "+"],
  [K.MinusToken, "-"],
  [K.AsteriskToken, "*"],
  [K.SlashToken, "/"],
  [K.PercentToken, "%"],
  [K.AmpersandToken, "&"],
  [K.BarToken, "|"],
  [K.CaretToken, "^"],
  [K.LessThanLessThanToken, "<<"],
  [K.GreaterThanGreaterThanToken, ">>"],
  [K.GreaterThanGreaterThanGreaterThanToken, ">>>"],
  [K.EqualsEqualsEqualsToken, "==="],
  [K.ExclamationEqualsEqualsToken, "!=="],
  [K.LessThanToken, "<"],
  [K.LessThanEqualsToken, "<="],
  [K.GreaterThanToken, ">"],
  [K.GreaterThanEqualsToken, ">="],
]);

const ASSIGN = new Map<ts.SyntaxKind, BinaryOp | undefined>([
  [K.EqualsToken, undefined],
  [K.PlusEqualsToken, "+"],
  [K.MinusEqualsToken, "-"],
  [K.AsteriskEqualsToken, "*"],
  [K.SlashEqualsToken, "/"],
  [K.PercentEqualsToken, "%"],
  [K.AmpersandEqualsToken, "&"],
  [K.BarEqualsToken, "|"],
  [K.CaretEqualsToken, "^"],
  [K.LessThanLessThanEqualsToken, "<<"],
  [K.GreaterThanGreaterThanEqualsToken, ">>"],
  [K.GreaterThanGreaterThanGreaterThanEqualsToken, ">>>"],
]);

const UNARY = new Map<ts.SyntaxKind, UnaryOp>([
  [K.MinusToken, "-"],
  [K.PlusToken, "+"],
  [K.TildeToken, "~"],
  [K.ExclamationToken, "!"],
]);

/** Constructs outside the language: what to write instead. */
const INSTEAD = new Map<ts.SyntaxKind, string>([
  [K.ClassDeclaration, "classes are not in the language: use struct({…}) and functions"],
  [K.ClassExpression, "classes are not in the language: use struct({…}) and functions"],
  [K.InterfaceDeclaration, "interfaces are not in the language: declare the layout with struct({…})"],
  [K.EnumDeclaration, "enums are not in the language: write one const for each value"],
  [K.ModuleDeclaration, "namespaces are not in the language: use a file and import it"],
  [K.TryStatement, "exceptions are not in the language: return a verdict or undefined"],
  [K.ThrowStatement, "exceptions are not in the language: return a verdict or undefined"],
  [K.ForInStatement, "for…in is not in the language: write for (const i of range(n))"],
  [K.WithStatement, "with is not in the language"],
  [K.DebuggerStatement, "debugger is not in the language"],
  [K.NewExpression, "there is no dynamic allocation: use struct({…}) on the stack, or a map"],
  [K.DeleteExpression, "delete is not in the language: use a map's delete(key)"],
  [K.AwaitExpression, "a packet program cannot wait: async is not in the language"],
  [K.YieldExpression, "generators are not in the language: write a for loop"],
  [
    K.TemplateExpression,
    'texts are not put together in a program: printk("length %d", x) prints numbers, a ringBuffer hands them over',
  ],
  [K.NoSubstitutionTemplateLiteral, "strings are not in the language"],
  [K.RegularExpressionLiteral, "regular expressions are not in the language: compare bytes"],
  [K.ThisKeyword, "there is no this: pass what the function needs as a parameter"],
  [K.NullKeyword, "write undefined instead of null"],
  [K.TypeOfExpression, "typeof is not in the language: types are known at compile time"],
  [K.OmittedExpression, "a list has no gaps: write the value"],
  [K.SpreadElement, "spread is not in the language here: name the values"],
  [K.EqualsEqualsToken, "write === instead of =="],
  [K.ExclamationEqualsToken, "write !== instead of !="],
  [K.AsteriskAsteriskToken, "** is not in the language: write the product or a shift"],
  [K.CommaToken, "the comma operator is not in the language: write two statements"],
  [K.InstanceOfKeyword, "instanceof is not in the language"],
  [K.InKeyword, "in is not in the language: look the key up"],
  [K.AmpersandAmpersandEqualsToken, "write x = x && y"],
  [K.BarBarEqualsToken, "write x = x || y"],
  [K.QuestionQuestionEqualsToken, "write x = x ?? y"],
  [K.AsteriskAsteriskEqualsToken, "** is not in the language: write the product or a shift"],
]);

/** Makes a Source: splits lines once, for places. */
export function makeSource(name: string, text: string, index: number): Source {
  const lines = [0];
  for (let i = text.indexOf("\n"); i >= 0; i = text.indexOf("\n", i + 1)) lines.push(i + 1);
  return { name, text, index, lines };
}

/** Parses one file; complaints go to `report`, and what was refused is left out of the tree. */
export function parseModule(source: Source, report: Report): ModuleNode {
  const file = ts.createSourceFile(source.name, source.text, ts.ScriptTarget.ES2023, false, ts.ScriptKind.TS);
  const base = source.index * PLACE_FILE;
  const syntaxErrors = (file as unknown as { parseDiagnostics?: readonly ts.Diagnostic[] }).parseDiagnostics ?? [];
  for (const d of syntaxErrors)
    report(base + (d.start ?? 0), lower(ts.flattenDiagnosticMessageText(d.messageText, "; ")));
  const empty = { source, imports: [], body: [], exports: new Map(), reexports: [], assigned: new Set<string>() };
  return syntaxErrors.length ? empty : new Parser(file, source, report).module();
}

function lower(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1).replace(/\.$/, "");
}

class Parser {
  readonly file: ts.SourceFile;
  readonly source: Source;
  readonly report: Report;
  readonly base: number;
  /** Names assigned in the function (and those around it) being read. */
  assigned: Set<string>[] = [new Set()];

  constructor(file: ts.SourceFile, source: Source, report: Report) {
    this.file = file;
    this.source = source;
    this.report = report;
    this.base = source.index * PLACE_FILE;
  }

  at(node: ts.Node): number {
    return this.base + node.getStart(this.file);
  }

  refuse(node: ts.Node, message: string): never {
    this.report(this.at(node), message);
    throw new Refused();
  }

  /** Only what is exported as default has none. */
  nameOf(f: ts.FunctionDeclaration): string {
    return f.name?.text ?? this.refuse(f, "give the function a name");
  }

  unsupported(node: ts.Node, fallback: string): never {
    this.refuse(node, INSTEAD.get(node.kind) ?? fallback);
  }

  module(): ModuleNode {
    const imports: ImportNode[] = [];
    const reexports: ImportNode[] = [];
    const exports = new Map<string, string>();
    const body: Stmt[] = [];
    for (const s of this.file.statements) {
      this.guarded(() => {
        if (ts.isImportDeclaration(s)) return void imports.push(...this.importNode(s));
        if (ts.isExportDeclaration(s)) return this.exportNode(s, exports, reexports);
        if (ts.isExportAssignment(s)) this.refuse(s, "export default is not in the language: export the name");
        const stmt = this.stmt(s);
        if (!stmt) return;
        body.push(stmt);
        if (ts.canHaveModifiers(s) && ts.getModifiers(s)?.some((m) => m.kind === K.ExportKeyword)) {
          if (ts.getModifiers(s)?.some((m) => m.kind === K.DefaultKeyword)) {
            this.refuse(s, "export default is not in the language: export the name");
          }
          for (const name of declared(stmt)) exports.set(name, name);
        }
      });
    }
    return { source: this.source, imports, body, exports, reexports, assigned: this.assigned[0]! };
  }

  guarded(run: () => void): void {
    try {
      run();
    } catch (e) {
      if (!(e instanceof Refused)) throw e;
    }
  }

  importNode(s: ts.ImportDeclaration): ImportNode[] {
    const from = this.specifier(s.moduleSpecifier);
    const clause = s.importClause;
    if (!clause) this.refuse(s, "import names from the file: import { name } from …");
    if (clause.name) this.refuse(clause.name, "there are no default exports: import { name } from …");
    if (!clause.namedBindings || !ts.isNamedImports(clause.namedBindings)) {
      this.refuse(s, "import * is not in the language: import { name } from …");
    }
    const names = clause.namedBindings.elements.map((e) => ({
      at: this.at(e),
      imported: (e.propertyName ?? e.name).text,
      local: e.name.text,
    }));
    return [{ at: this.at(s.moduleSpecifier), from, names }];
  }

  specifier(e: ts.Expression): string {
    return ts.isStringLiteral(e) ? e.text : this.refuse(e, 'name the file in quotes: from "./name.bpf.ts"');
  }

  exportNode(s: ts.ExportDeclaration, exports: Map<string, string>, reexports: ImportNode[]): void {
    if (!s.exportClause || !ts.isNamedExports(s.exportClause)) {
      this.refuse(s, "export * is not in the language: export { name } from …");
    }
    const names = s.exportClause.elements.map((e) => ({
      at: this.at(e),
      imported: (e.propertyName ?? e.name).text,
      local: e.name.text,
    }));
    if (s.moduleSpecifier) {
      reexports.push({ at: this.at(s.moduleSpecifier), from: this.specifier(s.moduleSpecifier), names });
    } else for (const n of names) exports.set(n.local, n.imported);
  }

  // ---- statements ----

  block(statements: readonly ts.Statement[]): Stmt[] {
    const out: Stmt[] = [];
    for (const s of statements) {
      this.guarded(() => {
        const stmt = this.stmt(s);
        if (stmt) out.push(stmt);
      });
    }
    return out;
  }

  one(s: ts.Statement): Stmt {
    return this.stmt(s) ?? { kind: "block", at: this.at(s), body: [] };
  }

  stmt(s: ts.Statement): Stmt | undefined {
    const at = this.at(s);
    switch (s.kind) {
      case K.EmptyStatement:
        return undefined;
      case K.VariableStatement:
        if ((s as ts.VariableStatement).modifiers?.some((m) => m.kind === K.DeclareKeyword)) return undefined;
        return this.declarations((s as ts.VariableStatement).declarationList);
      case K.FunctionDeclaration: {
        const f = s as ts.FunctionDeclaration;
        if (!f.body) {
          const declared = f.modifiers?.some((m) => m.kind === K.DeclareKeyword);
          return declared ? { kind: "function", at, fn: this.external(f) } : undefined;
        }
        return { kind: "function", at, fn: this.fn(f, this.nameOf(f)) };
      }
      case K.TypeAliasDeclaration: {
        const t = s as ts.TypeAliasDeclaration;
        return { kind: "type", at, name: t.name.text, type: this.type(t.type) };
      }
      case K.ExpressionStatement:
        return { kind: "expr", at, expr: this.expr((s as ts.ExpressionStatement).expression) };
      case K.IfStatement: {
        const i = s as ts.IfStatement;
        const test = this.expr(i.expression);
        const yes = this.one(i.thenStatement);
        return { kind: "if", at, test, yes, no: i.elseStatement && this.one(i.elseStatement) };
      }
      case K.ForStatement: {
        const f = s as ts.ForStatement;
        const init = f.initializer
          ? ts.isVariableDeclarationList(f.initializer)
            ? this.declarations(f.initializer)
            : ({ kind: "expr", at: this.at(f.initializer), expr: this.steps(f.initializer) } as const)
          : undefined;
        const test = f.condition && this.expr(f.condition);
        const step = f.incrementor && this.steps(f.incrementor);
        return { kind: "for", at, init, test, step, body: this.one(f.statement) };
      }
      case K.ForOfStatement: {
        const f = s as ts.ForOfStatement;
        if (f.awaitModifier) this.refuse(f.awaitModifier, INSTEAD.get(K.AwaitExpression)!);
        if (!ts.isVariableDeclarationList(f.initializer)) this.refuse(f.initializer, "write for (const x of …)");
        const [declaration] = f.initializer.declarations;
        if (!declaration) return this.refuse(f.initializer, "name what each round gets: for (const x of …)");
        const binding = this.binding(declaration.name);
        const constant = (f.initializer.flags & ts.NodeFlags.Const) !== 0;
        return { kind: "forOf", at, binding, constant, over: this.expr(f.expression), body: this.one(f.statement) };
      }
      case K.WhileStatement:
      case K.DoStatement: {
        const w = s as ts.WhileStatement | ts.DoStatement;
        const test = this.expr(w.expression);
        return { kind: "while", at, test, body: this.one(w.statement), testLast: s.kind === K.DoStatement };
      }
      case K.SwitchStatement: {
        const w = s as ts.SwitchStatement;
        const value = this.expr(w.expression);
        const cases = w.caseBlock.clauses.map((c) => ({
          at: this.at(c),
          test: ts.isCaseClause(c) ? this.expr(c.expression) : undefined,
          body: this.block(c.statements),
        }));
        return { kind: "switch", at, value, cases };
      }
      case K.BreakStatement:
        return { kind: "break", at, label: (s as ts.BreakStatement).label?.text };
      case K.ContinueStatement:
        return { kind: "continue", at, label: (s as ts.ContinueStatement).label?.text };
      case K.ReturnStatement: {
        const e = (s as ts.ReturnStatement).expression;
        return { kind: "return", at, value: e && this.expr(e) };
      }
      case K.Block:
        return { kind: "block", at, body: this.block((s as ts.Block).statements) };
      case K.LabeledStatement: {
        const l = s as ts.LabeledStatement;
        return { kind: "label", at, label: l.label.text, body: this.one(l.statement) };
      }
      default:
        return this.unsupported(s, "this statement is not in the language");
    }
  }

  declarations(list: ts.VariableDeclarationList): Stmt {
    if (!(list.flags & (ts.NodeFlags.Const | ts.NodeFlags.Let))) this.refuse(list, "write const or let instead of var");
    if ((list.flags & ts.NodeFlags.Using) === ts.NodeFlags.Using) this.refuse(list, "write const instead of using");
    const decls = list.declarations.map((d) => ({
      at: this.at(d),
      binding: this.binding(d.name),
      type: d.type && this.type(d.type),
      init: d.initializer && this.expr(d.initializer, ts.isIdentifier(d.name) ? d.name.text : undefined),
    }));
    return { kind: "let", at: this.at(list), constant: (list.flags & ts.NodeFlags.Const) !== 0, decls };
  }

  binding(name: ts.BindingName): Binding {
    const at = this.at(name);
    if (ts.isIdentifier(name)) return { kind: "name", at, name: name.text };
    if (ts.isObjectBindingPattern(name)) {
      const fields = name.elements.map((e) => {
        if (e.dotDotDotToken) this.refuse(e, "rest is not in the language here: name the fields");
        if (e.initializer) this.refuse(e, "defaults are not in the language here: write ?? after");
        const key = e.propertyName ?? e.name;
        if (!ts.isIdentifier(key)) this.refuse(key, "name the field");
        return { name: key.text, binding: this.binding(e.name) };
      });
      return { kind: "fields", at, fields };
    }
    const items = name.elements.map((e) => {
      if (ts.isOmittedExpression(e)) return undefined;
      if (e.dotDotDotToken) this.refuse(e, "rest is not in the language here: name the items");
      if (e.initializer) this.refuse(e, "defaults are not in the language here: write ?? after");
      return this.binding(e.name);
    });
    return { kind: "items", at, items };
  }

  fn(
    f: ts.FunctionDeclaration | ts.ArrowFunction | ts.FunctionExpression | ts.MethodDeclaration,
    name: string,
  ): FunctionNode {
    if (f.asteriskToken) this.refuse(f.asteriskToken, INSTEAD.get(K.YieldExpression)!);
    const async = f.modifiers?.find((m) => m.kind === K.AsyncKeyword);
    if (async) this.refuse(async, INSTEAD.get(K.AwaitExpression)!);
    const { body: code } = f;
    if (!code) this.refuse(f, "the function has no body");
    this.assigned.push(new Set());
    try {
      const params = f.parameters.map((p): Param => {
        if (p.dotDotDotToken) this.refuse(p, "rest parameters are not in the language: name the parameters");
        const at = this.at(p);
        const type = p.type && this.type(p.type);
        const fallback = p.initializer && this.expr(p.initializer);
        const binding = this.binding(p.name);
        if (!p.questionToken) return { at, binding, type, fallback };
        const missing: TypeNode = { kind: "ref", at, name: "undefined", args: [] };
        const either: TypeNode | undefined = type && { kind: "union", at, types: [type, missing] };
        return { at, binding, type: either, fallback: { kind: "undefined", at } };
      });
      const returns = f.type && this.type(f.type);
      const body = ts.isBlock(code) ? this.block(code.statements) : this.expr(code);
      return { at: this.at(f), name, params, returns, body, assigned: this.assigned.at(-1)! };
    } finally {
      const inner = this.assigned.pop()!;
      for (const n of inner) this.assigned.at(-1)!.add(n);
    }
  }

  /** A text that is given to a function may take several lines. */
  argument(e: ts.Expression): Expr {
    if (!ts.isNoSubstitutionTemplateLiteral(e)) return this.expr(e);
    return { kind: "string", at: this.at(e), value: e.text };
  }

  /** `declare function hash(a: u32): u32;` */
  external(f: ts.FunctionDeclaration): FunctionNode {
    const params = f.parameters.map((p): Param => {
      if (!p.type) this.refuse(p, "a function that is defined elsewhere says the types of what it takes");
      return { at: this.at(p), binding: this.binding(p.name), type: this.type(p.type), fallback: undefined };
    });
    if (!f.type) this.refuse(f, "a function that is defined elsewhere says the type of what it gives");
    const returns = this.type(f.type);
    return { at: this.at(f), external: true, name: this.nameOf(f), params, returns, body: [], assigned: new Set() };
  }

  // ---- types ----

  type(t: ts.TypeNode): TypeNode {
    const at = this.at(t);
    switch (t.kind) {
      case K.NumberKeyword:
        return { kind: "ref", at, name: "number", args: [] };
      case K.BigIntKeyword:
        return { kind: "ref", at, name: "bigint", args: [] };
      case K.BooleanKeyword:
        return { kind: "ref", at, name: "boolean", args: [] };
      case K.VoidKeyword:
        return { kind: "ref", at, name: "void", args: [] };
      case K.UndefinedKeyword:
        return { kind: "ref", at, name: "undefined", args: [] };
      case K.ParenthesizedType:
        return this.type((t as ts.ParenthesizedTypeNode).type);
      case K.TypeOperator:
        return this.type((t as ts.TypeOperatorNode).type);
      case K.TypeReference: {
        const r = t as ts.TypeReferenceNode;
        if (!ts.isIdentifier(r.typeName)) return { kind: "other", at };
        return { kind: "ref", at, name: r.typeName.text, args: (r.typeArguments ?? []).map((a) => this.type(a)) };
      }
      case K.TypeQuery: {
        const q = t as ts.TypeQueryNode;
        return ts.isIdentifier(q.exprName) ? { kind: "typeof", at, name: q.exprName.text } : { kind: "other", at };
      }
      case K.UnionType:
        return { kind: "union", at, types: (t as ts.UnionTypeNode).types.map((u) => this.type(u)) };
      case K.AnyKeyword:
      case K.UnknownKeyword:
        return this.refuse(t, "the type must be known: write u32, a struct's type …");
      case K.StringKeyword:
        return this.refuse(t, "strings are not in the language");
      default:
        return { kind: "other", at };
    }
  }

  // ---- expressions ----

  /** `name` is what a function here is called in messages. */
  expr(e: ts.Expression, name?: string): Expr {
    const at = this.at(e);
    switch (e.kind) {
      case K.ParenthesizedExpression:
        return this.expr((e as ts.ParenthesizedExpression).expression, name);
      case K.AsExpression:
      case K.SatisfiesExpression: {
        const a = e as ts.AsExpression | ts.SatisfiesExpression;
        const asConst = ts.isTypeReferenceNode(a.type) && a.type.typeName.getText(this.file) === "const";
        if (e.kind === K.AsExpression && !asConst) {
          this.refuse(a.type, "as is not in the language: convert with u32(x), be16(x) …");
        }
        return this.expr(a.expression, name);
      }
      case K.NonNullExpression:
        return this.refuse(e, "! asserts nothing at run time: test the value (if (!x) return …)");
      case K.NumericLiteral: {
        const text = (e as ts.NumericLiteral).text;
        const value = Number(text);
        if (!Number.isInteger(value)) this.refuse(e, "there are no fractions: use whole units (ns, bytes …)");
        const raw = e.getText(this.file).replaceAll("_", "");
        if (/[.]|^[0-9]+e/i.test(raw)) this.refuse(e, "write the number without fraction or exponent");
        return { kind: "number", at, value: BigInt(raw), big: false };
      }
      case K.BigIntLiteral:
        return { kind: "number", at, value: BigInt((e as ts.BigIntLiteral).text.slice(0, -1)), big: true };
      case K.TrueKeyword:
      case K.FalseKeyword:
        return { kind: "bool", at, value: e.kind === K.TrueKeyword };
      case K.StringLiteral:
        return { kind: "string", at, value: (e as ts.StringLiteral).text };
      case K.Identifier: {
        const text = (e as ts.Identifier).text;
        return text === "undefined" ? { kind: "undefined", at } : { kind: "name", at, name: text };
      }
      case K.PropertyAccessExpression: {
        const p = e as ts.PropertyAccessExpression;
        if (!ts.isIdentifier(p.name)) this.refuse(p.name, "private names are not in the language");
        const optional = p.questionDotToken !== undefined;
        return {
          kind: "member",
          at,
          object: this.expr(p.expression),
          name: p.name.text,
          nameAt: this.at(p.name),
          optional,
        };
      }
      case K.ElementAccessExpression: {
        const p = e as ts.ElementAccessExpression;
        const optional = p.questionDotToken !== undefined;
        return { kind: "index", at, object: this.expr(p.expression), index: this.expr(p.argumentExpression), optional };
      }
      case K.CallExpression: {
        const c = e as ts.CallExpression;
        if (c.questionDotToken) this.refuse(c, "a call cannot be optional: test the value first");
        return { kind: "call", at, callee: this.expr(c.expression), args: c.arguments.map((a) => this.argument(a)) };
      }
      case K.PrefixUnaryExpression: {
        const p = e as ts.PrefixUnaryExpression;
        const op = UNARY.get(p.operator);
        if (op) return { kind: "unary", at, op, arg: this.expr(p.operand) };
        return this.update(at, p.operand, p.operator === K.PlusPlusToken ? "+" : "-", true);
      }
      case K.PostfixUnaryExpression: {
        const p = e as ts.PostfixUnaryExpression;
        return this.update(at, p.operand, p.operator === K.PlusPlusToken ? "+" : "-", false);
      }
      case K.BinaryExpression:
        return this.binary(e as ts.BinaryExpression, at);
      case K.VoidExpression:
        return { kind: "sequence", at, items: [this.expr((e as ts.VoidExpression).expression)] };
      case K.ConditionalExpression: {
        const c = e as ts.ConditionalExpression;
        const test = this.expr(c.condition);
        return { kind: "cond", at, test, yes: this.expr(c.whenTrue), no: this.expr(c.whenFalse) };
      }
      case K.ObjectLiteralExpression:
        return { kind: "object", at, props: (e as ts.ObjectLiteralExpression).properties.map((p) => this.prop(p)) };
      case K.ArrayLiteralExpression:
        return { kind: "array", at, items: (e as ts.ArrayLiteralExpression).elements.map((i) => this.expr(i)) };
      case K.ArrowFunction:
      case K.FunctionExpression: {
        const f = e as ts.ArrowFunction | ts.FunctionExpression;
        return { kind: "function", at, fn: this.fn(f, name ?? f.name?.text ?? "the function") };
      }
      default:
        return this.unsupported(e, "this expression is not in the language");
    }
  }

  /** What a loop's head does: `i++, j--`. */
  steps(e: ts.Expression): Expr {
    const items: ts.Expression[] = [];
    const take = (x: ts.Expression): void => {
      if (ts.isBinaryExpression(x) && x.operatorToken.kind === K.CommaToken) {
        take(x.left);
        take(x.right);
      } else items.push(x);
    };
    take(e);
    if (items.length === 1) return this.expr(e);
    return { kind: "sequence", at: this.at(e), items: items.map((x) => this.expr(x)) };
  }

  update(at: number, operand: ts.Expression, op: "+" | "-", prefix: boolean): Expr {
    const target = this.expr(operand);
    if (target.kind === "name") this.assigned.at(-1)!.add(target.name);
    return { kind: "update", at, op, prefix, target };
  }

  target(e: ts.Expression): Expr {
    const target = this.expr(e);
    if (target.kind === "name") this.assigned.at(-1)!.add(target.name);
    else if (target.kind !== "member" && target.kind !== "index") {
      this.refuse(e, "assign to a variable, a field or an element");
    }
    return target;
  }

  binary(e: ts.BinaryExpression, at: number): Expr {
    const token = e.operatorToken.kind;
    if (token === K.EqualsToken && ts.isArrayLiteralExpression(e.left)) {
      const targets = e.left.elements.map((x) => this.target(x));
      return { kind: "assignAll", at, targets, value: this.expr(e.right) };
    }
    if (ASSIGN.has(token)) {
      const target = this.target(e.left);
      return { kind: "assign", at, op: ASSIGN.get(token), target, value: this.expr(e.right) };
    }
    if (token === K.AmpersandAmpersandToken || token === K.BarBarToken || token === K.QuestionQuestionToken) {
      const op = token === K.AmpersandAmpersandToken ? "&&" : token === K.BarBarToken ? "||" : "??";
      return { kind: "logical", at, op, left: this.expr(e.left), right: this.expr(e.right) };
    }
    const op = BINARY.get(token);
    if (!op) this.refuse(e.operatorToken, INSTEAD.get(token) ?? "this operator is not in the language");
    return { kind: "binary", at, op, left: this.expr(e.left), right: this.expr(e.right) };
  }

  prop(p: ts.ObjectLiteralElementLike): Prop {
    const at = this.at(p);
    if (ts.isSpreadAssignment(p)) return { at, name: undefined, value: this.expr(p.expression) };
    if (ts.isShorthandPropertyAssignment(p)) {
      return { at, name: p.name.text, value: { kind: "name", at, name: p.name.text } };
    }
    if (ts.isPropertyAssignment(p) && (ts.isIdentifier(p.name) || ts.isStringLiteral(p.name))) {
      return { at, name: p.name.text, value: this.expr(p.initializer, p.name.text) };
    }
    if (ts.isMethodDeclaration(p) && ts.isIdentifier(p.name)) {
      return { at, name: p.name.text, value: { kind: "function", at, fn: this.fn(p, p.name.text) } };
    }
    return this.refuse(p, "write name: value");
  }
}

/** The names that a statement declares. */
export function declared(s: Stmt): string[] {
  if (s.kind === "function") return [s.fn.name];
  if (s.kind === "type") return [s.name];
  if (s.kind === "let") return s.decls.flatMap((d) => bound(d.binding));
  return [];
}

function bound(b: Binding): string[] {
  if (b.kind === "name") return [b.name];
  if (b.kind === "fields") return b.fields.flatMap((f) => bound(f.binding));
  return b.items.flatMap((i) => (i ? bound(i) : []));
}
