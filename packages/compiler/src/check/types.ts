/**
 * The types of the language and their layout in memory: C's for structs (or packed), wire order for headers.
 */
import type { FunctionNode } from "../parse/index.ts";

export interface IntType {
  readonly kind: "int";
  readonly bits: 8 | 16 | 32 | 64;
  readonly signed: boolean;
  /** In network byte order. */
  readonly be: boolean;
  /** The result of arithmetic: narrower places take it, truncated. */
  readonly loose: boolean;
  /** The kernel's name of the enum that the field of a kernel struct is. */
  readonly kernelEnum?: string;
}
export interface BoolType {
  readonly kind: "bool";
}
export interface BitsType {
  readonly kind: "bits";
  readonly width: number;
}
export interface ArrayType {
  readonly kind: "array";
  readonly element: MemType;
  readonly length: number;
}
export interface StructType {
  readonly kind: "struct";
  readonly name: string;
  /** `kernel`: a part of a struct of the kernel's, whose fields lie where the running kernel has them (CO-RE). */
  readonly form: "struct" | "union" | "header" | "kernel";
  /** What the kernel calls it, of form `kernel`. */
  readonly kernel?: string;
  readonly fields: ReadonlyMap<string, Field>;
  readonly size: number;
  readonly align: number;
  /** Computes a variable-length header's bytes from its fixed part; with the scope that it closes over. */
  readonly length: { readonly fn: FunctionNode; readonly scope: unknown } | undefined;
  /** Of a header: its place among others. */
  readonly links?: HeaderLinks;
}
/** A space of numbers by which headers say what follows them: EtherTypes, IP protocols, UDP ports … */
export interface NumberSpace {
  name: string;
  readonly type: IntType;
}
export interface HeaderLinks {
  /** What follows: a number of the space, computed from the header (and from what is behind it). */
  readonly next: { readonly space: NumberSpace; readonly fn: FunctionNode; readonly scope: unknown } | undefined;
  /** The numbers, in host order, that announce this header. */
  readonly is: readonly { readonly space: NumberSpace; readonly value: bigint }[];
}
export interface Field {
  readonly name: string;
  readonly type: MemType;
  /** Bytes; of a bit field, the byte that its first bit is in. */
  readonly offset: number;
  /**
   * Of a bit field: bits from the start of the struct, counted from the most significant bit of each byte in a header,
   * from the least significant one elsewhere.
   */
  readonly bit: number | undefined;
}
/** A map that another map holds: known only through a pointer. */
export interface InnerMapType {
  readonly kind: "map";
  readonly name: string;
  /** The declaration that stands for all of them. */
  readonly map: unknown;
}
/** A field of a kernel struct that points to another, or to what nobody here knows: then it is a number. */
export interface PointerType {
  readonly kind: "pointer";
  readonly to: StructType | undefined;
}
/** What memory can hold. */
export type MemType = IntType | BoolType | BitsType | ArrayType | StructType | InnerMapType | PointerType;
export type ScalarType = IntType | BoolType;

function int(bits: IntType["bits"], signed: boolean, be = false, loose = false): IntType {
  return { kind: "int", bits, signed, be, loose };
}

export const U8 = int(8, false);
export const U16 = int(16, false);
export const U32 = int(32, false);
export const U64 = int(64, false);
export const I8 = int(8, true);
export const I16 = int(16, true);
export const I32 = int(32, true);
export const I64 = int(64, true);
export const BE16 = int(16, false, true);
export const BE32 = int(32, false, true);
export const BE64 = int(64, false, true);
export const BOOL: BoolType = { kind: "bool" };
/** What arithmetic of up to 32 bits gives. */
export const NUMBER = int(32, false, false, true);
export const SIGNED_NUMBER = int(32, true, false, true);

export const SCALARS: ReadonlyMap<string, ScalarType> = new Map<string, ScalarType>([
  ["u8", U8],
  ["u16", U16],
  ["u32", U32],
  ["u64", U64],
  ["i8", I8],
  ["i16", I16],
  ["i32", I32],
  ["i64", I64],
  ["be16", BE16],
  ["be32", BE32],
  ["be64", BE64],
  ["bool", BOOL],
]);

/** The type as its user writes it. */
export function typeName(t: MemType): string {
  switch (t.kind) {
    case "int":
      return t.be ? `be${t.bits}` : `${t.signed ? "i" : "u"}${t.bits}`;
    case "bool":
      return "bool";
    case "bits":
      return `bits(${t.width})`;
    case "array":
      return t.element === U8 ? `bytes(${t.length})` : `arrayOf(${typeName(t.element)}, ${t.length})`;
    case "struct":
      return t.name;
    case "map":
      return `a map of ${t.name}`;
    case "pointer":
      return t.to ? `pointerTo(${typeName(t.to)})` : "address";
  }
}

/** Bytes; of a bit field, those that it touches when it starts a byte. */
export function sizeOf(t: MemType): number {
  switch (t.kind) {
    case "int":
      return t.bits / 8;
    case "bool":
      return 1;
    case "bits":
      return Math.ceil(t.width / 8);
    case "array":
      return sizeOf(t.element) * t.length;
    case "struct":
      return t.size;
    case "map":
      return 4;
    case "pointer":
      return 8;
  }
}

export function alignOf(t: MemType): number {
  switch (t.kind) {
    case "array":
      return alignOf(t.element);
    case "struct":
      return t.align;
    case "bits":
      return 4;
    default:
      return sizeOf(t);
  }
}

/** Same layout and meaning: structs by identity. */
export function sameType(a: MemType, b: MemType): boolean {
  if (a === b) return true;
  if (a.kind === "int" && b.kind === "int") return a.bits === b.bits && a.signed === b.signed && a.be === b.be;
  if (a.kind === "array" && b.kind === "array") return a.length === b.length && sameType(a.element, b.element);
  return a.kind === "bool" && b.kind === "bool";
}

/** The name of a tuple's item in memory, where items have names. */
export function itemName(k: number | bigint): string {
  return `_${k}`;
}

/** A struct whose fields are known by their places. */
export function isTuple(t: MemType): t is StructType {
  return t.kind === "struct" && t.fields.has(itemName(0));
}

/** Lays out a struct, union or header of the fields in order. */
export function layoutStruct(
  name: string,
  form: StructType["form"],
  members: readonly { readonly name: string; readonly type: MemType }[],
  packed: boolean,
  length: StructType["length"],
  links?: HeaderLinks,
): StructType {
  const fields = new Map<string, Field>();
  const tight = packed || form === "header";
  let bit = 0;
  let size = 0;
  let align = 1;
  for (const { name: field, type } of members) {
    if (form === "union") bit = 0;
    if (type.kind === "bits") {
      // C starts a new 32-bit unit where the field would cross one; wire formats have no such rule.
      if (form !== "header" && (bit & 31) + type.width > 32) bit = (bit + 31) & ~31;
      fields.set(field, { name: field, type, offset: bit >> 3, bit });
      bit += type.width;
      if (!tight) align = Math.max(align, 4);
    } else {
      const a = tight ? 1 : alignOf(type);
      const offset = Math.ceil((bit + 7) >> 3);
      const at = Math.ceil(offset / a) * a;
      fields.set(field, { name: field, type, offset: at, bit: undefined });
      bit = (at + sizeOf(type)) * 8;
      align = Math.max(align, a);
    }
    size = Math.max(size, (bit + 7) >> 3);
  }
  size = Math.ceil(size / align) * align;
  return { kind: "struct", name, form, fields, size, align, length, links };
}
