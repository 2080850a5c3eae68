/**
 * Bytes ↔ JavaScript values by BTF type, in memory order of a little-endian machine.
 *
 * Integers up to 4 bytes, enums and floats are numbers, larger integers bigint, `_Bool` boolean, `char[n]` a string up
 * to its first zero byte, arrays arrays, structs and unions objects by member name (of a union: all members when
 * decoding, one when encoding; members of nameless structs and unions stand among their owner's). Pointers are bigint.
 *
 * Fields of network types (`__be16`, `__be32`, `__be64`, `__sum16`, in our language `be16` …) are read and written big-endian, so
 * that a port reads 80. When encoding, an address may be written as text: `"10.0.0.1"` for `__be32`, `"2001:db8::1"`
 * for 16 bytes, `"02:00:00:00:00:01"` for 6 bytes.
 */
import { viewOf } from "../bytes/index.ts";
import { BpfError, BtfError } from "../errors/index.ts";
import { parseIpv4, parseIpv6, parseMac } from "../wire/index.ts";
import { type AddressShape, addressText } from "./addresses.ts";
import { resolve, sizeOf, skipModifiers, typeText, wholeBytes } from "./query.ts";
import type { Btf, BtfEnum, BtfInt, BtfStruct } from "./types.ts";

export type BtfValue =
  | number
  | bigint
  | boolean
  | string
  | Uint8Array
  | readonly BtfValue[]
  | { readonly [member: string]: BtfValue };

const MAX_DEPTH = 32;
/** Typedefs that say network byte order: C's (include/uapi/linux/types.h), and those of our own language. */
const NETWORK_TYPES = new Set(["__be16", "__be32", "__be64", "__sum16", "be16", "be32", "be64"]);

/** True when one of the typedefs on the way says network byte order. */
export function isNetworkOrder(btf: Btf, id: number): boolean {
  let at = id;
  for (let depth = 0; depth <= MAX_DEPTH; depth++) {
    at = skipModifiers(btf, at);
    const type = btf.type(at);
    if (type.kind !== "typedef") return false;
    if (NETWORK_TYPES.has(type.name)) return true;
    at = type.type;
  }
  return false;
}

export interface DecodeOptions {
  /** What type and name say is an address is given as the text that `encodeValue` takes: `"10.0.0.1"`. */
  readonly addresses?: boolean;
}

/** The value that the bytes hold. @throws RangeError when there are fewer bytes than the type has. */
export function decodeValue(btf: Btf, id: number, bytes: Uint8Array, options: DecodeOptions = {}): BtfValue {
  const size = sizeOf(btf, id);
  if (bytes.length < size) throw new RangeError(`${typeText(btf, id)}: need ${size} bytes, have ${bytes.length}`);
  const walk: Walk = { left: bytes.length * 64 + 65536, addresses: options.addresses ?? false };
  return decode(btf, id, bytes, 0, 0, walk, "");
}

interface Walk {
  /** Values that may still be made: members that share or take no bytes could otherwise double at each level. */
  left: number;
  readonly addresses: boolean;
}

/**
 * The value as bytes; members and elements that are not given are zero.
 * @throws RangeError naming the member for a value that does not fit, TypeError for one of the wrong kind.
 */
export function encodeValue(btf: Btf, id: number, value: BtfValue): Uint8Array {
  const bytes = new Uint8Array(sizeOf(btf, id));
  encode(btf, id, value, bytes, 0, typeText(btf, id), 0);
  return bytes;
}

/** `name` is the member's, empty where there is none. */
function decode(
  btf: Btf,
  id: number,
  bytes: Uint8Array,
  at: number,
  depth: number,
  walk: Walk,
  name: string,
): BtfValue {
  if (--walk.left < 0) throw new BtfError("has far more members than bytes", { typeId: id });
  if (depth > MAX_DEPTH) throw new RangeError(`${typeText(btf, id)}: nests deeper than ${MAX_DEPTH}`);
  inside(btf, id, bytes, at * 8, sizeOf(btf, id) * 8);
  const type = btf.type(resolve(btf, id));
  const view = viewOf(bytes);
  if (walk.addresses) {
    const text = addressText(name, shapeOf(btf, id), bytes.subarray(at, at + sizeOf(btf, id)));
    if (text !== undefined) return text;
  }
  switch (type.kind) {
    case "int":
      return decodeInt(type, readBytes(bytes, at, type.size, isNetworkOrder(btf, id)));
    case "enum":
    case "enum64": {
      const raw = readBytes(bytes, at, type.size, false);
      const value = type.signed ? BigInt.asIntN(type.size * 8, raw) : raw;
      return type.size > 4 ? value : Number(value);
    }
    case "float":
      return type.size === 4
        ? view.getFloat32(at, true)
        : type.size === 8
          ? view.getFloat64(at, true)
          : bytes.slice(at, at + type.size);
    case "ptr":
      return view.getBigUint64(at, true);
    case "array": {
      if (isChar(btf, type.type)) {
        const text = bytes.subarray(at, at + type.length);
        const end = text.indexOf(0);
        return new TextDecoder().decode(end < 0 ? text : text.subarray(0, end));
      }
      const each = sizeOf(btf, type.type);
      return Array.from({ length: each ? type.length : 0 }, (_, i) =>
        decode(btf, type.type, bytes, at + i * each, depth + 1, walk, name),
      );
    }
    case "struct":
    case "union": {
      const out: Record<string, BtfValue> = {};
      for (const m of type.members) {
        if (m.bitSize) {
          if (m.name) out[m.name] = decodeBits(btf, m.type, bytes, at * 8 + m.bitOffset, m.bitSize);
          continue;
        }
        const value = decode(btf, m.type, bytes, at + wholeBytes(m.bitOffset, m.name), depth + 1, walk, m.name);
        if (m.name) out[m.name] = value;
        else if (typeof value === "object") Object.assign(out, value);
      }
      return out;
    }
  }
  return bytes.slice(at, at + sizeOf(btf, id));
}

/** What a value is, as far as an address may lie in it. */
function shapeOf(btf: Btf, id: number): AddressShape {
  const type = btf.type(resolve(btf, id));
  if (type.kind === "int") return isNetworkOrder(btf, id) ? "network" : "other";
  if (type.kind === "array") return sizeOf(btf, type.type) === 1 && !isChar(btf, type.type) ? "bytes" : "other";
  return (type.kind === "struct" || type.kind === "union") && /^in6(_addr)?$/.test(type.name) ? "in6" : "other";
}

/** Members may lie about their place: a struct's size need not hold them. */
function inside(btf: Btf, id: number, bytes: Uint8Array, bitOffset: number, bits: number): void {
  if (bitOffset + bits > bytes.length * 8) {
    throw new BtfError(`${typeText(btf, id)} ends at bit ${bitOffset + bits} of ${bytes.length * 8}`, { typeId: id });
  }
}

function isChar(btf: Btf, id: number): boolean {
  const type = btf.type(resolve(btf, id));
  return type.kind === "int" && type.size === 1 && type.name === "char";
}

function decodeInt(type: BtfInt, raw: bigint): BtfValue {
  if (type.encoding === "bool") return raw !== 0n;
  const value = type.encoding === "signed" || type.encoding === "char" ? BigInt.asIntN(type.size * 8, raw) : raw;
  return type.size <= 4 ? Number(value) : value;
}

function readBytes(bytes: Uint8Array, at: number, size: number, big: boolean): bigint {
  let value = 0n;
  for (let i = 0; i < size; i++) value = (value << 8n) | BigInt(bytes[big ? at + i : at + size - 1 - i]!);
  return value;
}

function writeBytes(bytes: Uint8Array, at: number, size: number, value: bigint, big: boolean): void {
  let rest = BigInt.asUintN(size * 8, value);
  for (let i = 0; i < size; i++) {
    bytes[big ? at + size - 1 - i : at + i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
}

function decodeBits(btf: Btf, id: number, bytes: Uint8Array, bitOffset: number, bits: number): BtfValue {
  inside(btf, id, bytes, bitOffset, bits);
  const type = bitfieldType(btf, id);
  let raw = 0n;
  for (let i = bits - 1; i >= 0; i--) {
    const bit = bitOffset + i;
    raw = (raw << 1n) | BigInt((bytes[bit >> 3]! >> (bit & 7)) & 1);
  }
  if (type.kind === "int" && type.encoding === "bool") return raw !== 0n;
  const signed = type.kind === "int" ? type.encoding === "signed" : type.signed;
  const value = signed ? BigInt.asIntN(bits, raw) : raw;
  return type.size <= 4 ? Number(value) : value;
}

function encode(
  btf: Btf,
  id: number,
  value: BtfValue,
  bytes: Uint8Array,
  at: number,
  path: string,
  depth: number,
): void {
  if (depth > MAX_DEPTH) throw new RangeError(`${path}: nests deeper than ${MAX_DEPTH}`);
  const size = sizeOf(btf, id);
  inside(btf, id, bytes, at * 8, size * 8);
  if (value instanceof Uint8Array) {
    if (value.length !== size) throw new RangeError(`${path}: expected ${size} bytes, got ${value.length}`);
    bytes.set(value, at);
    return;
  }
  const type = btf.type(resolve(btf, id));
  if (typeof value === "string") {
    const address = encodeAddress(value, size);
    const chars = type.kind === "array" && isChar(btf, type.type);
    if (!chars && address && type.kind !== "enum" && (type.kind !== "int" || isNetworkOrder(btf, id))) {
      bytes.set(address, at);
      return;
    }
    if (chars) {
      const text = new TextEncoder().encode(value);
      if (text.length > size)
        throw new RangeError(`${path}: expected at most ${size} bytes of text, got ${text.length}`);
      bytes.set(text, at);
      return;
    }
  }
  switch (type.kind) {
    case "int":
      writeBytes(bytes, at, size, integer(value, size * 8, isSignedInt(type), path), isNetworkOrder(btf, id));
      return;
    case "enum":
    case "enum64":
      writeBytes(bytes, at, size, integer(enumerator(type, value, path), size * 8, type.signed, path), false);
      return;
    case "ptr":
      writeBytes(bytes, at, 8, integer(value, 64, false, path), false);
      return;
    case "float": {
      if (typeof value !== "number") throw new TypeError(`${path}: expected a number, got ${typeof value}`);
      if (size === 4) viewOf(bytes).setFloat32(at, value, true);
      else viewOf(bytes).setFloat64(at, value, true);
      return;
    }
    case "array": {
      if (!Array.isArray(value)) throw new TypeError(`${path}: expected an array, got ${typeof value}`);
      if (value.length > type.length) {
        throw new RangeError(`${path}: expected at most ${type.length} elements, got ${value.length}`);
      }
      const each = sizeOf(btf, type.type);
      (value as BtfValue[]).forEach((v, i) => {
        encode(btf, type.type, v, bytes, at + i * each, `${path}[${i}]`, depth + 1);
      });
      return;
    }
    case "struct":
    case "union": {
      if (typeof value !== "object" || Array.isArray(value))
        throw new TypeError(`${path}: expected an object, got ${typeof value}`);
      for (const [name, v] of Object.entries(value)) {
        const found = findMember(btf, type, name, 0);
        if (!found) throw new RangeError(`${path}: ${typeText(btf, id)} has no member ${JSON.stringify(name)}`);
        const where = `${path}.${name}`;
        if (found.bitSize) encodeBits(btf, found.type, v, bytes, at * 8 + found.bitOffset, found.bitSize, where);
        else encode(btf, found.type, v, bytes, at + wholeBytes(found.bitOffset, name), where, depth + 1);
      }
      return;
    }
  }
  throw new TypeError(`${path}: ${typeText(btf, id)} has no values`);
}

function findMember(
  btf: Btf,
  type: BtfStruct,
  name: string,
  depth: number,
  searched = new Set<BtfStruct>(),
): BtfStruct["members"][number] | undefined {
  if (depth > MAX_DEPTH || searched.has(type)) return undefined;
  searched.add(type);
  for (const m of type.members) {
    if (m.name === name) return m;
    if (m.name) continue;
    const inner = btf.type(resolve(btf, m.type));
    const found =
      inner.kind === "struct" || inner.kind === "union" ? findMember(btf, inner, name, depth + 1, searched) : undefined;
    if (found) return { ...found, bitOffset: found.bitOffset + m.bitOffset };
  }
  return undefined;
}

function encodeBits(
  btf: Btf,
  id: number,
  value: BtfValue,
  bytes: Uint8Array,
  bitOffset: number,
  bits: number,
  path: string,
): void {
  inside(btf, id, bytes, bitOffset, bits);
  const type = bitfieldType(btf, id);
  const signed = type.kind === "int" ? isSignedInt(type) : type.signed;
  const raw = integer(type.kind === "int" ? value : enumerator(type, value, path), bits, signed, path);
  for (let i = 0; i < bits; i++) {
    const bit = bitOffset + i;
    const mask = 1 << (bit & 7);
    bytes[bit >> 3] = (raw >> BigInt(i)) & 1n ? bytes[bit >> 3]! | mask : bytes[bit >> 3]! & ~mask;
  }
}

function bitfieldType(btf: Btf, id: number): BtfInt | BtfEnum {
  const type = btf.type(resolve(btf, id));
  if (type.kind === "int" || type.kind === "enum" || type.kind === "enum64") return type;
  throw new BtfError(`a bitfield of ${typeText(btf, id)}`, { typeId: id });
}

function isSignedInt(type: BtfInt): boolean {
  return type.encoding === "signed" || type.encoding === "char";
}

function enumerator(type: BtfEnum, value: BtfValue, path: string): BtfValue {
  if (typeof value !== "string") return value;
  const found = type.values.find((v) => v.name === value);
  if (!found)
    throw new RangeError(`${path}: expected one of ${type.values.map((v) => v.name).join(", ")}, got ${value}`);
  return found.value;
}

/** A signed type also takes its bit pattern (0xffffffff), an unsigned one no negative number. */
function integer(value: BtfValue, bits: number, signed: boolean, path: string): bigint {
  if (typeof value === "boolean") return value ? 1n : 0n;
  if (typeof value !== "bigint" && (typeof value !== "number" || !Number.isInteger(value))) {
    const what = typeof value === "number" ? String(value) : typeof value;
    throw new TypeError(`${path}: expected an integer, got ${what}`);
  }
  const n = BigInt(value);
  const min = signed ? -(1n << BigInt(bits - 1)) : 0n;
  const max = (1n << BigInt(bits)) - 1n;
  if (n < min || n > max) throw new RangeError(`${path}: expected ${min} to ${max}, got ${n}`);
  return BigInt.asUintN(bits, n);
}

/** An address of 4, 6 or 16 bytes in its usual text form; undefined when it is none. */
function encodeAddress(text: string, size: number): Uint8Array | undefined {
  const parse = { 4: parseIpv4, 6: parseMac, 16: parseIpv6 }[size];
  try {
    return parse?.(text);
  } catch (e) {
    if (e instanceof BpfError) return undefined;
    throw e;
  }
}
