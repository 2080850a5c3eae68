/** Constant data: `table(u16, [ … ])` becomes bytes of `.rodata`, laid out like any other memory of the type. */
import {
  type Field,
  isTuple,
  itemName,
  type MemType,
  type StructType,
  sizeOf,
  typeName,
  U8,
  U32,
} from "../check/index.ts";
import { BSS, DATA, type DataObject, type Region, RODATA } from "../ir/index.ts";
import { type Context, refuse } from "./context.ts";
import { describe, toScalar } from "./convert.ts";
import type { RefVal, Val } from "./values.ts";

/** A reference to the object in the program at hand. */
export function dataRef(cx: Context, object: DataObject, type: MemType): RefVal {
  const region = { kind: "map", name: object.section } as const;
  return { k: "ref", type, address: cx.b.data(object), off: 0, region, nullable: false };
}

/** A variable that outlives the packet, with the value that it begins with: `.data`, or `.bss` where that is zero. */
export function globalData(
  cx: Context,
  name: string,
  type: MemType,
  value: Val | undefined,
  at: number,
): Val & { k: "data" } {
  const bytes = new Uint8Array(sizeOf(type));
  if (value) encodeValue(cx, bytes, 0, type, value, at);
  const section = bytes.some((b) => b !== 0) ? DATA : BSS;
  return { k: "data", type, object: { id: cx.nextId++, name, section, type, bytes, align: 8 } };
}

/** A text with the NUL that ends it, in constant data. */
export function textData(cx: Context, text: string, at: number): DataObject {
  const bytes = new TextEncoder().encode(`${text}\0`);
  const type: MemType = { kind: "array", element: U8, length: bytes.length };
  return { id: cx.nextId++, name: `text_${at}`, section: RODATA, type, bytes, align: 1 };
}

/** @throws a complaint where the memory can only be read. */
export function requireWritable(cx: Context, region: Region, at: number): void {
  if (region.kind === "any" && region.readOnly) refuse(cx, at, "this memory can only be read");
  if (region.kind === "kernel" || region.kind === "btf" || region.kind === "probe")
    refuse(cx, at, "the kernel's own structs can only be read");
  if (region.kind === "ctx" && region.readOnly) refuse(cx, at, "this field of the context can only be read");
  if (region.kind === "map" && region.name === RODATA) {
    refuse(cx, at, "a table is constant: keep what changes in a map (array(…))");
  }
}

/** Writes a value that is known at compile time at `off`, little-endian; what is not given stays zero. */
export function encodeValue(cx: Context, out: Uint8Array, off: number, type: MemType, v: Val, at: number): void {
  if (type.kind === "struct") {
    if (v.k !== "record" || (v.tuple && !isTuple(type)))
      refuse(cx, at, `expected ${typeName(type)} in braces, got ${describe(v)}`);
    encodeStruct(cx, out, off, type, v, at);
  } else if (type.kind === "array") {
    if (v.k !== "record" || !v.tuple) refuse(cx, at, `expected ${typeName(type)} in brackets, got ${describe(v)}`);
    if (v.fields.size > type.length) {
      refuse(cx, at, `${typeName(type)} has ${type.length} elements, got ${v.fields.size}`);
    }
    const size = sizeOf(type.element);
    for (const [k, item] of v.fields) encodeValue(cx, out, off + Number(k) * size, type.element, item, at);
  } else if (type.kind !== "bits" && type.kind !== "map" && type.kind !== "pointer")
    putBytes(out, off, sizeOf(type), scalarOf(cx, type, v, at));
}

function encodeStruct(
  cx: Context,
  out: Uint8Array,
  off: number,
  type: StructType,
  v: Val & { k: "record" },
  at: number,
): void {
  for (const [given, item] of v.fields) {
    const name = v.tuple ? itemName(Number(given)) : given;
    const f = type.fields.get(name);
    if (!f) refuse(cx, at, `${typeName(type)} has no field ${name}: it has ${[...type.fields.keys()].join(", ")}`);
    if (f!.type.kind === "bits") putBits(cx, out, off, type, f!, item, at);
    else encodeValue(cx, out, off + f!.offset, f!.type, item, at);
  }
}

/** A bit field: from the lowest bit of each byte in a struct, from the highest in a header. */
function putBits(cx: Context, out: Uint8Array, off: number, type: StructType, f: Field, v: Val, at: number): void {
  const { width } = f.type as MemType & { kind: "bits" };
  const value = constantBits(cx, v, width, at);
  for (let k = 0; k < width; k++) {
    const bit = f.bit! + k;
    const msb = type.form === "header";
    const one = (value >> BigInt(msb ? width - 1 - k : k)) & 1n;
    const place = off + (bit >> 3);
    const mask = msb ? 0x80 >> (bit & 7) : 1 << (bit & 7);
    out[place] = one ? out[place]! | mask : out[place]! & ~mask;
  }
}

function constantBits(cx: Context, v: Val, width: number, at: number): bigint {
  const bits = scalarOf(cx, U32, v, at);
  if (bits >= 1n << BigInt(width))
    refuse(cx, at, `${bits} does not fit ${width} bits (0 to ${(1n << BigInt(width)) - 1n})`);
  return bits;
}

function scalarOf(cx: Context, type: Parameters<typeof toScalar>[2], v: Val, at: number): bigint {
  const bits = toScalar(cx, v, type, at);
  return bits.op === "const" ? bits.value : refuse(cx, at, "the value must be known at compile time");
}

function putBytes(out: Uint8Array, off: number, size: number, value: bigint): void {
  for (let k = 0; k < size; k++) out[off + k] = Number((value >> BigInt(8 * k)) & 0xffn);
}
