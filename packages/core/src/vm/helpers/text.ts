/**
 * Formatting and parsing of text. Source: kernel/bpf/helpers.c 6.18 `bpf_bprintf_prepare` (what a format may hold),
 * `__bpf_strtoull`; lib/vsprintf.c for the conversions.
 */
import { Errno } from "../../errors/index.ts";
import { type Env, type HelperImpl, helper } from "../env.ts";

const MAX_ARGS = 12;
const MAX_STRING = 1024;

export const TEXT_HELPERS: readonly (readonly [number, HelperImpl])[] = [
  /* trace_printk(fmt, size, a, b, c) */ [
    6,
    helper("iiwww", "i", (env, fmt, size, ...halves) => {
      const args: bigint[] = [];
      for (let i = 0; i < 6; i += 2) args.push(join(halves[i]!, halves[i + 1]!));
      return trace(env, fmt, size, args);
    }),
  ],
  /* trace_vprintk(fmt, size, data, len) */ [
    177,
    helper("iiii", "i", (env, fmt, size, data, length) => {
      const args = argsAt(env, data, length);
      return typeof args === "number" ? args : trace(env, fmt, size, args);
    }),
  ],
  /* snprintf(str, size, fmt, data, len) */ [165, helper("iiiii", "i", snprintf)],
  /* strtol(buf, len, flags, res) */ [105, helper("iiwi", "i", (env, ...a) => parseInteger(env, true, a))],
  /* strtoul(buf, len, flags, res) */ [106, helper("iiwi", "i", (env, ...a) => parseInteger(env, false, a))],
  /* strncmp(s1, size, s2) */ [
    182,
    helper("iii", "i", (env, a, size, b) => {
      const { u8 } = env.memory;
      for (let i = 0; i < size >>> 0; i++) {
        const x = u8[(a >>> 0) + i]!;
        const y = u8[(b >>> 0) + i]!;
        if (x !== y) return x < y ? -1 : 1;
        if (x === 0) break;
      }
      return 0;
    }),
  ],
];

function join(low: number, high: number): bigint {
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}

function argsAt(env: Env, data: number, length: number): bigint[] | number {
  if (length & 7 || length >>> 0 > MAX_ARGS * 8 || (length && !data)) return -Errno.EINVAL;
  const args: bigint[] = [];
  for (let i = 0; i < length; i += 8) args.push(env.memory.view.getBigUint64((data >>> 0) + i, true));
  return args;
}

function trace(env: Env, fmt: number, size: number, args: readonly bigint[]): number {
  const text = format(env, fmt, size >>> 0, args);
  if (typeof text === "number") return text;
  env.host.trace(text.replace(/\n$/, ""));
  return text.length;
}

function snprintf(env: Env, out: number, size: number, fmt: number, data: number, length: number): number {
  const args = argsAt(env, data, length);
  if (typeof args === "number") return args;
  const text = format(env, fmt, 0xffffffff, args);
  if (typeof text === "number") return text;
  const room = size >>> 0;
  const { u8 } = env.memory;
  const n = Math.min(text.length, room - 1);
  for (let i = 0; i < n; i++) u8[(out >>> 0) + i] = text.charCodeAt(i);
  if (room > 0) u8[(out >>> 0) + n] = 0;
  return text.length + 1;
}

/** A part of a format: text as it is, or a conversion. */
type Part = string | { readonly flags: string; readonly width: number; readonly bits: number; readonly kind: string };

/** Formats by their text, taken apart; undefined where the kernel refuses one. A program has few, and uses them often. */
const parsed = new Map<string, readonly Part[] | undefined>();
const PARSED_MAX = 256;

/** The format that was last seen at an address: its bytes, the NUL included, and its parts. */
interface Seen {
  readonly bytes: Uint8Array;
  readonly parts: readonly Part[];
}
const seenAt = new WeakMap<Env, Map<number, Seen>>();

/** A format in memory: mostly the one that was there the last time, so its bytes are compared and not read again. */
function formatAt(env: Env, address: number, size: number): readonly Part[] | undefined {
  const { u8 } = env.memory;
  let seen = seenAt.get(env);
  if (!seen) seenAt.set(env, (seen = new Map()));
  const last = seen.get(address);
  if (last && last.bytes.length <= size) {
    const { bytes } = last;
    let i = 0;
    while (i < bytes.length && bytes[i] === u8[address + i]) i++;
    if (i === bytes.length) return last.parts;
  }
  const source = readString(env, address, size);
  const parts = source === undefined ? undefined : partsOf(source);
  if (!parts) return undefined;
  if (seen.size >= PARSED_MAX) seen.clear();
  seen.set(address, { bytes: u8.slice(address, address + source!.length + 1), parts });
  return parts;
}

function partsOf(source: string): readonly Part[] | undefined {
  if (parsed.has(source)) return parsed.get(source);
  if (parsed.size >= PARSED_MAX) parsed.clear();
  const parts = parse(source);
  parsed.set(source, parts);
  return parts;
}

function parse(source: string): readonly Part[] | undefined {
  if (!/^[\x20-\x7e\s]*$/.test(source)) return undefined;
  const parts: Part[] = [];
  let text = "";
  for (let i = 0; i < source.length; i++) {
    if (source[i] !== "%") {
      text += source[i];
      continue;
    }
    if (source[i + 1] === "%") {
      text += "%";
      i++;
      continue;
    }
    const spec = /^([0+\- ]*)([1-9][0-9]*)?(ll|l)?(p[ku]s|p[iI][46]|p[KxsSB]|p|s|c|[diuxX])/.exec(source.slice(i + 1));
    if (!spec) return undefined;
    const [whole, flags, width, long, kind] = spec as unknown as [string, string, string?, string?, string?];
    const isNumber = NUMBERS.has(kind!);
    if (long && !isNumber) return undefined;
    const after = source[i + 1 + whole.length];
    if (!isNumber && kind !== "c" && kind !== "pB" && after !== undefined && /[0-9A-Za-z]/.test(after)) {
      return undefined;
    }
    if (text) parts.push(text);
    text = "";
    parts.push({ flags, width: Number(width ?? 0), bits: long ? 64 : 32, kind: kind! });
    i += whole.length;
  }
  if (text) parts.push(text);
  return parts;
}

const NUMBERS: ReadonlySet<string> = new Set(["d", "i", "u", "x", "X"]);

/** The text in Latin-1, or -EINVAL for a format that the kernel refuses. */
function format(env: Env, fmt: number, size: number, args: readonly bigint[]): string | number {
  const parts = formatAt(env, fmt >>> 0, size);
  if (!parts) return -Errno.EINVAL;
  let out = "";
  let used = 0;
  for (const part of parts) {
    if (typeof part === "string") {
      out += part;
      continue;
    }
    if (used >= args.length) return -Errno.EINVAL;
    const { flags, width, bits, kind } = part;
    const text = convert(env, kind, flags, bits, args[used++]!);
    if (text === undefined) return -Errno.EINVAL;
    out += text.length < width ? pad(text, flags, width, NUMBERS.has(kind)) : text;
  }
  return out.length < MAX_STRING ? out : out.slice(0, MAX_STRING - 1);
}

function convert(env: Env, kind: string, flags: string, bits: number, value: bigint): string | undefined {
  if (bits === 32 && NUMBERS.has(kind)) return convert32(kind, flags, Number(BigInt.asIntN(32, value)));
  switch (kind) {
    case "d":
    case "i": {
      const n = BigInt.asIntN(bits, value);
      return n >= 0n && flags.includes("+") ? `+${n}` : n >= 0n && flags.includes(" ") ? ` ${n}` : `${n}`;
    }
    case "u":
      return `${BigInt.asUintN(bits, value)}`;
    case "x":
      return BigInt.asUintN(bits, value).toString(16);
    case "X":
      return BigInt.asUintN(bits, value).toString(16).toUpperCase();
    case "c":
      return String.fromCharCode(Number(value & 0xffn));
    case "s":
    case "pks":
    case "pus":
      return readString(env, Number(BigInt.asUintN(32, value)), MAX_STRING) ?? "";
    case "pI4":
    case "pi4":
      return Array.from(bytesAt(env, value, 4))
        .map((b) => (kind === "pi4" ? `${b}`.padStart(3, "0") : b))
        .join(".");
    case "pI6":
    case "pi6": {
      const groups: string[] = [];
      const b = bytesAt(env, value, 16);
      for (let i = 0; i < 16; i += 2) groups.push(((b[i]! << 8) | b[i + 1]!).toString(16).padStart(4, "0"));
      return groups.join(kind === "pI6" ? ":" : "");
    }
    case "px":
      return value.toString(16);
    default:
      return value.toString(16).padStart(16, "0");
  }
}

/** As `convert` of 32 bits, without big integers. */
function convert32(kind: string, flags: string, value: number): string {
  switch (kind) {
    case "u":
      return `${value >>> 0}`;
    case "x":
      return (value >>> 0).toString(16);
    case "X":
      return (value >>> 0).toString(16).toUpperCase();
    default:
      return value >= 0 && flags.includes("+")
        ? `+${value}`
        : value >= 0 && flags.includes(" ")
          ? ` ${value}`
          : `${value}`;
  }
}

function pad(text: string, flags: string, width: number, isNumber: boolean): string {
  if (text.length >= width) return text;
  if (flags.includes("-")) return text.padEnd(width);
  if (flags.includes("0") && isNumber) {
    const sign = /^[+\- ]/.test(text) ? text[0]! : "";
    return sign + text.slice(sign.length).padStart(width - sign.length, "0");
  }
  return text.padStart(width);
}

function bytesAt(env: Env, address: bigint, size: number): Uint8Array {
  const at = Number(BigInt.asUintN(32, address));
  return env.memory.u8.slice(at, at + size);
}

/** Up to a NUL; undefined when there is none in `size` bytes. */
function readString(env: Env, address: number, size: number): string | undefined {
  const { u8 } = env.memory;
  const start = address >>> 0;
  const end = u8.indexOf(0, start);
  if (end < 0 || end - start >= size) return undefined;
  return String.fromCharCode(...u8.subarray(start, end));
}

/** `a`: buffer, length, flags (two halves), address of the result. Answers the characters used. */
function parseInteger(env: Env, signed: boolean, a: readonly number[]): number {
  const [buffer, length, flags, flagsHi, out] = a as [number, number, number, number, number];
  const { u8, view } = env.memory;
  view.setBigUint64(out >>> 0, 0n, true);
  let base = flags & 31;
  if (!length || ![0, 8, 10, 16].includes(base) || flags & ~31 || flagsHi) return -Errno.EINVAL;
  const start = buffer >>> 0;
  const end = start + (length >>> 0);
  let at = start;
  while (at < end && isSpace(u8[at]!)) at++;
  const negative = at < end && u8[at] === 0x2d;
  if (negative) at++;
  if (at === end) return -Errno.EINVAL;
  const limit = Math.min(end, at + 63);
  const digit = (i: number): number => (i < limit ? digitValue(u8[i]!) : 99);
  const isHexPrefix = digit(at) === 0 && at + 1 < limit && (u8[at + 1]! | 0x20) === 0x78;
  if (base === 0) base = digit(at) !== 0 ? 10 : isHexPrefix && digit(at + 2) < 16 ? 16 : 8;
  if (base === 16 && isHexPrefix) at += 2;
  const first = at;
  let value = 0n;
  for (let d = digit(at); d < base; d = digit(++at)) value = value * BigInt(base) + BigInt(d);
  if (value >> 64n) return -Errno.ERANGE;
  if (at === first) return -Errno.EINVAL;
  if (!signed) {
    if (negative) return -Errno.EINVAL;
    view.setBigUint64(out >>> 0, value, true);
    return at - start;
  }
  const result = negative ? -value : value;
  if (result !== BigInt.asIntN(64, result)) return -Errno.ERANGE;
  view.setBigInt64(out >>> 0, result, true);
  return at - start;
}

function isSpace(c: number): boolean {
  return c === 0x20 || (c >= 9 && c <= 13) || c === 0xa0;
}

function digitValue(c: number): number {
  if (c >= 0x30 && c <= 0x39) return c - 0x30;
  const lower = c | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : 99;
}
