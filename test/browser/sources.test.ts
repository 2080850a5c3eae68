/**
 * Sources that must run in a browser use nothing of Node: no built-in module, no global that only Node has. Reads the
 * syntax, not the text: a field named `process` or an interface named `Buffer` is none of Node's.
 */
import { readdirSync, readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { join, relative, resolve } from "node:path";
import ts from "typescript";
import { expect, test } from "vitest";

const ROOT = resolve(import.meta.dirname, "../..");
const GLOBALS = new Set([
  "Buffer",
  "process",
  "require",
  "module",
  "global",
  "__dirname",
  "__filename",
  "setImmediate",
  "clearImmediate",
]);
/** Of `import.meta`; browsers have `url` and `resolve`. */
const META = new Set(["dirname", "filename", "main"]);

/** What a file uses of Node, as `line: what`. */
function usesOfNode(text: string): string[] {
  const file = ts.createSourceFile("a.ts", text, ts.ScriptTarget.ESNext, true);
  const declared = new Set<string>();
  const used: { readonly name: string; readonly node: ts.Node; readonly global?: boolean }[] = [];
  const visit = (node: ts.Node): void => {
    const { parent } = node;
    if (ts.isIdentifier(node)) {
      if (isDeclarationName(node)) declared.add(node.text);
      else if (ts.isPropertyAccessExpression(parent) && parent.name === node) {
        const { expression } = parent;
        if (ts.isMetaProperty(expression) && META.has(node.text)) used.push({ name: `import.meta.${node.text}`, node });
        if (ts.isIdentifier(expression) && expression.text === "globalThis" && GLOBALS.has(node.text)) {
          used.push({ name: `globalThis.${node.text}`, node });
        }
      } else if (GLOBALS.has(node.text) && !isPropertyName(node)) used.push({ name: node.text, node, global: true });
    }
    // `from "…"`, `import("…")` and `import x = require("…")` alike.
    const literal = ts.isStringLiteralLike(node) && (isModuleName(node) ? node.text : undefined);
    if (literal && isBuiltin(literal)) used.push({ name: literal, node });
    ts.forEachChild(node, visit);
  };
  visit(file);
  return used
    .filter(({ name, global }) => !global || !declared.has(name))
    .map(({ name, node }) => `${file.getLineAndCharacterOfPosition(node.getStart()).line + 1}: ${name}`);
}

function isModuleName({ parent }: ts.StringLiteralLike): boolean {
  return (
    ts.isImportDeclaration(parent) ||
    ts.isExportDeclaration(parent) ||
    ts.isExternalModuleReference(parent) ||
    (ts.isCallExpression(parent) && parent.expression.kind === ts.SyntaxKind.ImportKeyword)
  );
}

/** The name of a variable, parameter, function, type or import: what then hides the global. */
function isDeclarationName(node: ts.Identifier): boolean {
  const { parent } = node;
  const names =
    ts.isVariableDeclaration(parent) ||
    ts.isParameter(parent) ||
    ts.isBindingElement(parent) ||
    ts.isFunctionDeclaration(parent) ||
    ts.isClassDeclaration(parent) ||
    ts.isInterfaceDeclaration(parent) ||
    ts.isTypeAliasDeclaration(parent) ||
    ts.isImportSpecifier(parent) ||
    ts.isImportClause(parent) ||
    ts.isNamespaceImport(parent);
  return names && parent.name === node;
}

/** A key, a member, a label of a type: not a reference. (`{ process }` is one, and stays one.) */
function isPropertyName(node: ts.Identifier): boolean {
  const { parent } = node;
  return (
    (ts.isPropertyAssignment(parent) && parent.name === node) ||
    (ts.isBindingElement(parent) && parent.propertyName === node) ||
    (ts.isImportSpecifier(parent) && parent.propertyName === node) ||
    (ts.isQualifiedName(parent) && parent.right === node) ||
    (ts.isNamedTupleMember(parent) && parent.name === node) ||
    ts.isExportSpecifier(parent) ||
    ((ts.isClassElement(parent) || ts.isTypeElement(parent)) && parent.name === node)
  );
}

function sourcesOf(name: string): string[] {
  const src = join(ROOT, "packages", name, "src");
  return readdirSync(src, { recursive: true, encoding: "utf8" })
    .filter((f) => f.endsWith(".ts") && !/\.(test|bpf|as|d)\.ts$/.test(f) && !/(^|\/)testdata\//.test(f))
    .map((f) => join(src, f));
}

test.each(["core", "compiler", "functions"])("the sources of %s use nothing of Node", (name) => {
  const files = sourcesOf(name);
  expect(files.length).toBeGreaterThan(5);
  const found = files.flatMap((f) => usesOfNode(readFileSync(f, "utf8")).map((use) => `${relative(ROOT, f)}:${use}`));
  expect(found).toEqual([]);
});

test("each way to use Node is seen, and what only looks like it is not", () => {
  const wrong = `import { readFileSync } from "node:fs";
export * from "path";
const os = await import("os");
const bytes = Buffer.from("aa");
if (typeof process !== "undefined") setImmediate(() => globalThis.process.exit());
const here = import.meta.dirname;
const fs = require("fs");
const held = { process };`;
  expect(usesOfNode(wrong)).toEqual([
    "1: node:fs",
    "2: path",
    "3: os",
    "4: Buffer",
    "5: process",
    "5: setImmediate",
    "5: globalThis.process",
    "6: import.meta.dirname",
    "7: require",
    "8: process",
  ]);
  const right = `// Buffer and process of node:fs
interface Record { readonly process: number; require(): void }
const { process: p } = { process: 1, text: "node:fs" };
export const own = (buffer: ArrayBuffer, r: Record) => [buffer, r.process, p, import.meta.url];`;
  expect(usesOfNode(right)).toEqual([]);
  expect(usesOfNode("interface Buffer { readonly room: number }\nexport const b: Buffer = { room: 1 };")).toEqual([]);
});
