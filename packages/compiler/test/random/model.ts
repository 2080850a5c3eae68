/**
 * What the random programs are made of: the language's number types and their widths, the layout of the struct that all
 * share, and the state that an evaluation works on.
 */

export type Num = "u8" | "u16" | "u32" | "u64" | "i8" | "i16" | "i32" | "i64";
export type Kind = "u32" | "i32" | "u64" | "i64" | "bool";

/** The state that a run works on. */
export interface World {
  readonly packet: Uint8Array;
  /** The array map's values, as bytes. */
  readonly map: Uint8Array[];
  /** What outlives a run; `freshState` makes it. */
  readonly state: State;
}
/** Global variables and structs by name, and what the maps hold. */
export interface State {
  readonly numbers: Map<string, bigint>;
  readonly structs: Map<string, DataView>;
  readonly hash: Map<number, Uint8Array>;
  /** The map whose keys are tuples, by the key as text. */
  readonly pairs: Map<string, bigint>;
  /** The maps in the map of maps. */
  readonly inner: readonly bigint[][];
}
export interface Env extends World {
  /** Headers and values that may be there, and what they are found in. */
  readonly maybes: Map<string, DataView | undefined>;
  readonly vars: Map<string, bigint>;
  readonly structs: Map<string, DataView>;
}
export interface Expr {
  readonly text: string;
  readonly run: (e: Env) => bigint;
}
export interface Stmt {
  readonly lines: readonly string[];
  readonly run: (e: Env) => void;
}
/** Leaves the innermost loop, or the one of the label. */
export class Break extends Error {
  readonly label: string | undefined;
  constructor(label?: string) {
    super();
    this.label = label;
  }
}
export class Continue extends Break {}
export class Return extends Error {
  readonly value: bigint;
  constructor(value: bigint) {
    super();
    this.value = value;
  }
}

export const FIELDS: readonly (readonly [string, Num, number])[] = [
  ["a", "u32", 0],
  ["b", "u64", 8],
  ["c", "u16", 16],
  ["d", "i32", 20],
  ["e", "u8", 24],
  ["f", "i16", 26],
  ["g", "i64", 32],
  ["inner.x", "u8", 40],
  ["inner.y", "i32", 44],
  ["w.whole", "u64", 64],
  ["w.half[1]", "u32", 68],
  ["w.quarter[0]", "u16", 64],
  ["w.b[6]", "u8", 70],
];
/** An array of u16 and two bit fields behind them. */
export const ARRAY_AT = 48;
export const BITS_AT = 56;
export const BIT_FIELDS: readonly (readonly [name: string, shift: number, width: number])[] = [
  ["k", 0, 5],
  ["l", 5, 17],
];
export const VALUE_SIZE = 72;
export const TABLE_SIZE = 8;
export const MAP_ENTRIES = 4;
export const PACKET_SIZE = 64;

export function wrap(t: Num, v: bigint): bigint {
  const bits = Number(t.slice(1));
  return t[0] === "u" ? BigInt.asUintN(bits, v) : BigInt.asIntN(bits, v);
}

export function kindOf(t: Num): Kind {
  if (t === "u64" || t === "i64") return t;
  return t[0] === "u" ? "u32" : "i32";
}

/** A generator of numbers in [0, 1). */
export function seeded(seed: number): () => number {
  let s = seed >>> 0;
  return () => {
    s = (s + 0x6d2b79f5) >>> 0;
    let t = s;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface Var {
  readonly name: string;
  readonly type: Num | "bool";
  readonly mutable: boolean;
}
/** A header, or a map's value, that may be undefined. */
export interface Maybe {
  readonly name: string;
  /** undefined of a map's value. */
  readonly header?: Header;
}
/** A header as declared, and how a cursor takes it. */
export interface Header {
  readonly name: string;
  readonly declared: string;
  readonly size: number;
  /** Bytes of the whole header; below `size` it is not there. */
  readonly length: (v: DataView) => number;
  /** The number that announces it, and the one that it announces. */
  readonly is: number;
  readonly next?: (v: DataView) => number;
  readonly fields: readonly HeaderField[];
}
export interface HeaderField {
  readonly name: string;
  readonly kind: "u32" | "u64";
  /** To host order and back. */
  readonly to: string;
  readonly from: string;
  readonly read: (v: DataView) => bigint;
  /** Truncates. */
  readonly write: (v: DataView, x: bigint) => void;
}

export interface Fn {
  readonly name: string;
  /** It takes a struct first. */
  readonly struct: boolean;
  readonly params: readonly Num[];
  readonly returns: Num;
  /** undefined only where `maybe`. */
  readonly maybe: boolean;
  readonly run: (args: readonly bigint[], struct: DataView | undefined, w: World) => bigint | undefined;
}

export function readField(v: DataView, t: Num, off: number): bigint {
  switch (t) {
    case "u8":
      return BigInt(v.getUint8(off));
    case "u16":
      return BigInt(v.getUint16(off, true));
    case "u32":
      return BigInt(v.getUint32(off, true));
    case "u64":
      return v.getBigUint64(off, true);
    case "i8":
      return BigInt(v.getInt8(off));
    case "i16":
      return BigInt(v.getInt16(off, true));
    case "i32":
      return BigInt(v.getInt32(off, true));
    case "i64":
      return v.getBigInt64(off, true);
  }
}

export function writeField(v: DataView, t: Num, off: number, x: bigint): void {
  const size = Number(t.slice(1)) / 8;
  const bits = BigInt.asUintN(64, x);
  for (let k = 0; k < size; k++) v.setUint8(off + k, Number((bits >> BigInt(k * 8)) & 0xffn));
}
