/**
 * Reads the test files of bpf_conformance (beside the checkout, never in it): sections and its assembler dialect.
 * Only what those files use; ebplane's own dialect is `asm/`. For tests alone.
 */
import { fromHex } from "../../bytes/index.ts";
import {
  BPF_CMPXCHG,
  BPF_FETCH,
  BPF_XCHG,
  encode,
  type InsnInit,
  lddwImms,
  OP_CALL,
  OP_CALLX,
  OP_EXIT,
  OP_GOTOL,
  OP_JA,
  OP_LDDW,
  slotsOf,
} from "../../isa/index.ts";

export interface ConformanceCase {
  readonly memory: Uint8Array;
  readonly code: Uint8Array;
  readonly result: bigint | undefined;
  readonly error: string | undefined;
}

/** The case in a file's text. @throws SyntaxError for what the dialect does not have. */
export function parseCase(text: string): ConformanceCase {
  const sections = new Map<string, string[]>();
  let lines: string[] = [];
  for (const raw of text.split("\n")) {
    const line = raw.replace(/#.*/, "").trim();
    const head = /^--\s+(.*)$/.exec(line);
    if (head) sections.set(head[1]!, (lines = []));
    else if (line) lines.push(line);
  }
  const raw = sections.get("raw");
  const asm = sections.get("asm");
  if (!raw && !asm) throw new SyntaxError("expected a section asm or raw");
  const result = sections.get("result")?.join("");
  return {
    memory: fromHex((sections.get("mem") ?? []).join(" ").replace(/0x/g, "")),
    code: raw ? slots(raw) : assemble(asm!),
    result: result === undefined ? undefined : BigInt.asUintN(64, number64(result)),
    error: sections.get("error")?.join("\n"),
  };
}

function slots(lines: readonly string[]): Uint8Array {
  const out = new Uint8Array(lines.length * 8);
  const view = new DataView(out.buffer);
  lines.forEach((line, i) => void view.setBigUint64(i * 8, BigInt(line), true));
  return out;
}

// biome-ignore format: a table
const ALU: Readonly<Record<string, number>> = {
  add: 0x00, sub: 0x10, mul: 0x20, div: 0x30, sdiv: 0x30, or: 0x40, and: 0x50, lsh: 0x60, rsh: 0x70, neg: 0x80,
  mod: 0x90, smod: 0x90, xor: 0xa0, mov: 0xb0, movsx: 0xb0, arsh: 0xc0,
};
// biome-ignore format: a table
const JMP: Readonly<Record<string, number>> = {
  jeq: 0x10, jgt: 0x20, jge: 0x30, jset: 0x40, jne: 0x50, jsgt: 0x60, jsge: 0x70, jlt: 0xa0, jle: 0xb0, jslt: 0xc0,
  jsle: 0xd0,
};
// biome-ignore format: a table
const MEM: Readonly<Record<string, number>> = {
  ldxw: 0x61, ldxh: 0x69, ldxb: 0x71, ldxdw: 0x79, ldxsw: 0x81, ldxsh: 0x89, ldxsb: 0x91,
  stw: 0x62, sth: 0x6a, stb: 0x72, stdw: 0x7a, stxw: 0x63, stxh: 0x6b, stxb: 0x73, stxdw: 0x7b,
};
const ATOMIC: Readonly<Record<string, number>> = {
  add: 0x00,
  or: 0x40,
  and: 0x50,
  xor: 0xa0,
  xchg: BPF_XCHG,
  cmpxchg: BPF_CMPXCHG,
};

type Pending = { -readonly [K in keyof InsnInit]: InsnInit[K] } & { label?: { name: string; field: "off" | "imm" } };

function assemble(lines: readonly string[]): Uint8Array {
  const labels = new Map<string, number>();
  const insns: Pending[] = [];
  let slot = 0;
  for (const line of lines) {
    const label = /^(\w+):$/.exec(line);
    if (label) {
      labels.set(label[1]!, slot);
      continue;
    }
    // The first exit can be jumped to by its name.
    if (line === "exit" && !labels.has(line)) labels.set(line, slot);
    const insn = one(line);
    insns.push(insn);
    slot += slotsOf(insn);
  }
  let pc = 0;
  for (const insn of insns) {
    if (insn.label) {
      const target = labels.get(insn.label.name);
      if (target === undefined) throw new SyntaxError(`no label ${insn.label.name}`);
      insn[insn.label.field] = target - pc - 1;
    }
    pc += slotsOf(insn);
  }
  return encode(insns.map(({ label: _, ...i }) => i));
}

function one(line: string): Pending {
  const [mnemonic, ...operands] = line.replace(/,/g, " ").split(/\s+/) as [string, ...string[]];
  const [a, b, c] = operands as [string, string, string];
  if (mnemonic === "exit") return { opcode: OP_EXIT };
  if (mnemonic === "ja") return jump({ opcode: OP_JA }, a, "off");
  if (mnemonic === "ja32") return jump({ opcode: OP_GOTOL }, a, "imm");
  if (mnemonic === "lddw") return { opcode: OP_LDDW, dst: reg(a), ...lddwImms(BigInt.asUintN(64, number64(b))) };
  if (mnemonic === "call") {
    if (a === "local") return jump({ opcode: OP_CALL, src: 1 }, b, "imm");
    const target = a === "helper" ? b : a;
    return target.startsWith("%") ? { opcode: OP_CALLX, dst: reg(target) } : { opcode: OP_CALL, imm: imm32(target) };
  }
  if (mnemonic === "lock") return atomic(operands);
  const end = /^(le|be|swap|bswap)(16|32|64)$/.exec(mnemonic);
  if (end) {
    return { opcode: end[1] === "le" ? 0xd4 : end[1] === "be" ? 0xdc : 0xd7, dst: reg(a), imm: Number(end[2]) };
  }
  const mem = MEM[mnemonic];
  if (mem !== undefined) {
    if (mnemonic.startsWith("ld")) return { opcode: mem, dst: reg(a), ...source(place(b)) };
    const value = mnemonic.startsWith("stx") ? { src: reg(b) } : { imm: imm32(b) };
    return { opcode: mem, ...place(a), ...value };
  }
  const movsx = /^movsx(8|16|32)(32|64)$/.exec(mnemonic);
  if (movsx) return { opcode: movsx[2] === "32" ? 0xbc : 0xbf, dst: reg(a), src: reg(b), off: Number(movsx[1]) };
  const is32 = mnemonic.endsWith("32");
  const base = mnemonic.replace(/(32|64)$/, "");
  const alu = ALU[base];
  if (alu !== undefined) {
    const off = base === "sdiv" || base === "smod" ? 1 : 0;
    return { opcode: alu | (is32 ? 4 : 7) | operandBit(b), dst: reg(a), off, ...operand(b) };
  }
  const jmp = JMP[base];
  if (jmp !== undefined) {
    return jump({ opcode: jmp | (is32 ? 6 : 5) | operandBit(b), dst: reg(a), ...operand(b) }, c, "off");
  }
  throw new SyntaxError(`no instruction ${mnemonic}`);
}

function atomic(operands: readonly string[]): Pending {
  const fetch = operands[0] === "fetch";
  const [name, at, value] = operands.slice(fetch ? 1 : 0) as [string, string, string];
  const op = ATOMIC[name.replace(/32$/, "")];
  if (op === undefined) throw new SyntaxError(`no atomic ${name}`);
  return {
    opcode: name.endsWith("32") ? 0xc3 : 0xdb,
    ...place(at),
    src: reg(value),
    imm: op | (fetch ? BPF_FETCH : 0),
  };
}

function jump(insn: Pending, target: string, field: "off" | "imm"): Pending {
  if (/^[+-]/.test(target)) insn[field] = Number(target);
  else insn.label = { name: target, field };
  return insn;
}

const operandBit = (text: string | undefined): number => (text?.startsWith("%") ? 8 : 0);

function operand(text: string | undefined): Partial<Pending> {
  if (text === undefined) return {};
  return text.startsWith("%") ? { src: reg(text) } : { imm: imm32(text) };
}

function place(text: string): { dst: number; off: number } {
  const m = /^\[(%r\d+)([+-]\w+)?\]$/.exec(text);
  if (!m) throw new SyntaxError(`expected [%rN+off], got ${text}`);
  const sign = m[2]?.startsWith("-") ? -1 : 1;
  return { dst: reg(m[1]!), off: m[2] ? sign * Number(m[2].slice(1)) : 0 };
}

const source = ({ dst, off }: { dst: number; off: number }): Partial<Pending> => ({ src: dst, off });

function reg(text: string): number {
  const m = /^%r(\d+)$/.exec(text);
  if (!m) throw new SyntaxError(`expected a register, got ${text}`);
  return Number(m[1]);
}

function imm32(text: string): number {
  return Number(BigInt.asIntN(32, number64(text)));
}

function number64(text: string): bigint {
  return text.startsWith("-") ? -BigInt(text.slice(1)) : BigInt(text);
}
