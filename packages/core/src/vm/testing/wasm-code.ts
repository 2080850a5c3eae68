/**
 * Walks the code of a wasm module instruction by instruction, for tests that ask what the JIT and the runtime are made
 * of. An opcode that it does not know, or a body that does not end where its size says, is an error: nothing is passed
 * over. Source: WebAssembly Core Specification 2.0, section 5.4; threads proposal for 0xfe.
 */
import { type Reader, readU8, readUleb, SECTION, skipLeb, WASM_HEADER } from "../jit/wasm.ts";

/** What follows an opcode: LEB128 numbers, bytes, or a count and that many and one more numbers. */
type Immediate = "leb" | "byte" | "f32" | "f64" | "table" | "types";

function immediatesOf(op: number, sub: number): readonly Immediate[] {
  if (op === 0xfc) {
    if (sub <= 7) return [];
    if (sub === 10 || sub === 8 || sub === 12 || sub === 14) return ["leb", "leb"];
    return sub === 9 || sub === 11 || sub === 13 || (sub >= 15 && sub <= 17) ? ["leb"] : unknown(op);
  }
  if (op === 0xfe) return sub === 3 ? ["byte"] : sub <= 0x4e ? ["leb", "leb"] : unknown(op);
  // unreachable nop else end return, drop select, comparisons to sign extensions
  const plain = op <= 1 || op === 0x05 || op === 0x0b || op === 0x0f || op === 0x1a || op === 0x1b;
  if (plain || (op >= 0x45 && op <= 0xc4) || op === 0xd1) return [];
  if (op >= 0x02 && op <= 0x04) return ["leb"];
  if (op === 0x0c || op === 0x0d || op === 0x10 || op === 0x12) return ["leb"];
  if (op === 0x0e) return ["table"];
  if (op === 0x11 || op === 0x13) return ["leb", "leb"];
  if (op === 0x1c) return ["types"];
  if (op >= 0x20 && op <= 0x26) return ["leb"];
  if (op >= 0x28 && op <= 0x3e) return ["leb", "leb"];
  if (op === 0x3f || op === 0x40) return ["byte"];
  if (op === 0x41 || op === 0x42 || op === 0xd0 || op === 0xd2) return ["leb"];
  if (op === 0x43) return ["f32"];
  return op === 0x44 ? ["f64"] : unknown(op);
}

function unknown(op: number): never {
  throw new Error(`wasm opcode 0x${op.toString(16)} is not known`);
}

function skip(reader: Reader, immediate: Immediate): void {
  if (immediate === "leb") skipLeb(reader);
  else if (immediate === "byte") readU8(reader);
  else if (immediate === "f32") reader.at += 4;
  else if (immediate === "f64") reader.at += 8;
  else if (immediate === "types") for (let n = readUleb(reader); n > 0; n--) readU8(reader);
  else for (let n = readUleb(reader); n >= 0; n--) skipLeb(reader);
}

/** Calls `visit` for each instruction; `sub` is the second number of the 0xfc and 0xfe opcodes, else 0. */
function walkCode(bytes: Uint8Array, visit: (op: number, sub: number) => void): void {
  const reader: Reader = { bytes, at: WASM_HEADER.length };
  while (reader.at < bytes.length) {
    const id = readU8(reader);
    const size = readUleb(reader);
    const end = reader.at + size;
    if (id === SECTION.code) for (let n = readUleb(reader); n > 0; n--) walkBody(reader, visit);
    reader.at = end;
  }
}

function walkBody(reader: Reader, visit: (op: number, sub: number) => void): void {
  const size = readUleb(reader);
  const end = reader.at + size;
  for (let n = readUleb(reader); n > 0; n--) {
    skipLeb(reader);
    readU8(reader);
  }
  let last = -1;
  while (reader.at < end) {
    last = readU8(reader);
    const sub = last === 0xfc || last === 0xfe ? readUleb(reader) : 0;
    visit(last, sub);
    for (const immediate of immediatesOf(last, sub)) skip(reader, immediate);
  }
  if (reader.at !== end || last !== 0x0b) throw new Error(`a wasm body ends at byte ${reader.at}, not ${end}`);
}

/** How many instructions a module has, and how many of them are atomic. */
export function countCode(bytes: Uint8Array): { readonly all: number; readonly atomic: number } {
  let all = 0;
  let atomic = 0;
  walkCode(bytes, (op) => {
    all++;
    if (op === 0xfe) atomic++;
  });
  return { all, atomic };
}
