/**
 * Attributes by table: a kind of device, qdisc, filter or action is a list of names, numbers and codecs, and one pair of
 * functions puts values into attributes and takes them out again. A new kind is a table, not code.
 */
import { concatBytes, fromHex, toHex, viewOf } from "../bytes/index.ts";
import { formatIp, formatMac, parseIp, parseMac } from "../wire/index.ts";
import { type Attr, attrList, cstring, decodeAttrs, encodeAttrs, getString } from "./message.ts";

/** One value and its bytes; nested attributes are attributes. `decode` answers undefined for bytes that are none. */
export interface Codec<T> {
  encode(value: T): Uint8Array | readonly Attr[];
  decode(bytes: Uint8Array): T | undefined;
}

/**
 * A name's attribute: its number, of an address one for IPv4 and one for IPv6, or `"head"`: the bytes before the first
 * attribute, as old qdiscs have a struct there.
 */
export type Row<T> = readonly [type: number | readonly [v4: number, v6: number] | "head", codec: Codec<T>];

// biome-ignore lint/suspicious/noExplicitAny: a table holds codecs of all types; `Values` finds each one's again.
export type Table = Readonly<Record<string, Row<any>>>;

/** The values that a table describes; each may be absent. */
export type Values<T extends Table> = {
  readonly [K in keyof T]?: T[K] extends Row<infer V> ? V : never;
};

/** @throws RangeError that names the value which its codec does not take. */
export function encodeValues<T extends Table>(table: T, values: Values<T>): { head: Uint8Array; attrs: Attr[] } {
  let head: Uint8Array = new Uint8Array(0);
  const attrs: Attr[] = [];
  for (const [name, [type, codec]] of Object.entries(table)) {
    const value = values[name];
    if (value === undefined) continue;
    const bytes = named(name, () => codec.encode(value));
    if (bytes instanceof Uint8Array && type === "head") head = bytes;
    else if (typeof type === "number") {
      // A flag that is off is an attribute that is not there.
      if (codec !== flag || value) attrs.push([type, bytes]);
    } else if (type !== "head") attrs.push([(bytes as Uint8Array).length === 4 ? type[0] : type[1], bytes]);
  }
  return { head, attrs };
}

export function decodeValues<T extends Table>(table: T, bytes: Uint8Array): Values<T> {
  const rows = Object.entries(table);
  const head = rows.find(([, [type]]) => type === "head");
  const size = head ? Math.min(bytes.length, headSize(head[1][1])) : 0;
  const attrs = decodeAttrs(bytes.subarray(size));
  const values: Record<string, unknown> = {};
  for (const [name, [type, codec]] of rows) {
    const value =
      type === "head"
        ? bytes.subarray(0, size)
        : typeof type === "number"
          ? attrs.get(type)
          : (attrs.get(type[0]) ?? attrs.get(type[1]));
    const decoded = value && codec.decode(value);
    if (decoded !== undefined) values[name] = decoded;
  }
  return values as Values<T>;
}

function named<T>(name: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    if (error instanceof RangeError) throw new RangeError(`${name}: ${error.message}`);
    throw error;
  }
}

/** A struct's size is fixed; another codec at the head takes all. */
function headSize(codec: Codec<unknown>): number {
  return "size" in codec ? (codec.size as number) : Number.POSITIVE_INFINITY;
}

// ---- numbers

type Order = "little" | "big";

function integer(bytes: 1 | 2 | 4, order: Order = "little", signed = false): Codec<number> & Field<number> {
  const little = order === "little";
  const low = signed ? -(2 ** (bytes * 8 - 1)) : 0;
  const high = 2 ** (bytes * 8 - (signed ? 1 : 0)) - 1;
  const get = (v: DataView, at: number): number =>
    bytes === 1
      ? signed
        ? v.getInt8(at)
        : v.getUint8(at)
      : bytes === 2
        ? signed
          ? v.getInt16(at, little)
          : v.getUint16(at, little)
        : signed
          ? v.getInt32(at, little)
          : v.getUint32(at, little);
  const put = (v: DataView, at: number, value: number): void => {
    if (!Number.isInteger(value) || value < low || value > high) {
      throw new RangeError(`expected a whole number from ${low} to ${high}, got ${value}`);
    }
    if (bytes === 1) v.setUint8(at, value & 255);
    else if (bytes === 2) v.setUint16(at, value & 0xffff, little);
    else v.setUint32(at, value >>> 0, little);
  };
  return fixed(bytes, get, put);
}

/** A part of a struct. */
export interface Field<T> {
  readonly size: number;
  /** What its place is a multiple of: its size when absent. */
  readonly align?: number;
  get(view: DataView, at: number): T;
  put(view: DataView, at: number, value: T): void;
}

function fixed<T>(
  size: number,
  get: (view: DataView, at: number) => T,
  put: (view: DataView, at: number, value: T) => void,
): Codec<T> & Field<T> {
  return {
    size,
    get,
    put,
    encode: (value) => {
      const bytes = new Uint8Array(size);
      put(viewOf(bytes), 0, value);
      return bytes;
    },
    decode: (bytes) => (bytes.length < size ? undefined : get(viewOf(bytes), 0)),
  };
}

export const u8 = integer(1);
export const u16 = integer(2);
export const u32 = integer(4);
export const s8 = integer(1, "little", true);
export const s16 = integer(2, "little", true);
export const s32 = integer(4, "little", true);
export const be16 = integer(2, "big");
export const be32 = integer(4, "big");
export const u64: Codec<bigint> & Field<bigint> = fixed(
  8,
  (v, at) => v.getBigUint64(at, true),
  (v, at, value) => v.setBigUint64(at, value, true),
);
export const s64: Codec<bigint> & Field<bigint> = fixed(
  8,
  (v, at) => v.getBigInt64(at, true),
  (v, at, value) => v.setBigInt64(at, value, true),
);

/** true and false in a number's width. */
export function bool(width: Codec<number> & Field<number> = u8): Codec<boolean> & Field<boolean> {
  return fixed(
    width.size,
    (v, at) => width.get(v, at) !== 0,
    (v, at, value) => width.put(v, at, Number(value)),
  );
}

/** There or not there, without a value. */
export const flag: Codec<boolean> = { encode: () => new Uint8Array(0), decode: () => true };

/** Names for numbers; a number without a name stays one. */
export function oneOf<N extends string>(
  names: Readonly<Record<N, number>>,
  width: Codec<number> & Field<number> = u32,
): Codec<N> & Field<N> {
  const byNumber = new Map(Object.entries(names).map(([name, n]) => [n as number, name as N]));
  return fixed(
    width.size,
    (v, at) => byNumber.get(width.get(v, at)) ?? (String(width.get(v, at)) as N),
    (v, at, value) => {
      const number = names[value] ?? (/^\d+$/.test(value) ? Number(value) : undefined);
      if (number === undefined) throw new RangeError(`expected one of ${Object.keys(names).join(", ")}, got ${value}`);
      width.put(v, at, number);
    },
  );
}

/** Names in the order of their numbers, from `first`. */
export function choice<const N extends readonly string[]>(
  names: N,
  width: Codec<number> & Field<number> = u32,
  first = 0,
): Codec<N[number]> & Field<N[number]> {
  return oneOf(Object.fromEntries(names.map((name, i) => [name, i + first])) as Record<N[number], number>, width);
}

// ---- texts, addresses, bytes

export const text: Codec<string> = { encode: cstring, decode: getString };

export const ip: Codec<string> = {
  encode: parseIp,
  decode: (bytes) => (bytes.length === 4 || bytes.length === 16 ? formatIp(bytes) : undefined),
};

export const mac: Codec<string> = {
  encode: parseMac,
  decode: (bytes) => (bytes.length === 6 ? formatMac(bytes) : undefined),
};

/** Anything else, as hex. */
export const hex: Codec<string> = { encode: fromHex, decode: toHex };

/** Bytes that stay in a struct as they are. */
export function octets(size: number): Field<readonly number[]> {
  return {
    size,
    align: 1,
    get: (v, at) => Array.from({ length: size }, (_, i) => v.getUint8(at + i)),
    put: (v, at, value) => {
      for (let i = 0; i < size; i++) v.setUint8(at + i, value[i] ?? 0);
    },
  };
}

// ---- what is made of others

/** Attributes of a table, nested. */
export function nested<T extends Table>(table: T): Codec<Values<T>> {
  return {
    encode: (values) => encodeValues(table, values).attrs,
    decode: (bytes) => decodeValues(table, bytes),
  };
}

/** A list: nested attributes of one number, or numbered from 1. */
export function list<T>(codec: Codec<T>, type?: number): Codec<readonly T[]> {
  return {
    encode: (values) => values.map((value, i): Attr => [type ?? i + 1, codec.encode(value)]),
    decode: (bytes) =>
      attrList(bytes)
        .map(([, value]) => codec.decode(value))
        .filter((value) => value !== undefined),
  };
}

/** A struct of the kernel: fields one after the other, each at a multiple of its size as C puts it. */
export function struct<F extends Readonly<Record<string, Field<unknown>>>>(
  fields: F,
): Codec<{ readonly [K in keyof F]: F[K] extends Field<infer V> ? V : never }> &
  Field<{ readonly [K in keyof F]: F[K] extends Field<infer V> ? V : never }> {
  type V = { readonly [K in keyof F]: F[K] extends Field<infer X> ? X : never };
  let size = 0;
  let most = 1;
  const places: [string, number, Field<unknown>][] = [];
  for (const [name, field] of Object.entries(fields)) {
    const align = field.align ?? field.size;
    most = Math.max(most, align);
    size = Math.ceil(size / align) * align;
    places.push([name, size, field]);
    size += field.size;
  }
  size = Math.ceil(size / most) * most;
  const codec = fixed<V>(
    size,
    (view, at) => Object.fromEntries(places.map(([name, offset, field]) => [name, field.get(view, at + offset)])) as V,
    (view, at, value) => {
      for (const [name, offset, field] of places) {
        const part = (value as Record<string, unknown>)[name];
        if (part !== undefined) named(name, () => field.put(view, at + offset, part));
      }
    },
  );
  return Object.assign(codec, { align: most });
}

/** The bytes of options: what stands before the attributes, and they. */
export function optionBytes<T extends Table>(table: T, values: Values<T>): Uint8Array {
  const { head, attrs } = encodeValues(table, values);
  return concatBytes([head, encodeAttrs(attrs)]);
}
