/**
 * Types as a C header that clang compiles to the same layout: forward declarations, enums, then typedefs and structs
 * in the order that C needs. Functions and variables are left out, as `bpftool btf dump format c` does.
 *
 * Names that C would find twice get `___2`, `___3` … behind them, which CO-RE ignores; characters that C does not
 * take in a name become `_`.
 */
import { BtfError } from "../errors/index.ts";
import { alignOf, namelessRoom, resolve, sizeOf } from "./query.ts";
import type { Btf, BtfEnum, BtfMember, BtfStruct } from "./types.ts";

export interface DumpCOptions {
  /** Only these types and what they need; all when absent. */
  readonly roots?: readonly number[];
  /** Include guard's name. */
  readonly guard?: string;
}

/** Integer types that every C compiler knows by these words. */
const C_INTS = new Set(
  `char|signed char|unsigned char|short|short int|short unsigned int|unsigned short|int|unsigned int|long|long int
long unsigned int|unsigned long|long long|long long int|long long unsigned int|unsigned long long|__int128|unsigned __int128
__int128 unsigned|_Bool`.split(/[|\n]/),
);
const C_FLOATS = new Set(["float", "double", "long double", "_Float16", "__bf16", "__fp16"]);
const BUILTIN_TYPEDEFS = new Set(["__builtin_va_list"]);
const MAX_DEPTH = 64;

/** The header's text. @throws BtfError for types that C cannot have (cycles by value). */
export function dumpC(btf: Btf, options: DumpCOptions = {}): string {
  const out: string[] = [];
  const names = nameTypes(btf);
  const printer: Printer = {
    btf,
    names,
    out,
    done: new Set(),
    needed: new Set(),
    nesting: 0,
    pads: 0,
    room: namelessRoom(btf),
  };
  const roots = options.roots ?? Array.from({ length: btf.length - 1 }, (_, i) => i + 1);
  const wanted = reachable(btf, roots);
  const enums = [...wanted].filter((id) => isEnum(btf, id));
  for (const id of wanted) {
    const type = btf.type(id);
    if ((type.kind === "struct" || type.kind === "union") && type.name) out.push(`${type.kind} ${names.tag.get(id)};`);
    else if (type.kind === "fwd") out.push(`${type.union ? "union" : "struct"} ${cName(type.name)};`);
  }
  for (const id of enums) {
    const type = btf.type(id) as BtfEnum;
    // A nameless enum that a typedef names is written there.
    if (type.name || !names.inlined.has(id)) out.push(`${enumText(printer, id, "")};`);
  }
  for (const id of wanted) need(printer, id, true, 0);
  const guard = options.guard ?? "__BTF_DUMP_H__";
  return [`#ifndef ${guard}`, `#define ${guard}`, "", ...out, "", `#endif /* ${guard} */`, ""].join("\n");
}

interface Names {
  /** Struct, union and enum names. */
  readonly tag: ReadonlyMap<number, string>;
  /** Typedef names, and those of integers that C lacks. */
  readonly typedef: ReadonlyMap<number, string>;
  /** Enumerators by enum id. */
  readonly values: ReadonlyMap<number, readonly string[]>;
  /** Nameless types that another type writes in place. */
  readonly inlined: ReadonlySet<number>;
}

interface Printer {
  readonly btf: Btf;
  readonly names: Names;
  readonly out: string[];
  readonly done: Set<number>;
  /** What was asked for: twice the id, and 1 more for the complete type. */
  readonly needed: Set<number>;
  /** Nameless structs being written inside each other. */
  nesting: number;
  /** Paddings named so far: nameless structs share their owner's names. */
  pads: number;
  /** Nameless structs and function types that may still be written in place. */
  room: number;
}

function cName(name: string): string {
  const safe = name.replace(/\W/g, "_");
  return /^\d/.test(safe) ? `_${safe}` : safe;
}

function isEnum(btf: Btf, id: number): boolean {
  const { kind } = btf.type(id);
  return kind === "enum" || kind === "enum64";
}

/** Tags share one space of names, typedefs and enumerators another. */
function nameTypes(btf: Btf): Names {
  const tagCount = new Map<string, number>();
  const identCount = new Map<string, number>();
  const unique = (counts: Map<string, number>, name: string): string => {
    const safe = cName(name);
    const n = (counts.get(safe) ?? 0) + 1;
    counts.set(safe, n);
    return n === 1 ? safe : `${safe}___${n}`;
  };
  const tag = new Map<number, string>();
  const typedef = new Map<number, string>();
  const values = new Map<number, readonly string[]>();
  const inlined = new Set<number>();
  for (let id = 1; id < btf.length; id++) {
    const type = btf.type(id);
    switch (type.kind) {
      case "struct":
      case "union":
        if (type.name) tag.set(id, unique(tagCount, type.name));
        for (const m of type.members) inlineNameless(btf, m.type, inlined);
        break;
      case "enum":
      case "enum64":
        if (type.name) tag.set(id, unique(tagCount, type.name));
        values.set(
          id,
          type.values.map((v) => unique(identCount, v.name)),
        );
        break;
      case "typedef":
        typedef.set(id, unique(identCount, type.name));
        inlineNameless(btf, type.type, inlined);
        break;
      case "int":
        if (!C_INTS.has(type.name)) typedef.set(id, unique(identCount, type.name));
        break;
      case "float":
        if (!C_FLOATS.has(type.name)) typedef.set(id, unique(identCount, type.name));
        break;
    }
  }
  return { tag, typedef, values, inlined };
}

/** Marks the nameless type at the core of a declaration. */
function inlineNameless(btf: Btf, id: number, inlined: Set<number>): void {
  let at = id;
  for (let depth = 0; depth < MAX_DEPTH; depth++) {
    const type = btf.type(at);
    switch (type.kind) {
      case "ptr":
      case "const":
      case "volatile":
      case "restrict":
      case "typeTag":
      case "array":
        at = type.type;
        break;
      case "struct":
      case "union":
      case "enum":
      case "enum64":
        if (!type.name) inlined.add(at);
        return;
      default:
        return;
    }
  }
}

function reachable(btf: Btf, roots: readonly number[]): Set<number> {
  const seen = new Set<number>();
  const stack = [...roots].reverse();
  while (stack.length) {
    const id = stack.pop()!;
    if (id === 0 || seen.has(id)) continue;
    seen.add(id);
    const type = btf.type(id);
    if ("type" in type) stack.push(type.type);
    if (type.kind === "struct" || type.kind === "union") stack.push(...type.members.map((m) => m.type));
    if (type.kind === "funcProto") stack.push(type.ret, ...type.params.map((p) => p.type));
    if (type.kind === "datasec") stack.push(...type.vars.map((v) => v.type));
  }
  return seen;
}

/** Emits what must stand before a use of the type; `complete` when its size is needed there. */
function need(p: Printer, id: number, complete: boolean, depth: number): void {
  if (depth > 512) return;
  const key = id * 2 + Number(complete);
  if (p.needed.has(key)) return;
  p.needed.add(key);
  const { btf } = p;
  const type = btf.type(id);
  const next = (to: number, whole: boolean) => need(p, to, whole, depth + 1);
  switch (type.kind) {
    case "ptr":
      next(type.type, false);
      return;
    case "const":
    case "volatile":
    case "restrict":
    case "typeTag":
      next(type.type, complete);
      return;
    case "array":
      next(type.type, true);
      return;
    case "funcProto":
      next(type.ret, false);
      for (const param of type.params) next(param.type, false);
      return;
    case "int":
    case "float": {
      const name = p.names.typedef.get(id);
      if (name === undefined || p.done.has(id)) return;
      p.done.add(id);
      p.out.push(`typedef ${baseOf(type)} ${name};`);
      return;
    }
    case "typedef":
      if (!p.done.has(id)) {
        p.done.add(id);
        next(type.type, isNameless(btf, type.type));
        if (!BUILTIN_TYPEDEFS.has(type.name))
          p.out.push(`typedef ${declare(p, type.type, p.names.typedef.get(id)!, 0)};`);
      }
      if (complete) next(type.type, true);
      return;
    case "struct":
    case "union": {
      if (type.name && (!complete || p.done.has(id))) return;
      // A nameless one is written where it is used; what it needs comes before that.
      if (p.done.has(id)) return;
      p.done.add(id);
      for (const m of type.members) next(m.type, true);
      if (type.name) p.out.push(`${structText(p, id, "")};`);
      return;
    }
  }
}

function isNameless(btf: Btf, id: number): boolean {
  const type = btf.type(id);
  return (type.kind === "struct" || type.kind === "union") && !type.name;
}

function baseOf(type: { readonly kind: string; readonly size: number; readonly encoding?: string }): string {
  if (type.kind === "float") return type.size === 4 ? "float" : type.size === 16 ? "long double" : "double";
  const base = { 1: "char", 2: "short", 4: "int", 8: "long long", 16: "__int128" }[type.size];
  if (base === undefined) return "char";
  if (type.encoding === "bool") return "_Bool";
  return `${type.encoding === "unsigned" ? "unsigned" : "signed"} ${base}`.replace("signed __int128", "__int128");
}

/** `int *name[4]`: the declaration of `name` with this type. */
function declare(p: Printer, id: number, name: string, indent: number): string {
  return declarator(p, id, name, "", indent, 0);
}

function declarator(p: Printer, id: number, inner: string, qualifiers: string, indent: number, depth: number): string {
  const { btf, names } = p;
  const type = btf.type(id);
  const more = (to: number, text: string, quals = "") =>
    depth > MAX_DEPTH ? `void *${text}` : declarator(p, to, text, quals, indent, depth + 1);
  const plain = (base: string) => `${qualifiers}${base}${inner ? ` ${inner}` : ""}`;
  const wrapped = inner.startsWith("*") ? `(${inner})` : inner;
  switch (type.kind) {
    case "void":
      return plain("void");
    case "ptr":
      return more(type.type, `*${qualifiers}${inner}`);
    case "const":
    case "volatile":
      return more(type.type, inner, qualifiers.includes(type.kind) ? qualifiers : `${qualifiers}${type.kind} `);
    case "restrict":
    case "typeTag":
      return more(type.type, inner, qualifiers);
    case "array":
      return more(type.type, `${wrapped}[${type.length}]`, qualifiers);
    case "funcProto": {
      if (--p.room < 0) throw new BtfError("nameless types repeat without end", { typeId: id });
      const params = type.params.map((param, i) =>
        param.type === 0 && !param.name && i === type.params.length - 1
          ? "..."
          : declarator(p, param.type, param.name ? cName(param.name) : "", "", indent, depth + 1),
      );
      return more(type.ret, `${wrapped}(${params.join(", ") || "void"})`);
    }
    case "int":
    case "float":
      return plain(names.typedef.get(id) ?? type.name);
    case "typedef":
      return plain(names.typedef.get(id)!);
    case "struct":
    case "union":
      return plain(type.name ? `${type.kind} ${names.tag.get(id)}` : structText(p, id, "\t".repeat(indent)));
    case "enum":
    case "enum64":
      return plain(type.name ? `enum ${names.tag.get(id)}` : enumText(p, id, "\t".repeat(indent)));
    case "fwd":
      return plain(`${type.union ? "union" : "struct"} ${cName(type.name)}`);
  }
  return plain("void");
}

function enumText(p: Printer, id: number, indent: string): string {
  const type = p.btf.type(id) as BtfEnum;
  const names = p.names.values.get(id)!;
  // A nameless enum that is written a second time may not name its values again.
  const repeated = !type.name && p.done.has(id);
  p.done.add(id);
  const mode =
    { 1: " __attribute__((mode(byte)))", 2: " __attribute__((mode(HI)))", 8: " __attribute__((mode(word)))" }[
      type.size
    ] ?? "";
  const head = `enum${type.name ? ` ${p.names.tag.get(id)}` : ""}`;
  const lines = type.values.map((v, i) => {
    const suffix = type.size === 8 ? (type.signed ? "LL" : "ULL") : "";
    const value = v.value === -(1n << 63n) ? "(-9223372036854775807LL - 1)" : `${v.value}${suffix}`;
    return `${indent}\t${repeated ? `__again_${id}_${names[i]}` : names[i]} = ${value},`;
  });
  if (!lines.length) lines.push(`${indent}\t__empty_${id},`);
  return [`${head} {`, ...lines, `${indent}}${mode}`].join("\n");
}

/** The struct's body with the padding that keeps every member where BTF says. */
function structText(p: Printer, id: number, indent: string): string {
  if (p.nesting >= MAX_DEPTH) throw new BtfError(`structs nest deeper than ${MAX_DEPTH}`, { typeId: id });
  if (p.nesting > 0 && --p.room < 0) throw new BtfError("nameless types repeat without end", { typeId: id });
  p.nesting++;
  try {
    return structBody(p, id, indent);
  } finally {
    p.nesting--;
  }
}

function structBody(p: Printer, id: number, indent: string): string {
  const { btf } = p;
  const type = btf.type(id) as BtfStruct;
  const packed = isPacked(btf, type);
  const lines: string[] = [];
  let end = 0;
  const pad = (to: number): void => {
    const bits = to - end;
    if (bits <= 0) return;
    // Up to the next byte in bits, then whole bytes.
    const odd = Math.min(bits, (8 - (end % 8)) % 8 || (bits < 8 ? bits : 0));
    if (odd) lines.push(`unsigned char: ${odd};`);
    const bytes = Math.floor((bits - odd) / 8);
    if (bytes) lines.push(`unsigned char __pad${p.pads++}[${bytes}];`);
    const rest = bits - odd - bytes * 8;
    if (rest) lines.push(`unsigned char: ${rest};`);
    end = to;
  };
  for (const m of type.members) {
    if (type.kind === "struct" && naturalStart(btf, m, end, packed) !== m.bitOffset) pad(m.bitOffset);
    const bits = m.bitSize || sizeOf(btf, m.type) * 8;
    lines.push(
      `${declare(p, m.type, m.name ? cName(m.name) : "", indent.length + 1)}${m.bitSize ? `: ${m.bitSize}` : ""};`,
    );
    end = type.kind === "struct" ? m.bitOffset + bits : Math.max(end, bits);
  }
  const align = packed
    ? 1
    : Math.max(1, ...type.members.filter((m) => !m.bitSize || m.name).map((m) => alignOf(btf, m.type)));
  const natural = Math.ceil(end / 8 / align) * align;
  if (natural < type.size) {
    if (type.kind === "struct") pad(type.size * 8);
    else lines.push(`unsigned char __pad${p.pads++}[${type.size}];`);
  }
  const head = `${type.kind}${type.name ? ` ${p.names.tag.get(id)}` : ""}`;
  return [
    `${head} {`,
    ...lines.map((l) => `${indent}\t${l}`),
    `${indent}}${packed ? " __attribute__((packed))" : ""}`,
  ].join("\n");
}

/** True when members stand where their alignment would not let them, or the size is no multiple of it. */
function isPacked(btf: Btf, type: BtfStruct): boolean {
  let align = 1;
  for (const m of type.members) {
    if (m.bitSize) {
      // A bitfield over the border of its type exists only in packed structs.
      const unit = sizeOf(btf, m.type) * 8;
      if ((m.bitOffset % unit) + m.bitSize > unit) return true;
      align = Math.max(align, m.name ? alignOf(btf, m.type) : 1);
      continue;
    }
    const own = alignOf(btf, m.type);
    if (m.bitOffset % (own * 8)) return true;
    align = Math.max(align, own);
  }
  return type.size % align !== 0;
}

/** Where C would put the member after `end`. */
function naturalStart(btf: Btf, m: BtfMember, end: number, packed: boolean): number {
  if (!m.bitSize) {
    const align = packed ? 8 : alignOf(btf, resolve(btf, m.type)) * 8;
    return Math.ceil(end / align) * align;
  }
  if (packed) return end;
  const unit = sizeOf(btf, m.type) * 8;
  return Math.floor(end / unit) === Math.floor((end + m.bitSize - 1) / unit) ? end : Math.ceil(end / unit) * unit;
}
