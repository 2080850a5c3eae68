/** Reading and writing memory: fields, bit fields, elements, whole objects by the widest access. */
import { BOOL, type MemType, NUMBER, type ScalarType, sizeOf, typeName, U8, U32 } from "../check/index.ts";
import { constant, type Insn, type Region, RODATA } from "../ir/index.ts";
import { type Context, refuse } from "./context.ts";
import { cast, describe, pointer, toScalar } from "./convert.ts";
import { kernelField, kernelReference, loadKernel, probeRead, requireKnownIndex } from "./kernelmemory.ts";
import type { CorePath, RefVal, Val } from "./values.ts";

/** A place that can be read and written. `bit` is where a bit field starts in the struct at `address + off`. */
export interface Place {
  readonly type: MemType;
  readonly address: Insn;
  readonly off: number;
  readonly region: Region;
  /** As of a reference. */
  readonly core?: CorePath | undefined;
  readonly bit?: { readonly start: number; readonly width: number; readonly msb: boolean; readonly size: number };
}

type Size = 1 | 2 | 4 | 8;

/**
 * The kernel wants accesses to the stack, the context and its structs aligned, and to the latter two no wider than
 * their fields; elsewhere any offset will do.
 */
function aligned(region: Region, off: number, size: number): boolean {
  switch (region.kind) {
    case "any":
      return !region.aligned || off % size === 0;
    case "stack":
      return off % size === 0;
    case "ctx":
      return off % size === 0 && size <= (region.widest ?? 8);
    case "kernel":
      return off % size === 0 && size <= 4;
    case "btf":
      return off % size === 0;
    default:
      return true;
  }
}

export function loadBytes(cx: Context, address: Insn, off: number, size: Size, region: Region): Insn {
  if (address.op === "data" && address.object.section === RODATA && !address.object.settable) {
    const bytes = address.object.bytes.subarray(off, off + size);
    return constant(bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n));
  }
  if (region.kind === "probe") {
    const type: MemType = { kind: "array", element: U8, length: size };
    return loadKernel(cx, { type, address, off, region }, size);
  }
  if (aligned(region, off, size)) return cx.b.load(size, address, off, region);
  const half = (size / 2) as Size;
  const lo = loadBytes(cx, address, off, half, region);
  const hi = loadBytes(cx, address, off + half, half, region);
  return cx.b.bin("or", 64, lo, cx.b.bin("shl", 64, hi, constant(BigInt(half * 8))));
}

export function storeBytes(cx: Context, address: Insn, off: number, size: Size, region: Region, value: Insn): void {
  if (aligned(region, off, size)) {
    cx.b.store(size, address, value, off, region);
    return;
  }
  const half = (size / 2) as Size;
  storeBytes(cx, address, off, half, region, value);
  storeBytes(cx, address, off + half, half, region, cx.b.bin("shr", 64, value, constant(BigInt(half * 8))));
}

/** The pieces, widest first, that cover `size` bytes where both sides allow them. */
export function pieces(size: number, sides: readonly { off: number; region: Region }[]): { at: number; size: Size }[] {
  const out: { at: number; size: Size }[] = [];
  for (let at = 0; at < size; ) {
    let piece: Size = 8;
    while (piece > 1 && (at + piece > size || !sides.every((s) => aligned(s.region, s.off + at, piece)))) {
      piece = (piece / 2) as Size;
    }
    out.push({ at, size: piece });
    at += piece;
  }
  return out;
}

export function copyBytes(cx: Context, to: RefVal, from: RefVal, size: number): void {
  if (from.region.kind === "probe") {
    probeRead(cx, pointer(cx, to), size, pointer(cx, from));
    return;
  }
  const parts = pieces(size, [to, from]);
  // In pairs of four: enough to overlap loads and stores, few enough for the registers.
  for (let i = 0; i < parts.length; i += 4) {
    const group = parts.slice(i, i + 4);
    const values = group.map((p) => cx.b.load(p.size, from.address, from.off + p.at, from.region));
    for (const [k, p] of group.entries()) cx.b.store(p.size, to.address, values[k]!, to.off + p.at, to.region);
  }
}

export function zeroBytes(cx: Context, address: Insn, off: number, size: number, region: Region): void {
  for (const p of pieces(size, [{ off, region }])) cx.b.store(p.size, address, constant(0n), off + p.at, region);
}

/** The bytes on the stack. */
function copied(cx: Context, from: RefVal, size: number): RefVal {
  const to = allocate(cx, "a copy", { kind: "array", element: U8, length: size });
  copyBytes(cx, to, from, size);
  return to;
}

/** 1 when the bytes are the same. */
export function equalBytes(cx: Context, a: RefVal, b: RefVal, size: number): Insn {
  const [x, y] = [a, b].map((v) => (v.region.kind === "probe" ? copied(cx, v, size) : v)) as [RefVal, RefVal];
  if (x !== a || y !== b) return equalBytes(cx, x, y, size);
  let difference: Insn | undefined;
  const parts = pieces(size, [a, b]);
  for (const p of parts) {
    const x = cx.b.load(p.size, a.address, a.off + p.at, a.region);
    const y = cx.b.load(p.size, b.address, b.off + p.at, b.region);
    if (parts.length === 1) return cx.b.cmp("eq", p.size === 8 ? 64 : 32, x, y);
    const d = cx.b.bin("xor", 64, x, y);
    difference = difference ? cx.b.bin("or", 64, difference, d) : d;
  }
  return difference ? cx.b.cmp("eq", 64, difference, constant(0n)) : constant(1n);
}

/** What a place holds. Structs and arrays stay references. */
export function readPlace(cx: Context, p: Place): Val {
  if (p.bit) return { k: "int", type: U32, v: readBits(cx, p, p.bit) };
  const t = p.type;
  if (t.kind === "pointer") return kernelReference(cx, p);
  if (t.kind === "struct" || t.kind === "array" || t.kind === "bits" || t.kind === "map") {
    if (p.core) return kernelReference(cx, p);
    return { k: "ref", type: t, address: p.address, off: p.off, region: p.region, nullable: false };
  }
  const size = sizeOf(t) as Size;
  // A number is read whole, as its struct has it.
  const v = p.core
    ? loadKernel(cx, p, size)
    : p.region.kind === "kernel"
      ? cx.b.load(size, p.address, p.off, p.region)
      : loadBytes(cx, p.address, p.off, size, p.region);
  if (t.kind === "bool") return { k: "int", type: BOOL, v: cx.b.cmp("ne", 32, v, constant(0n)) };
  if (t.signed && t.bits < 32) return { k: "int", type: t, v: cx.b.sext(t.bits as 8 | 16, 32, v) };
  return { k: "int", type: t, v };
}

/** Stores a value; a struct or an array is copied. */
export function writePlace(cx: Context, p: Place, v: Val, at: number): void {
  if (p.bit) {
    const bits = v.k === "lit" ? literalBits(cx, v, p.bit.width, at) : toScalar(cx, v, { ...NUMBER }, at);
    writeBits(cx, p, p.bit, bits);
    return;
  }
  const t = p.type;
  if (t.kind === "struct" || t.kind === "array") {
    if (v.k !== "ref" || v.nullable) refuse(cx, at, `expected ${typeName(t)}, got ${describe(v)}`);
    // toScalar-like complaint for another type:
    if (typeName(v.type) !== typeName(t) || sizeOf(v.type) !== sizeOf(t)) {
      refuse(cx, at, `expected ${typeName(t)}, got ${describe(v)}`);
    }
    copyBytes(cx, { ...p, k: "ref", nullable: false }, v, sizeOf(t));
    return;
  }
  const value = storeValue(cx, v, t as ScalarType, at);
  storeBytes(cx, p.address, p.off, sizeOf(t) as Size, p.region, value);
}

/** The register to be stored: a store cuts off what is too wide by itself. */
function storeValue(cx: Context, v: Val, t: ScalarType, at: number): Insn {
  if (v.k === "int" && v.type.kind === "int" && v.type.loose && t.kind === "int" && !t.be && t.bits < 32) return v.v;
  return toScalar(cx, v, t, at);
}

function literalBits(cx: Context, v: Val & { k: "lit" }, width: number, at: number): Insn {
  if (v.value < 0n || v.value >= 1n << BigInt(width)) {
    refuse(cx, at, `${v.value} does not fit ${width} bits (0 to ${(1n << BigInt(width)) - 1n})`);
  }
  return (cast(cx, v, U32, at) as Val & { k: "int" }).v;
}

/** The smallest access of 1, 2, 4 or 8 bytes that covers the bits and stays inside the struct. */
function unit(bit: NonNullable<Place["bit"]>): { at: number; size: Size; shift: number } {
  const first = bit.start >> 3;
  const last = (bit.start + bit.width - 1) >> 3;
  let size: Size = 1;
  while (size < last - first + 1) size = (size * 2) as Size;
  const at = Math.max(0, Math.min(first, bit.size - size));
  const inside = bit.start - at * 8;
  return { at, size, shift: bit.msb ? size * 8 - inside - bit.width : inside };
}

function readBits(cx: Context, p: Place, bit: NonNullable<Place["bit"]>): Insn {
  const { at, size, shift } = unit(bit);
  let v = loadBytes(cx, p.address, p.off + at, size, p.region);
  if (bit.msb && size > 1) v = cx.b.bswap((size * 8) as 16 | 32 | 64, v);
  const w = size === 8 ? 64 : 32;
  if (shift) v = cx.b.bin("shr", w, v, constant(BigInt(shift)));
  return shift + bit.width === size * 8 ? v : cx.b.bin("and", w, v, constant((1n << BigInt(bit.width)) - 1n));
}

function writeBits(cx: Context, p: Place, bit: NonNullable<Place["bit"]>, value: Insn): void {
  const { at, size, shift } = unit(bit);
  const w = size === 8 ? 64 : 32;
  const mask = (1n << BigInt(bit.width)) - 1n;
  let v = loadBytes(cx, p.address, p.off + at, size, p.region);
  const swap = (x: Insn) => (bit.msb && size > 1 ? cx.b.bswap((size * 8) as 16 | 32 | 64, x) : x);
  v = cx.b.bin("and", w, swap(v), constant(~(mask << BigInt(shift)) & ((1n << BigInt(size * 8)) - 1n)));
  const field = cx.b.bin("and", 32, value, constant(mask));
  v = cx.b.bin("or", w, v, cx.b.bin("shl", w, field, constant(BigInt(shift))));
  storeBytes(cx, p.address, p.off + at, size, p.region, swap(v));
}

/** The place of a struct's field. */
export function fieldPlace(cx: Context, ref: RefVal, name: string, at: number): Place {
  const t = ref.type;
  if (t.kind !== "struct") {
    if (name === "value" && (t.kind === "int" || t.kind === "bool")) return ref;
    return refuse(cx, at, `${typeName(t)} has no field ${name}`);
  }
  const f = t.fields.get(name);
  if (!f) return refuse(cx, at, `${t.name} has no field ${name}: it has ${[...t.fields.keys()].join(", ")}`);
  if (t.form === "kernel") return kernelField(ref, t, name);
  if (f.bit !== undefined && f.type.kind === "bits") {
    const bit = { start: f.bit, width: f.type.width, msb: t.form === "header", size: t.size };
    return { type: f.type, address: ref.address, off: ref.off, region: ref.region, bit };
  }
  return { type: f.type, address: ref.address, off: ref.off + f.offset, region: ref.region };
}

/** The place of an array's element. */
export function elementPlace(cx: Context, ref: RefVal, index: Val, at: number): Place {
  const t = ref.type;
  if (t.kind !== "array") return refuse(cx, at, `${typeName(t)} has no elements`);
  const size = sizeOf(t.element);
  const known =
    index.k === "lit" ? index.value : index.k === "int" && index.v.op === "const" ? index.v.value : undefined;
  if (known !== undefined) {
    if (known < 0n || known >= BigInt(t.length)) {
      refuse(cx, at, `index ${known} is outside the array: it has ${t.length} elements (0 to ${t.length - 1})`);
    }
    return { type: t.element, address: ref.address, off: ref.off + Number(known) * size, region: ref.region };
  }
  requireKnownIndex(cx, ref.region, t, at);
  const i = toScalar(
    cx,
    index,
    index.k === "int" && index.type.kind === "int" && index.type.bits === 64 ? index.type : U32,
    at,
  );
  const scaled = cx.b.bin("mul", 64, i, constant(BigInt(size)));
  const address = cx.b.bin("add", 64, ref.address, scaled);
  return { type: t.element, address, off: ref.off, region: ref.region };
}

/** A fresh object on the stack. */
export function allocate(cx: Context, name: string, type: MemType): RefVal {
  const slot = cx.b.slot(name, sizeOf(type), 8);
  return { k: "ref", type, address: cx.b.frame(slot), off: 0, region: { kind: "stack", slot }, nullable: false };
}

/** The address of a value of the type for a helper: the object itself, or a scalar put on the stack. */
export function addressOf(cx: Context, v: Val, type: MemType, what: string, at: number): Insn {
  if (v.k === "ref" && !v.nullable && v.type === type) return pointer(cx, v);
  if (type.kind === "struct" || type.kind === "array" || type.kind === "bits") {
    if (v.k === "ref" && !v.nullable && typeName(v.type) === typeName(type) && sizeOf(v.type) === sizeOf(type)) {
      return pointer(cx, v);
    }
    return refuse(cx, at, `${what}: expected ${typeName(type)}, got ${describe(v)}`);
  }
  const slot = allocate(cx, what, type);
  writePlace(cx, slot, v, at);
  return slot.address;
}
