/**
 * WebAssembly's binary format, as far as the JIT writes it: a byte sink, LEB128, opcodes and whole modules.
 * Reading a prebuilt module and joining it with new functions is in `link.ts`.
 *
 * Source: WebAssembly Core Specification 2.0, section 5 (binary format); threads proposal for the 0xfe opcodes.
 */
import { InternalError } from "../../errors/index.ts";

/** A growing byte buffer. `bytes` may be replaced by a larger one at any write: read it only when writing is over. */
export interface Sink {
  bytes: Uint8Array<ArrayBuffer>;
  length: number;
}

export function newSink(capacity = 256): Sink {
  return { bytes: new Uint8Array(capacity), length: 0 };
}

/** The bytes written so far: a view, valid until the next write. */
export function written(sink: Sink): Uint8Array {
  return sink.bytes.subarray(0, sink.length);
}

function reserve(sink: Sink, more: number): void {
  if (sink.length + more <= sink.bytes.length) return;
  const larger = new Uint8Array(Math.max(sink.bytes.length * 2, sink.length + more));
  larger.set(sink.bytes);
  sink.bytes = larger;
}

export function u8(sink: Sink, byte: number): void {
  if (sink.length === sink.bytes.length) reserve(sink, 1);
  sink.bytes[sink.length++] = byte;
}

export function raw(sink: Sink, bytes: Uint8Array): void {
  reserve(sink, bytes.length);
  sink.bytes.set(bytes, sink.length);
  sink.length += bytes.length;
}

/** Unsigned LEB128 of a number below 2^32. */
export function uleb(sink: Sink, value: number): void {
  value >>>= 0;
  while (value > 127) {
    u8(sink, (value & 127) | 128);
    value >>>= 7;
  }
  u8(sink, value);
}

/** Unsigned LEB128 in exactly five bytes, so that it can be written over later. */
export function uleb5(sink: Sink, value: number): void {
  reserve(sink, 5);
  putUleb5(sink.bytes, sink.length, value);
  sink.length += 5;
}

export function putUleb5(bytes: Uint8Array, at: number, value: number): void {
  for (let i = 0; i < 4; i++) bytes[at + i] = ((value >>> (7 * i)) & 127) | 128;
  bytes[at + 4] = (value >>> 28) & 15;
}

/** Signed LEB128 of a 32-bit number. */
export function sleb32(sink: Sink, value: number): void {
  value |= 0;
  for (;;) {
    const low = value & 127;
    value >>= 7;
    if ((value === 0 && !(low & 64)) || (value === -1 && low & 64)) {
      u8(sink, low);
      return;
    }
    u8(sink, low | 128);
  }
}

/** Signed LEB128 of a 64-bit number given as two 32-bit halves. */
export function sleb64(sink: Sink, low: number, high: number): void {
  low |= 0;
  high |= 0;
  while (high !== low >> 31 || low < -64 || low > 63) {
    u8(sink, (low & 127) | 128);
    low = (low >>> 7) | (high << 25);
    high >>= 7;
  }
  u8(sink, low & 127);
}

/** A length-prefixed UTF-8 name; ours are ASCII. */
export function name(sink: Sink, text: string): void {
  uleb(sink, text.length);
  for (let i = 0; i < text.length; i++) u8(sink, text.charCodeAt(i));
}

/** Value types. `VOID` is the empty block type. */
export const I32 = 0x7f;
export const I64 = 0x7e;
export const FUNCREF = 0x70;
export const VOID = 0x40;

/** Opcodes, named as the specification names them with `.` and `/` as `_`. */
export const Op = {
  unreachable: 0x00,
  block: 0x02,
  loop: 0x03,
  if_: 0x04,
  else_: 0x05,
  end: 0x0b,
  br: 0x0c,
  br_if: 0x0d,
  br_table: 0x0e,
  return_: 0x0f,
  call: 0x10,
  call_indirect: 0x11,
  return_call: 0x12,
  return_call_indirect: 0x13,
  drop: 0x1a,
  select: 0x1b,
  local_get: 0x20,
  local_set: 0x21,
  local_tee: 0x22,
  global_get: 0x23,
  global_set: 0x24,
  table_get: 0x25,
  i32_load: 0x28,
  i64_load: 0x29,
  i32_load8_u: 0x2d,
  i32_load16_u: 0x2f,
  i64_load8_s: 0x30,
  i64_load8_u: 0x31,
  i64_load16_s: 0x32,
  i64_load16_u: 0x33,
  i64_load32_s: 0x34,
  i64_load32_u: 0x35,
  i32_store: 0x36,
  i64_store: 0x37,
  i64_store8: 0x3c,
  i64_store16: 0x3d,
  i64_store32: 0x3e,
  i32_const: 0x41,
  i64_const: 0x42,
  i32_eqz: 0x45,
  i32_eq: 0x46,
  i32_ne: 0x47,
  i32_lt_s: 0x48,
  i32_lt_u: 0x49,
  i32_gt_s: 0x4a,
  i32_gt_u: 0x4b,
  i32_le_s: 0x4c,
  i32_le_u: 0x4d,
  i32_ge_s: 0x4e,
  i32_ge_u: 0x4f,
  i64_eqz: 0x50,
  i64_eq: 0x51,
  i64_ne: 0x52,
  i64_lt_s: 0x53,
  i64_lt_u: 0x54,
  i64_gt_s: 0x55,
  i64_gt_u: 0x56,
  i64_le_s: 0x57,
  i64_le_u: 0x58,
  i64_ge_s: 0x59,
  i64_ge_u: 0x5a,
  i32_add: 0x6a,
  i32_sub: 0x6b,
  i32_mul: 0x6c,
  i32_div_s: 0x6d,
  i32_div_u: 0x6e,
  i32_rem_s: 0x6f,
  i32_rem_u: 0x70,
  i32_and: 0x71,
  i32_or: 0x72,
  i32_xor: 0x73,
  i32_shl: 0x74,
  i32_shr_s: 0x75,
  i32_shr_u: 0x76,
  i32_rotl: 0x77,
  i32_rotr: 0x78,
  i64_add: 0x7c,
  i64_sub: 0x7d,
  i64_mul: 0x7e,
  i64_div_s: 0x7f,
  i64_div_u: 0x80,
  i64_rem_s: 0x81,
  i64_rem_u: 0x82,
  i64_and: 0x83,
  i64_or: 0x84,
  i64_xor: 0x85,
  i64_shl: 0x86,
  i64_shr_s: 0x87,
  i64_shr_u: 0x88,
  i64_rotl: 0x89,
  i32_wrap_i64: 0xa7,
  i64_extend_i32_s: 0xac,
  i64_extend_i32_u: 0xad,
  i32_extend8_s: 0xc0,
  i32_extend16_s: 0xc1,
  i64_extend8_s: 0xc2,
  i64_extend16_s: 0xc3,
  i64_extend32_s: 0xc4,
  ref_is_null: 0xd1,
  bulk: 0xfc,
  atomic: 0xfe,
} as const;

/** A second byte of the 0xfc opcodes. */
export const TABLE_SIZE = 16;

/** Second bytes of the 0xfe opcodes. Those of i64 and i32 full-width accesses only: eBPF has no others. */
export const Atomic = {
  i32_load: 0x10,
  i64_load: 0x11,
  i32_load8_u: 0x12,
  i32_load16_u: 0x13,
  i64_load8_u: 0x14,
  i64_load16_u: 0x15,
  i64_load32_u: 0x16,
  i32_store: 0x17,
  i64_store: 0x18,
  i64_store8: 0x1b,
  i64_store16: 0x1c,
  i64_store32: 0x1d,
  i64_rmw_add: 0x1f,
  i64_rmw32_add: 0x24,
  i64_rmw_and: 0x2d,
  i64_rmw32_and: 0x32,
  i64_rmw_or: 0x34,
  i64_rmw32_or: 0x39,
  i64_rmw_xor: 0x3b,
  i64_rmw32_xor: 0x40,
  i64_rmw_xchg: 0x42,
  i64_rmw32_xchg: 0x47,
  i64_rmw_cmpxchg: 0x49,
  i64_rmw32_cmpxchg: 0x4e,
} as const;

export interface FuncType {
  readonly params: readonly number[];
  readonly results: readonly number[];
}

export function sameType(a: FuncType, b: FuncType): boolean {
  return (
    a.params.length === b.params.length &&
    a.results.length === b.results.length &&
    a.params.every((t, i) => t === b.params[i]) &&
    a.results.every((t, i) => t === b.results[i])
  );
}

export const SECTION = {
  custom: 0,
  type: 1,
  import: 2,
  function: 3,
  table: 4,
  memory: 5,
  global: 6,
  export: 7,
  start: 8,
  element: 9,
  code: 10,
  data: 11,
  dataCount: 12,
} as const;

/** Appends a section: its id, its length, its bytes. */
export function section(out: Sink, id: number, body: Sink): void {
  u8(out, id);
  uleb(out, body.length);
  raw(out, written(body));
}

export function funcType(sink: Sink, type: FuncType): void {
  u8(sink, 0x60);
  uleb(sink, type.params.length);
  for (const t of type.params) u8(sink, t);
  uleb(sink, type.results.length);
  for (const t of type.results) u8(sink, t);
}

/** `\0asm` version 1. */
export const WASM_HEADER = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);

/** Reads a LEB128 cursor style; `at` moves on. */
export interface Reader {
  readonly bytes: Uint8Array;
  at: number;
}

export function readU8(reader: Reader): number {
  const byte = reader.bytes[reader.at];
  if (byte === undefined) throw new InternalError(`wasm module ends at byte ${reader.at}`);
  reader.at++;
  return byte;
}

/** Unsigned LEB128 up to 32 bits. */
export function readUleb(reader: Reader): number {
  let value = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = readU8(reader);
    value |= (byte & 127) << shift;
    if (byte < 128) return value >>> 0;
  }
}

/** Steps over a LEB128 of any width. */
export function skipLeb(reader: Reader): void {
  while (readU8(reader) > 127);
}

export function readName(reader: Reader): string {
  const length = readUleb(reader);
  let text = "";
  for (let i = 0; i < length; i++) text += String.fromCharCode(readU8(reader));
  return text;
}
