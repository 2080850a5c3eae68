/**
 * Plane file text → PlaneSpec. Every mistake is found in one go and reported at its line and column; nothing is
 * started from a file with an error.
 */
import { BpfError, type Diagnostic } from "@ebplane/core/errors";
import { type Document, isMap, isNode, isPair, isScalar, isSeq, LineCounter, type Node, parseDocument } from "yaml";
import type { z } from "zod";
import type { ConfigIssue } from "../kind.ts";
import { FUNCTION_KINDS } from "../kinds.ts";
import { type FunctionConfig, type InterfaceConfig, type PlaneSpec, planeSchema } from "./schema.ts";

/** A plane file with mistakes; the message lists each as `file:line:col: message`. */
export class PlaneError extends BpfError {
  readonly diagnostics: readonly Diagnostic[];
  constructor(diagnostics: readonly Diagnostic[]) {
    super("EPLANE", diagnostics.map((d) => `${d.file}:${d.line}:${d.col}: ${d.message}`).join("\n"));
    this.diagnostics = diagnostics;
  }
}

/**
 * Parses and checks a plane file. `file` is the name that messages carry.
 * @throws PlaneError with every mistake, in the file's order.
 */
export function parsePlane(text: string, file: string): PlaneSpec {
  const lines = new LineCounter();
  const doc = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true });
  const at = (offset: number, message: string): Diagnostic => {
    const { line, col } = lines.linePos(offset);
    return { file, line: Math.max(line, 1), col: Math.max(col, 1), message };
  };
  if (doc.errors.length) throw new PlaneError(doc.errors.map((e) => at(e.pos[0], lowerFirst(e.message))));
  if (doc.contents === null)
    throw new PlaneError([at(0, "the file is empty: expected a mapping with `plane`, `interfaces`, …")]);

  let value: unknown;
  try {
    value = doc.toJS({ maxAliasCount: 100 });
  } catch (e) {
    // The library's guard against alias bombs.
    throw new PlaneError([at(0, lowerFirst((e as Error).message))]);
  }
  const parsed = planeSchema.safeParse(value);
  const issues: Issue[] = parsed.success ? [] : parsed.error.issues.flatMap((i) => explain(i, value));
  const spec = parsed.success ? resolve(parsed.data as unknown as RawPlane, issues) : undefined;
  if (issues.length || !spec) {
    const found = issues.map((i) => at(offsetOf(doc, i), i.message));
    throw new PlaneError(found.sort((a, b) => a.line - b.line || a.col - b.col));
  }
  return spec;
}

/** `atKey`: the place is the key, not its value. */
type Issue = ConfigIssue & { readonly atKey?: boolean };

interface RawPlane {
  readonly plane: string;
  readonly interfaces: Readonly<Record<string, InterfaceConfig>>;
  readonly functions: Readonly<Record<string, { readonly type: string }>>;
  readonly chains: Readonly<Record<string, readonly string[]>>;
}

/** Cross references and what each kind checks itself. */
function resolve(raw: RawPlane, issues: ConfigIssue[]): PlaneSpec {
  const names = Object.keys(raw.interfaces);
  const oneOf = (what: string, known: readonly string[]): string =>
    known.length ? `expected one of ${known.join(", ")}` : `the plane has no ${what}`;

  if (names.length === 0) issues.push({ path: ["interfaces"], message: "expected at least one interface" });
  const chainNames = Object.keys(raw.chains);
  for (const [name, iface] of Object.entries(raw.interfaces)) {
    if (iface.xdp !== undefined && !chainNames.includes(iface.xdp)) {
      issues.push({
        path: ["interfaces", name, "xdp"],
        message: `no chain named ${iface.xdp}: ${oneOf("chains", chainNames)}`,
      });
    }
  }
  const functionNames = Object.keys(raw.functions);
  for (const [name, chain] of Object.entries(raw.chains)) {
    const seen = new Set<string>();
    chain.forEach((fn, i) => {
      if (!functionNames.includes(fn)) {
        issues.push({
          path: ["chains", name, i],
          message: `no function named ${fn}: ${oneOf("functions", functionNames)}`,
        });
      }
      if (seen.has(fn)) issues.push({ path: ["chains", name, i], message: `${fn} stands twice in this chain` });
      seen.add(fn);
    });
  }
  const functions = new Map<string, FunctionConfig>();
  for (const [name, { type, ...config }] of Object.entries(raw.functions)) {
    const kind = FUNCTION_KINDS.find((k) => k.type === type)!;
    for (const issue of kind.check(config, { interfaces: names })) {
      issues.push({ path: ["functions", name, ...issue.path], message: issue.message });
    }
    functions.set(name, { kind, config });
  }
  return {
    name: raw.plane,
    interfaces: new Map(Object.entries(raw.interfaces)),
    functions,
    chains: new Map(Object.entries(raw.chains)),
  };
}

/** A schema complaint in our words. `value` is the whole document, to quote what was found. */
function explain(issue: z.core.$ZodIssue, value: unknown): Issue[] {
  const path = issue.path.map((p) => (typeof p === "symbol" ? String(p) : p));
  const got = quote(
    path.reduce<unknown>((v, key) => (v as Record<string | number, unknown> | undefined)?.[key], value),
  );
  switch (issue.code) {
    case "invalid_type": {
      const expected = EXPECTED[issue.expected] ?? issue.expected;
      if (got === undefined)
        return [{ path: path.slice(0, -1), message: `missing key ${path.at(-1)}: expected ${expected}` }];
      return [{ path, message: `expected ${expected}, got ${got}` }];
    }
    case "unrecognized_keys":
      return issue.keys.map((key) => ({ path: [...path, key], atKey: true, message: `unknown key ${key}` }));
    case "invalid_value": {
      const values = issue.values.map(String);
      const expected = values.length === 1 ? `expected ${values[0]}` : `expected one of ${values.join(", ")}`;
      if (got === undefined) return [{ path: path.slice(0, -1), message: `missing key ${path.at(-1)}: ${expected}` }];
      return [{ path, message: `${expected}, got ${got}` }];
    }
    case "too_small":
      return [{ path, message: `expected at least ${issue.minimum}${sizeUnit(issue.origin)}, got ${got}` }];
    case "too_big":
      return [{ path, message: `expected at most ${issue.maximum}${sizeUnit(issue.origin)}, got ${got}` }];
    case "invalid_union": {
      if ("discriminator" in issue && issue.discriminator) {
        const expected = `expected one of ${FUNCTION_KINDS.map((k) => k.type).join(", ")}`;
        if (got !== undefined && path.at(-1) === "type") return [{ path, message: `${expected}, got ${got}` }];
        return [{ path: path.slice(0, -1), message: `missing key type: ${expected}` }];
      }
      return [{ path, message: `expected ${issue.message}, got ${got}` }];
    }
    case "invalid_key":
      return issue.issues.map((i) => ({ path, message: `expected ${i.message}, got ${quote(path.at(-1))}` }));
    default:
      return [
        { path, message: got === undefined ? `expected ${issue.message}` : `expected ${issue.message}, got ${got}` },
      ];
  }
}

const EXPECTED: Record<string, string> = {
  record: "a mapping",
  object: "a mapping",
  array: "a list",
  string: "a string",
  number: "a number",
  int: "an integer",
  boolean: "true or false",
};

function sizeUnit(origin: string): string {
  return origin === "string" ? " characters" : origin === "array" ? " items" : "";
}

function quote(value: unknown): string | undefined {
  if (value === undefined) return undefined;
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

/** Where an issue stands in the text: the value's start; the key's for `atKey` and for a value that is a collection. */
function offsetOf(doc: Document, { path, atKey }: Issue): number {
  let node: unknown = doc.contents;
  let offset = startOf(node) ?? 0;
  for (const key of path) {
    if (isMap(node)) {
      const pair = node.items.find((p) => isPair(p) && (isScalar(p.key) ? String(p.key.value) : p.key) === String(key));
      if (!pair) break;
      const last = key === path.at(-1);
      const keyAt = startOf(pair.key);
      const valueAt = startOf(pair.value);
      offset = (last && (atKey || isMap(pair.value) || isSeq(pair.value)) ? keyAt : (valueAt ?? keyAt)) ?? offset;
      node = pair.value;
    } else if (isSeq(node)) {
      const item = node.items[Number(key)];
      offset = startOf(item) ?? offset;
      node = item;
    } else break;
  }
  return offset;
}

function startOf(node: unknown): number | undefined {
  return isNode(node) ? (node as Node).range?.[0] : undefined;
}
