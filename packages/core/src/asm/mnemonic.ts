/**
 * The notation of uBPF, rbpf and bpf_conformance data: `mov32 r0, 1`, `ldxw r0, [r1+4]`, `jeq r1, 0, +2`,
 * `lock fetch add [r10-8], r1`. Registers may be written `%r0`. A plain name is the 64-bit operation.
 */
import * as isa from "../isa/index.ts";
import type { Cursor } from "./lex.ts";
import { int16, int32, isRegister, jump, register, type Statement, signedNumber } from "./operands.ts";

const ALU: Record<string, number> = {
  add: isa.BPF_ADD,
  sub: isa.BPF_SUB,
  mul: isa.BPF_MUL,
  div: isa.BPF_DIV,
  or: isa.BPF_OR,
  and: isa.BPF_AND,
  lsh: isa.BPF_LSH,
  rsh: isa.BPF_RSH,
  neg: isa.BPF_NEG,
  mod: isa.BPF_MOD,
  xor: isa.BPF_XOR,
  mov: isa.BPF_MOV,
  arsh: isa.BPF_ARSH,
  sdiv: isa.BPF_DIV,
  smod: isa.BPF_MOD,
};

const JMP: Record<string, number> = {
  jeq: isa.BPF_JEQ,
  jgt: isa.BPF_JGT,
  jge: isa.BPF_JGE,
  jset: isa.BPF_JSET,
  jne: isa.BPF_JNE,
  jsgt: isa.BPF_JSGT,
  jsge: isa.BPF_JSGE,
  jlt: isa.BPF_JLT,
  jle: isa.BPF_JLE,
  jslt: isa.BPF_JSLT,
  jsle: isa.BPF_JSLE,
};

const SIZES: Record<string, number> = { b: isa.BPF_B, h: isa.BPF_H, w: isa.BPF_W, dw: isa.BPF_DW };

const ATOMIC: Record<string, number> = {
  add: isa.BPF_ADD,
  and: isa.BPF_AND,
  or: isa.BPF_OR,
  xor: isa.BPF_XOR,
  xchg: isa.BPF_XCHG,
  cmpxchg: isa.BPF_CMPXCHG,
};

const ALU_NAME = /^(s?div|s?mod|add|sub|mul|or|and|lsh|rsh|neg|xor|mov|arsh)(32|64)?$/;
const JMP_NAME = /^(j[a-z]{1,3})(32|64)?$/;
const MOVSX_NAME = /^movsx(8|16|32)(32|64)$/;
const SWAP_NAME = /^(be|le|b?swap)(16|32|64)$/;
const MEMORY_NAME = /^(ldxs?|stx?|ldabs|ldind)(b|h|w|dw)$/;

/** True when a statement that starts with this name is in this notation. */
export function isMnemonic(name: string): boolean {
  const branch = JMP_NAME.exec(name);
  if (branch) return branch[1] === "ja" || JMP[branch[1]!] !== undefined;
  return (
    name === "lddw" ||
    name === "lock" ||
    ALU_NAME.test(name) ||
    MOVSX_NAME.test(name) ||
    SWAP_NAME.test(name) ||
    MEMORY_NAME.test(name)
  );
}

/** Reads one statement whose first name `isMnemonic` knows. */
export function parseMnemonic(c: Cursor): Statement {
  const name = c.next().text;
  if (name === "lddw") return parseLddw(c);
  if (name === "lock") return parseLock(c);
  let m: RegExpExecArray | null;
  if ((m = MOVSX_NAME.exec(name))) return parseMovsx(c, Number(m[1]), m[2]!);
  if ((m = SWAP_NAME.exec(name))) {
    const base = m[1]!.endsWith("swap") ? isa.BPF_ALU64 : isa.BPF_ALU;
    const order = m[1] === "be" ? isa.BPF_TO_BE : isa.BPF_TO_LE;
    return { insn: { opcode: base | isa.BPF_END | order, dst: register(c).number, imm: Number(m[2]) } };
  }
  if ((m = ALU_NAME.exec(name))) return parseAlu(c, m[1]!, m[2] === "32" ? isa.BPF_ALU : isa.BPF_ALU64);
  if ((m = MEMORY_NAME.exec(name))) return parseMemory(c, m[1]!, SIZES[m[2]!]!);
  m = JMP_NAME.exec(name)!;
  return parseJump(c, m[1]!, m[2] === "32");
}

function parseLddw(c: Cursor): Statement {
  const dst = register(c).number;
  c.expect(",");
  const token = c.peek();
  const value = signedNumber(c);
  if (value < -(1n << 63n) || value >= 1n << 64n) c.fail("expected at most 64 bits", token);
  return { insn: { opcode: isa.OP_LDDW, dst, ...isa.lddwImms(value) } };
}

function parseMovsx(c: Cursor, from: number, to: string): Statement {
  const dst = register(c).number;
  c.expect(",");
  const base = to === "32" ? isa.BPF_ALU : isa.BPF_ALU64;
  return { insn: { opcode: base | isa.BPF_MOV | isa.BPF_X, dst, src: register(c).number, off: from } };
}

function parseAlu(c: Cursor, op: string, aluClass: number): Statement {
  const dst = register(c).number;
  const code = aluClass | ALU[op]!;
  if (op === "neg") return { insn: { opcode: code, dst } };
  c.expect(",");
  const off = op === "sdiv" || op === "smod" ? 1 : 0;
  if (isRegister(c.peek().text)) return { insn: { opcode: code | isa.BPF_X, dst, src: register(c).number, off } };
  return { insn: { opcode: code, dst, imm: int32(c), off } };
}

function parseMemory(c: Cursor, kind: string, size: number): Statement {
  if (kind === "ldabs") return { insn: { opcode: isa.BPF_LD | isa.BPF_ABS | size, imm: int32(c) } };
  if (kind === "ldind") {
    const src = register(c).number;
    c.expect(",");
    return { insn: { opcode: isa.BPF_LD | isa.BPF_IND | size, src, imm: int32(c) } };
  }
  if (kind.startsWith("ldx")) {
    const dst = register(c).number;
    c.expect(",");
    const { reg, off } = bracketAddress(c);
    const mode = kind === "ldxs" ? isa.BPF_MEMSX : isa.BPF_MEM;
    return { insn: { opcode: isa.BPF_LDX | mode | size, dst, src: reg, off } };
  }
  const { reg, off } = bracketAddress(c);
  c.expect(",");
  if (kind === "stx")
    return { insn: { opcode: isa.BPF_STX | isa.BPF_MEM | size, dst: reg, src: register(c).number, off } };
  return { insn: { opcode: isa.BPF_ST | isa.BPF_MEM | size, dst: reg, off, imm: int32(c) } };
}

function parseJump(c: Cursor, op: string, narrow: boolean): Statement {
  if (op === "ja") return narrow ? jump(c, { opcode: isa.OP_GOTOL }, "imm") : jump(c, { opcode: isa.OP_JA }, "off");
  const opcode = (narrow ? isa.BPF_JMP32 : isa.BPF_JMP) | JMP[op]!;
  const dst = register(c).number;
  c.expect(",");
  const insn = isRegister(c.peek().text)
    ? { opcode: opcode | isa.BPF_X, dst, src: register(c).number }
    : { opcode, dst, imm: int32(c) };
  c.expect(",");
  return jump(c, insn, "off");
}

/** `lock [fetch] add[32] [r10-8], r1`; xchg and cmpxchg always fetch. */
function parseLock(c: Cursor): Statement {
  const fetch = c.take("fetch");
  const token = c.next();
  const m = /^([a-z]+)(32|64)?$/.exec(token.text);
  const op = m ? ATOMIC[m[1]!] : undefined;
  if (op === undefined) c.fail("expected an atomic operation", token);
  const { reg, off } = bracketAddress(c);
  c.expect(",");
  const opcode = isa.BPF_STX | isa.BPF_ATOMIC | (m![2] === "32" ? isa.BPF_W : isa.BPF_DW);
  return { insn: { opcode, dst: reg, src: register(c).number, off, imm: op | (fetch ? isa.BPF_FETCH : 0) } };
}

/** `[r1+4]`. */
function bracketAddress(c: Cursor): { reg: number; off: number } {
  c.expect("[");
  const reg = register(c).number;
  const off = c.peek().text === "]" ? 0 : int16(c);
  c.expect("]");
  return { reg, off };
}
