/** Questions about types: what a typedef stands for, sizes, alignment, and a C-like name for messages. */
import { BtfError } from "../errors/index.ts";
import type { Btf, BtfArray, BtfType } from "./types.ts";

/** A chain of modifiers longer than this is a cycle or an attack. Source: kernel and libbpf allow 32. */
const MAX_DEPTH = 32;
const POINTER_SIZE = 8;

/** The id behind typedefs, qualifiers and type tags. @throws BtfError for an endless chain. */
export function resolve(btf: Btf, id: number): number {
  return skip(btf, id, true);
}

/** The id behind qualifiers and type tags; typedefs stay. */
export function skipModifiers(btf: Btf, id: number): number {
  return skip(btf, id, false);
}

function skip(btf: Btf, id: number, typedefs: boolean): number {
  let at = id;
  for (let depth = 0; depth <= MAX_DEPTH; depth++) {
    const type = btf.type(at);
    switch (type.kind) {
      case "typedef":
        if (!typedefs) return at;
        at = type.type;
        break;
      case "volatile":
      case "const":
      case "restrict":
      case "typeTag":
        at = type.type;
        break;
      default:
        return at;
    }
  }
  throw new BtfError(`more than ${MAX_DEPTH} typedefs and qualifiers in a row`, { typeId: id });
}

/**
 * Bytes of a value of this type; 0 for void, functions and flexible arrays.
 * @throws BtfError for a type without a size (forward declarations) or one over 4 GB.
 */
export function sizeOf(btf: Btf, id: number): number {
  let at = id;
  let count = 1;
  for (let depth = 0; depth <= MAX_DEPTH; depth++) {
    at = resolve(btf, at);
    const type = btf.type(at);
    switch (type.kind) {
      case "int":
      case "struct":
      case "union":
      case "enum":
      case "enum64":
      case "float":
      case "datasec":
        return bounded(count * type.size, id);
      case "ptr":
        return bounded(count * POINTER_SIZE, id);
      case "void":
      case "func":
      case "funcProto":
        return 0;
      case "array":
        count = bounded(count * type.length, id);
        at = type.type;
        break;
      case "var":
        at = type.type;
        break;
      default:
        throw new BtfError(`${typeText(btf, id)} has no size`, { typeId: id });
    }
  }
  throw new BtfError(`arrays nest deeper than ${MAX_DEPTH}`, { typeId: id });
}

function bounded(size: number, id: number): number {
  if (size > 0xffffffff) throw new BtfError(`${size} bytes are more than 4 GB`, { typeId: id });
  return size;
}

/** Alignment in bytes as clang lays out for the BPF target; a struct whose members contradict it is packed: 1. */
export function alignOf(btf: Btf, id: number): number {
  return align(btf, id, new Map(), 0);
}

function align(btf: Btf, id: number, known: Map<number, number>, depth: number): number {
  const at = resolve(btf, id);
  const cached = known.get(at);
  if (cached !== undefined) return cached;
  if (depth > MAX_DEPTH) throw new BtfError(`types nest deeper than ${MAX_DEPTH}`, { typeId: id });
  const type = btf.type(at);
  let result = 1;
  switch (type.kind) {
    case "int":
    case "enum":
    case "enum64":
    case "float":
      result = Math.max(1, Math.min(POINTER_SIZE, type.size));
      break;
    case "ptr":
      result = POINTER_SIZE;
      break;
    case "array":
    case "var":
      result = align(btf, type.type, known, depth + 1);
      break;
    case "struct":
    case "union": {
      known.set(at, 1);
      for (const m of type.members) {
        const own = align(btf, m.type, known, depth + 1);
        result = Math.max(result, own);
        // A member off its alignment, or a size that is no multiple, tells of `packed`.
        if (m.bitSize === 0 && m.bitOffset % (8 * own) !== 0) {
          result = 1;
          break;
        }
      }
      if (type.size % result !== 0) result = 1;
      break;
    }
  }
  known.set(at, result);
  return result;
}

/** The array type behind typedefs and qualifiers, or undefined. */
export function arrayOf(btf: Btf, id: number): BtfArray | undefined {
  const type = btf.type(resolve(btf, id));
  return type.kind === "array" ? type : undefined;
}

/** A C-like name for messages and listings: `struct iphdr *`, `const char[16]`, `struct <anon>`. */
export function typeText(btf: Btf, id: number): string {
  return text(btf, id, 0);
}

function text(btf: Btf, id: number, depth: number): string {
  if (depth > MAX_DEPTH) return "…";
  const type: BtfType = btf.type(id);
  const inner = (to: number) => text(btf, to, depth + 1);
  switch (type.kind) {
    case "void":
      return "void";
    case "ptr":
      return `${inner(type.type)}${btf.type(type.type).kind === "ptr" ? "*" : " *"}`;
    case "array":
      return `${inner(type.type)}[${type.length}]`;
    case "struct":
    case "union":
    case "enum":
      return `${type.kind} ${type.name || "<anon>"}`;
    case "enum64":
      return `enum ${type.name || "<anon>"}`;
    case "fwd":
      return `${type.union ? "union" : "struct"} ${type.name}`;
    case "const":
    case "volatile":
    case "restrict":
      return `${type.kind} ${inner(type.type)}`;
    case "typeTag":
      return inner(type.type);
    case "func":
    case "funcProto":
      return type.name || "function";
    default:
      return type.name;
  }
}

/**
 * How often nameless types may be written in place of their mention: each is mentioned once, or a few times after dedup.
 * Two mentions a level, though, double the text at each of dozens of levels.
 */
export function namelessRoom(btf: Btf): number {
  return 1000 + 8 * btf.length;
}

/** A bit offset in bytes. @throws BtfError when what is no bitfield starts inside a byte. */
export function wholeBytes(bitOffset: number, what: string): number {
  if (bitOffset % 8) throw new BtfError(`${what || "a member"} is no bitfield, but starts at bit ${bitOffset}`);
  return bitOffset / 8;
}
