/**
 * Types as TypeScript: the shapes that decodeValue gives and encodeValue takes. Each interface says its size and each
 * member its place, because wire layouts are read as often as they are programmed.
 */
import { BtfError } from "../errors/index.ts";
import { namelessRoom, resolve, sizeOf, typeText } from "./query.ts";
import type { Btf, BtfStruct } from "./types.ts";
import { isNetworkOrder } from "./value.ts";

export interface TsTypes {
  /** Declarations, in the order they were needed. */
  readonly declarations: readonly string[];
  /** The expression for each root. */
  readonly expressions: readonly string[];
}

/** What declarations made by `dumpTypeScript` may refer to. */
export const TS_PRELUDE = `/** A number in network byte order on the wire; an IPv4 address also as text when writing. */
export type Be32 = number | \`\${number}.\${number}.\${number}.\${number}\`;
/** A number in network byte order on the wire. */
export type Be16 = number;
/** A number in network byte order on the wire. */
export type Be64 = bigint;
/** Bytes; an address (MAC of 6, IPv6 of 16) also as text when writing. */
export type Address = readonly number[] | Uint8Array | string;`;

const MAX_DEPTH = 32;

/** The types `roots` and what they need, as TypeScript. */
export function dumpTypeScript(btf: Btf, roots: readonly number[]): TsTypes {
  const declarations: string[] = [];
  const printer = { btf, declarations, names: new Map(), used: new Set<string>(), room: namelessRoom(btf) };
  return { expressions: roots.map((id) => expression(printer, id, 0)), declarations: printer.declarations };
}

interface Printer {
  readonly btf: Btf;
  readonly declarations: string[];
  readonly names: Map<number, string>;
  readonly used: Set<string>;
  /** Nameless structs that may still be written in place. */
  room: number;
}

/** `struct flow_key` → `FlowKey`. */
export function pascalCase(name: string): string {
  const words = name.split(/[^A-Za-z0-9]+/).filter(Boolean);
  const joined = words.map((w) => w[0]!.toUpperCase() + w.slice(1)).join("");
  return /^[A-Za-z]/.test(joined) ? joined : `T${joined}`;
}

/** A name usable as a property, quoted where it must be. */
export function propertyName(name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name);
}

function expression(p: Printer, id: number, depth: number): string {
  const { btf } = p;
  if (depth > MAX_DEPTH) return "unknown";
  const at = resolve(btf, id);
  const type = btf.type(at);
  switch (type.kind) {
    case "int":
      if (isNetworkOrder(btf, id)) return type.size === 2 ? "Be16" : type.size === 4 ? "Be32" : "Be64";
      if (type.encoding === "bool") return "boolean";
      return type.size <= 4 ? "number" : "bigint";
    case "float":
      return type.size === 4 || type.size === 8 ? "number" : "Uint8Array";
    case "ptr":
      return "bigint";
    case "enum":
    case "enum64":
      return type.name ? enumDeclaration(p, at) : type.size > 4 ? "bigint" : "number";
    case "array": {
      const element = btf.type(resolve(btf, type.type));
      if (element.kind === "int" && element.name === "char") return "string";
      const bytes = element.kind === "int" && element.size === 1 && element.encoding === "unsigned";
      if (bytes && (type.length === 6 || type.length === 16)) return "Address";
      return `readonly ${arrayElement(expression(p, type.type, depth + 1))}[]`;
    }
    case "struct":
    case "union":
      return type.name ? structDeclaration(p, at) : `{ ${members(p, type, 0, depth + 1).join(" ")} }`;
  }
  return "Uint8Array";
}

function counted(bytes: number): string {
  return bytes === 1 ? "1 byte" : `${bytes} bytes`;
}

function arrayElement(text: string): string {
  return text.startsWith("readonly ") || text.includes("|") ? `(${text})` : text;
}

function freshName(p: Printer, id: number, name: string): string {
  let fresh = pascalCase(name);
  for (let n = 2; p.used.has(fresh); n++) fresh = `${pascalCase(name)}${n}`;
  p.used.add(fresh);
  p.names.set(id, fresh);
  return fresh;
}

function structDeclaration(p: Printer, id: number): string {
  const known = p.names.get(id);
  if (known) return known;
  const type = p.btf.type(id) as BtfStruct;
  const name = freshName(p, id, type.name);
  const lines = members(p, type, 0, 0);
  p.declarations.push(
    `/** \`${type.kind} ${type.name}\`, ${counted(type.size)}. */\nexport interface ${name} {\n${lines.map((l) => `  ${l}`).join("\n")}\n}`,
  );
  return name;
}

/** A nameless member's members stand among its owner's, each optional in a union: one of them is written. */
function members(p: Printer, type: BtfStruct, base: number, depth: number): string[] {
  if (depth > MAX_DEPTH) return [];
  if (depth > 0 && --p.room < 0) throw new BtfError(`nameless types repeat without end in ${type.kind} ${type.name}`);
  return type.members.flatMap((m) => {
    const at = base + m.bitOffset;
    const inner = p.btf.type(resolve(p.btf, m.type));
    if (!m.name) {
      if (inner.kind !== "struct" && inner.kind !== "union") return [];
      return members(p, inner, at, depth + 1);
    }
    const place = m.bitSize
      ? `bits ${at} to ${at + m.bitSize - 1}`
      : `byte ${at / 8}, ${counted(sizeOf(p.btf, m.type))}`;
    // Padding, too, need not be written: it is zero.
    const optional = type.kind === "union" || /^_*pad(ding)?_?\d*$/.test(m.name) ? "?" : "";
    return [
      `/** \`${typeText(p.btf, m.type)}\`, ${place}. */ readonly ${propertyName(m.name)}${optional}: ${expression(p, m.type, depth + 1)};`,
    ];
  });
}

function enumDeclaration(p: Printer, id: number): string {
  const known = p.names.get(id);
  if (known) return known;
  const type = p.btf.type(id);
  if (type.kind !== "enum" && type.kind !== "enum64") return "number";
  const name = freshName(p, id, type.name);
  const big = type.size > 4;
  const values = type.values.map((v) => `  ${propertyName(v.name)}: ${v.value}${big ? "n" : ""},`);
  const names = type.values.map((v) => JSON.stringify(v.name)).join(" | ");
  p.declarations.push(
    `/** \`enum ${type.name}\`, ${type.size} bytes; a value's name also goes when writing. */\nexport type ${name} = ${big ? "bigint" : "number"}${names ? ` | ${names}` : ""};\nexport const ${name} = {\n${values.join("\n")}\n} as const;`,
  );
  return name;
}
