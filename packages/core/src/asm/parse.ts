/**
 * One statement of assembly text as an instruction. Labels and names stay symbolic (`refs`); assemble.ts resolves them.
 *
 * The kernel's and LLVM's notation differ in details only (`pc+3` or `+3`, `atomic64_xchg` or `xchg_64`, an opcode in
 * front, `ll` behind a 64-bit constant), so one grammar reads both. See mnemonic.ts for the other notation.
 */
import * as isa from "../isa/index.ts";
import { helperByName } from "../object/index.ts";
import type { Cursor } from "./lex.ts";
import { isMnemonic, parseMnemonic } from "./mnemonic.ts";
import {
  int16,
  int32,
  isRegister,
  jump,
  type Register,
  ranged,
  register,
  type Statement,
  signedNumber,
  unsigned16,
} from "./operands.ts";

const SIZES: Record<string, number> = {
  u8: isa.BPF_B,
  u16: isa.BPF_H,
  u32: isa.BPF_W,
  u64: isa.BPF_DW,
  s8: isa.BPF_B,
  s16: isa.BPF_H,
  s32: isa.BPF_W,
};

const ALU_ASSIGN: Record<string, number> = {
  "+=": isa.BPF_ADD,
  "-=": isa.BPF_SUB,
  "*=": isa.BPF_MUL,
  "/=": isa.BPF_DIV,
  "|=": isa.BPF_OR,
  "&=": isa.BPF_AND,
  "<<=": isa.BPF_LSH,
  ">>=": isa.BPF_RSH,
  "%=": isa.BPF_MOD,
  "^=": isa.BPF_XOR,
};

const COMPARE: Record<string, number> = {
  "==": isa.BPF_JEQ,
  "!=": isa.BPF_JNE,
  ">": isa.BPF_JGT,
  ">=": isa.BPF_JGE,
  "<": isa.BPF_JLT,
  "<=": isa.BPF_JLE,
  "&": isa.BPF_JSET,
};
const SIGNED_COMPARE: Record<string, number> = {
  ">": isa.BPF_JSGT,
  ">=": isa.BPF_JSGE,
  "<": isa.BPF_JSLT,
  "<=": isa.BPF_JSLE,
};
const FETCH_OPS: Record<string, number> = {
  add: isa.BPF_ADD,
  and: isa.BPF_AND,
  or: isa.BPF_OR,
  xor: isa.BPF_XOR,
};

/** Reads one statement; `opcode` is the one in front, as in a verifier log, where there is one. */
export function parseStatement(c: Cursor, opcode: number | undefined): Statement {
  const statement = parseAny(c, opcode);
  // llvm-objdump adds the target's symbol: `goto +3 <LBB0_2>`.
  if (c.take("<")) while (!c.atEnd() && !c.take(">")) c.next();
  if (!c.atEnd()) c.fail("expected the end of the statement");
  return statement;
}

function parseAny(c: Cursor, opcode: number | undefined): Statement {
  const first = c.peek();
  if (first.text === "*") return parseStore(c);
  if (first.kind !== "name") c.fail("expected an instruction");
  if (isRegister(first.text)) return parseAssign(c, opcode);
  switch (first.text) {
    case "lock":
      if (c.peek(1).text === "*") return parseLock(c);
      break;
    case "if":
      return parseIf(c);
    case "goto":
      c.next();
      return jump(c, { opcode: isa.OP_JA }, "off");
    case "gotol":
      c.next();
      return jump(c, { opcode: isa.OP_GOTOL }, "imm");
    case "may_goto":
      c.next();
      return jump(c, { opcode: isa.OP_MAY_GOTO }, "off");
    case "exit":
      c.next();
      return { insn: { opcode: isa.OP_EXIT } };
    case "call":
      c.next();
      return parseCall(c);
    case "callx":
      c.next();
      return { insn: { opcode: isa.OP_CALLX, dst: register(c).number } };
    case "store_release":
      return parseStoreRelease(c);
    case ".insn":
      return parseRaw(c);
  }
  if (isMnemonic(first.text)) return parseMnemonic(c);
  return c.fail("expected an instruction", first);
}

function parseAssign(c: Cursor, opcode: number | undefined): Statement {
  const dst = register(c);
  const aluClass = dst.wide ? isa.BPF_ALU64 : isa.BPF_ALU;
  const op = c.next();
  const plain = ALU_ASSIGN[op.text];
  if (plain !== undefined) return { insn: aluInsn(c, aluClass, plain, dst.number, 0) };
  if (op.text === "s" && op.kind === "name") {
    const signed = c.next();
    if (signed.text === ">>=") return { insn: aluInsn(c, aluClass, isa.BPF_ARSH, dst.number, 0) };
    if (signed.text === "/=") return { insn: aluInsn(c, aluClass, isa.BPF_DIV, dst.number, 1) };
    if (signed.text === "%=") return { insn: aluInsn(c, aluClass, isa.BPF_MOD, dst.number, 1) };
    return c.fail('expected "s>>=", "s/=" or "s%="', signed);
  }
  if (op.text === "s>>=") return { insn: aluInsn(c, aluClass, isa.BPF_ARSH, dst.number, 0) };
  if (op.text !== "=") c.fail("expected an assignment operator", op);
  return parseMove(c, dst, aluClass, opcode);
}

function parseMove(c: Cursor, dst: Register, aluClass: number, opcode: number | undefined): Statement {
  const token = c.peek();
  const mov = aluClass | isa.BPF_MOV;
  if (token.text === "-" && isRegister(c.peek(1).text)) {
    c.next();
    same(c, dst, "negation works in place");
    return { insn: { opcode: aluClass | isa.BPF_NEG, dst: dst.number } };
  }
  if (token.text === "-" || token.kind === "number") return parseConstant(c, dst, mov, opcode);
  if (token.text === "*") return parseLoad(c, dst);
  if (token.text === "(") {
    c.next();
    const bits = { s8: 8, s16: 16, s32: 32 }[c.peek().text];
    if (bits === undefined || (bits === 32 && !dst.wide)) c.fail("expected s8, s16 or (into 64 bits) s32");
    c.next();
    c.expect(")");
    return { insn: { opcode: mov | isa.BPF_X, dst: dst.number, src: register(c).number, off: bits } };
  }
  if (isRegister(token.text)) {
    const src = register(c);
    if (src.wide !== dst.wide) c.fail("expected registers of one width", token);
    return { insn: { opcode: mov | isa.BPF_X, dst: dst.number, src: src.number } };
  }
  const swap = /^(be|le|bswap)(16|32|64)$/.exec(token.text);
  if (swap) {
    c.next();
    same(c, dst, "byte swaps work in place");
    const base = swap[1] === "bswap" ? isa.BPF_ALU64 : isa.BPF_ALU;
    const order = swap[1] === "be" ? isa.BPF_TO_BE : isa.BPF_TO_LE;
    return { insn: { opcode: base | isa.BPF_END | order, dst: dst.number, imm: Number(swap[2]) } };
  }
  if (token.kind === "name" && c.peek(1).text === "(") return parseFunction(c, dst);
  if (token.kind === "name" && c.peek(1).text === "[") return parseReference(c, dst);
  return c.fail("expected a register, a constant, a load or a map");
}

/**
 * A constant is a mov, unless it says `ll`, or the verifier's opcode in front says lddw, or it needs more than the 32
 * signed bits of a mov: then it is an lddw, which holds exactly what is written.
 */
function parseConstant(c: Cursor, dst: Register, mov: number, opcode: number | undefined): Statement {
  const token = c.peek();
  const value = signedNumber(c);
  const ll = c.take("ll");
  const fits = value >= -0x80000000n && value <= 0x7fffffffn;
  if (dst.wide && (ll || opcode === isa.OP_LDDW || (!fits && opcode === undefined))) {
    if (value < -(1n << 63n) || value >= 1n << 64n) c.fail("expected at most 64 bits", token);
    return { insn: { opcode: isa.OP_LDDW, dst: dst.number, ...isa.lddwImms(value) } };
  }
  if (ll) c.fail('"ll" needs a 64-bit register', token);
  if (value < -0x80000000n || value > 0xffffffffn) c.fail("expected at most 32 bits", token);
  return { insn: { opcode: mov, dst: dst.number, imm: Number(BigInt.asIntN(32, value)) } };
}

/** `map[name]`, `map[name][0]+16`, `map[fd:3]`, `map[idx:3]+16`, `ksym[name]`, `btf_id[5:0]`, `subprog[+3]`. */
function parseReference(c: Cursor, dst: Register): Statement {
  const what = c.next();
  c.expect("[");
  const lddw = (src: number, imm = 0, imm2 = 0): isa.InsnInit => ({
    opcode: isa.OP_LDDW,
    dst: dst.number,
    src,
    imm,
    imm2,
  });
  switch (what.text) {
    case "map": {
      const indexed =
        (c.peek().text === "fd" || c.peek().text === "idx" || c.peek().text === "id") && c.peek(1).text === ":";
      if (indexed) {
        const byIndex = c.next().text === "idx";
        c.next();
        const imm = int32(c);
        c.expect("]");
        const offset = mapOffset(c);
        c.take("ll");
        if (offset === undefined) return { insn: lddw(byIndex ? isa.BPF_PSEUDO_MAP_IDX : isa.BPF_PSEUDO_MAP_FD, imm) };
        return { insn: lddw(byIndex ? isa.BPF_PSEUDO_MAP_IDX_VALUE : isa.BPF_PSEUDO_MAP_VALUE, imm, offset) };
      }
      const name = bracketName(c);
      const offset = mapOffset(c);
      c.take("ll");
      const src = offset === undefined ? isa.BPF_PSEUDO_MAP_FD : isa.BPF_PSEUDO_MAP_VALUE;
      return { insn: lddw(src), ref: { kind: "map", name, ...(offset === undefined ? {} : { offset }) } };
    }
    case "ksym": {
      const weak = c.take("?");
      return { insn: lddw(isa.BPF_PSEUDO_BTF_ID), ref: { kind: "ksym", name: bracketName(c), weak } };
    }
    case "btf_id": {
      const imm = int32(c);
      const imm2 = c.take(":") ? int32(c) : 0;
      c.expect("]");
      return { insn: lddw(isa.BPF_PSEUDO_BTF_ID, imm, imm2) };
    }
    case "subprog": {
      if (c.peek().text === "+" || c.peek().text === "-") {
        const imm = int32(c);
        c.expect("]");
        return { insn: lddw(isa.BPF_PSEUDO_FUNC, imm) };
      }
      const token = c.peek();
      const name = bracketName(c);
      return { insn: lddw(isa.BPF_PSEUDO_FUNC), ref: { kind: "label", name, field: "imm", token } };
    }
  }
  return c.fail("expected map[…], ksym[…], btf_id[…] or subprog[…]", what);
}

/** A name up to the closing bracket; it may have parts that are several tokens (`.rodata.str1.1`, `a-b`). */
function bracketName(c: Cursor): string {
  let name = "";
  while (!c.atEnd() && c.peek().text !== "]") name += c.next().text;
  if (!name) c.fail("expected a name");
  c.expect("]");
  return name;
}

function mapOffset(c: Cursor): number | undefined {
  const first = c.take("[");
  if (first) {
    c.expect("0");
    c.expect("]");
  }
  if (c.peek().text === "+" || c.peek().text === "-") return int32(c);
  return first ? 0 : undefined;
}

/** What reads like a function: atomic fetches, exchanges, acquire loads, address-space casts. */
function parseFunction(c: Cursor, dst: Register): Statement {
  const name = c.next();
  c.expect("(");
  if (name.text === "addr_space_cast") {
    const src = register(c).number;
    c.expect(",");
    const to = unsigned16(c);
    c.expect(",");
    const from = unsigned16(c);
    c.expect(")");
    const opcode = isa.BPF_ALU64 | isa.BPF_MOV | isa.BPF_X;
    return { insn: { opcode, dst: dst.number, src, off: isa.BPF_ADDR_SPACE_CAST, imm: (to << 16) | from } };
  }
  if (name.text === "load_acquire") {
    const { size, reg, off } = typedAddress(c);
    c.expect(")");
    const opcode = isa.BPF_STX | isa.BPF_ATOMIC | size;
    return { insn: { opcode, dst: dst.number, src: reg, off, imm: isa.BPF_LOAD_ACQ } };
  }
  const kernel = /^atomic(64)?_(?:(xchg|cmpxchg)|fetch_(add|and|or|xor))$/.exec(name.text);
  const llvm = /^(xchg|cmpxchg)(?:_64|32_32)$/.exec(name.text);
  if (!kernel && !llvm) c.fail("expected an atomic operation", name);
  let address: { size: number; reg: number; off: number };
  if (kernel) address = typedAddress(c);
  else address = { size: name.text.endsWith("_64") ? isa.BPF_DW : isa.BPF_W, ...plainAddress(c) };
  const exchange = kernel ? kernel[2] : llvm![1];
  let imm: number;
  let src: number;
  c.expect(",");
  if (exchange === "cmpxchg") {
    if (dst.number !== 0) c.fail("expected r0 as cmpxchg's result", name);
    if (register(c).number !== 0) c.fail("expected r0 as cmpxchg's comparand", name);
    c.expect(",");
    src = register(c).number;
    imm = isa.BPF_CMPXCHG;
  } else {
    const token = c.peek();
    src = register(c).number;
    if (src !== dst.number) c.fail("expected the result's register, which also holds the operand", token);
    imm = exchange === "xchg" ? isa.BPF_XCHG : FETCH_OPS[kernel![3]!]! | isa.BPF_FETCH;
  }
  c.expect(")");
  const opcode = isa.BPF_STX | isa.BPF_ATOMIC | address.size;
  return { insn: { opcode, dst: address.reg, src, off: address.off, imm } };
}

function parseLoad(c: Cursor, dst: Register): Statement {
  const type = sizeCast(c);
  if (c.take("skb")) {
    c.expect("[");
    const opcode = isa.BPF_LD | SIZES[type]!;
    if (dst.number !== 0) c.fail("expected r0 as the result of a packet load");
    let insn: isa.InsnInit;
    if (isRegister(c.peek().text)) {
      const src = register(c).number;
      insn = { opcode: opcode | isa.BPF_IND, src, imm: c.peek().text === "]" ? 0 : int32(c) };
    } else {
      insn = { opcode: opcode | isa.BPF_ABS, imm: int32(c) };
    }
    c.expect("]");
    return { insn };
  }
  const { reg, off } = parenAddress(c);
  const mode = type.startsWith("s") ? isa.BPF_MEMSX : isa.BPF_MEM;
  return { insn: { opcode: isa.BPF_LDX | mode | SIZES[type]!, dst: dst.number, src: reg, off } };
}

function parseStore(c: Cursor): Statement {
  const size = SIZES[sizeCast(c)]!;
  const { reg, off } = parenAddress(c);
  c.expect("=");
  if (isRegister(c.peek().text)) {
    return { insn: { opcode: isa.BPF_STX | isa.BPF_MEM | size, dst: reg, src: register(c).number, off } };
  }
  return { insn: { opcode: isa.BPF_ST | isa.BPF_MEM | size, dst: reg, off, imm: int32(c) } };
}

function parseLock(c: Cursor): Statement {
  c.next();
  const token = c.peek(2);
  const size = SIZES[sizeCast(c)]!;
  if (size !== isa.BPF_W && size !== isa.BPF_DW) c.fail("expected u32 or u64", token);
  const { reg, off } = parenAddress(c);
  const op = c.next();
  const imm = { "+=": isa.BPF_ADD, "&=": isa.BPF_AND, "|=": isa.BPF_OR, "^=": isa.BPF_XOR }[op.text];
  if (imm === undefined) c.fail('expected "+=", "&=", "|=" or "^="', op);
  return { insn: { opcode: isa.BPF_STX | isa.BPF_ATOMIC | size, dst: reg, src: register(c).number, off, imm } };
}

function parseStoreRelease(c: Cursor): Statement {
  c.next();
  c.expect("(");
  const { size, reg, off } = typedAddress(c);
  c.expect(",");
  const src = register(c).number;
  c.expect(")");
  return { insn: { opcode: isa.BPF_STX | isa.BPF_ATOMIC | size, dst: reg, src, off, imm: isa.BPF_STORE_REL } };
}

function parseIf(c: Cursor): Statement {
  c.next();
  const dst = register(c);
  const signed = c.take("s");
  const op = c.next();
  const code = (signed ? SIGNED_COMPARE : COMPARE)[op.text];
  if (code === undefined) c.fail("expected a comparison", op);
  const base = (dst.wide ? isa.BPF_JMP : isa.BPF_JMP32) | code;
  const token = c.peek();
  let insn: isa.InsnInit;
  if (isRegister(token.text)) {
    const src = register(c);
    if (src.wide !== dst.wide) c.fail("expected registers of one width", token);
    insn = { opcode: base | isa.BPF_X, dst: dst.number, src: src.number };
  } else {
    insn = { opcode: base | isa.BPF_K, dst: dst.number, imm: int32(c) };
  }
  c.expect("goto");
  return jump(c, insn, "off");
}

/**
 * `call 5` and `call bpf_x` (also `bpf_x#5`) call a helper, `call pc+5` and `call label` a function of this program,
 * `call kfunc[name]` a kernel function.
 */
function parseCall(c: Cursor): Statement {
  const token = c.peek();
  if (token.kind === "number" || token.text === "-") return { insn: { opcode: isa.OP_CALL, imm: int32(c) } };
  if (token.text === "pc" || token.text === "+") {
    return jump(c, { opcode: isa.OP_CALL, src: isa.BPF_PSEUDO_CALL }, "imm");
  }
  if (token.kind !== "name") c.fail("expected a helper, a label or a distance");
  if (token.text === "kfunc" && c.peek(1).text === "[") return parseKfunc(c);
  if (isRegister(token.text)) return { insn: { opcode: isa.OP_CALLX, dst: register(c).number } };
  if (["helper", "local", "runtime"].includes(token.text) && c.peek(1).kind !== "end") {
    c.next();
    if (token.text === "local") return jump(c, { opcode: isa.OP_CALL, src: isa.BPF_PSEUDO_CALL }, "imm");
    if (isRegister(c.peek().text)) return { insn: { opcode: isa.OP_CALLX, dst: register(c).number } };
    const src = token.text === "runtime" ? isa.BPF_PSEUDO_KFUNC_CALL : 0;
    return { insn: { opcode: isa.OP_CALL, src, imm: int32(c) } };
  }
  c.next();
  if (c.take("#")) {
    // `bpf_skc_lookup_tcp#99`: the number is what runs, whatever the name.
    return { insn: { opcode: isa.OP_CALL, imm: int32(c) } };
  }
  const helper = helperByName(token.text);
  if (helper !== undefined) return { insn: { opcode: isa.OP_CALL, imm: helper } };
  const insn = { opcode: isa.OP_CALL, src: isa.BPF_PSEUDO_CALL };
  return { insn, ref: { kind: "label", name: token.text, field: "imm", token } };
}

function parseKfunc(c: Cursor): Statement {
  c.next();
  c.expect("[");
  if (c.peek().text === "id" && c.peek(1).text === ":") {
    c.next();
    c.next();
    const imm = int32(c);
    const off = c.take(":") ? int16(c) : 0;
    c.expect("]");
    return { insn: { opcode: isa.OP_CALL, src: isa.BPF_PSEUDO_KFUNC_CALL, imm, off } };
  }
  const weak = c.take("?");
  const insn = { opcode: isa.OP_CALL, src: isa.BPF_PSEUDO_KFUNC_CALL };
  return { insn, ref: { kind: "kfunc", name: bracketName(c), weak } };
}

/** `.insn opcode dst=1 src=2 off=3 imm=4 imm2=5`: any bits, also such as no notation has a word for. */
function parseRaw(c: Cursor): Statement {
  c.next();
  const token = c.peek();
  const opcode = Number(signedNumber(c));
  if (opcode < 0 || opcode > 255) c.fail("expected an opcode from 0 to 255", token);
  const fields: Record<string, number> = {};
  while (!c.atEnd()) {
    const name = c.next();
    c.expect("=");
    const value = c.peek();
    if (name.text === "dst" || name.text === "src") {
      fields[name.text] = Number(signedNumber(c));
      if (fields[name.text]! < 0 || fields[name.text]! > 15) c.fail("expected a register from 0 to 15", value);
    } else if (name.text === "off") fields[name.text] = int16(c);
    else if (name.text === "imm" || (name.text === "imm2" && opcode === isa.OP_LDDW)) fields[name.text] = int32(c);
    else c.fail("expected dst=, src=, off=, imm= or lddw's imm2=", name);
  }
  return { insn: { opcode, ...fields } };
}

function same(c: Cursor, dst: Register, why: string): void {
  const token = c.peek();
  const reg = register(c);
  if (reg.number !== dst.number || reg.wide !== dst.wide) {
    c.fail(`${why}: expected ${dst.wide ? "r" : "w"}${dst.number}`, token);
  }
}

/** `*(u32 *)`. */
function sizeCast(c: Cursor): string {
  c.expect("*");
  c.expect("(");
  return sizeType(c);
}

function sizeType(c: Cursor): string {
  const type = c.next();
  if (SIZES[type.text] === undefined) c.fail("expected u8, u16, u32 or u64", type);
  c.expect("*");
  c.expect(")");
  return type.text;
}

/** `(r1 + 4)`. */
function parenAddress(c: Cursor): { reg: number; off: number } {
  c.expect("(");
  const address = plainAddress(c);
  c.expect(")");
  return address;
}

function plainAddress(c: Cursor): { reg: number; off: number } {
  const reg = register(c).number;
  const sign = c.peek().text;
  return { reg, off: sign === "+" || sign === "-" ? int16(c) : 0 };
}

/** `(u64 *)(r1 + 4)`. */
function typedAddress(c: Cursor): { size: number; reg: number; off: number } {
  c.expect("(");
  const size = SIZES[sizeType(c)]!;
  return { size, ...parenAddress(c) };
}

/** The operand of an ALU operation. */
function aluInsn(c: Cursor, aluClass: number, op: number, dst: number, off: number): isa.InsnInit {
  const token = c.peek();
  if (isRegister(token.text)) {
    const src = register(c);
    if (src.wide !== (aluClass === isa.BPF_ALU64)) c.fail("expected registers of one width", token);
    return { opcode: aluClass | op | isa.BPF_X, dst, src: src.number, off };
  }
  if (aluClass === isa.BPF_ALU) return { opcode: aluClass | op, dst, imm: int32(c), off };
  // A 64-bit operation sign-extends its imm: 0xffffffff would silently mean -1.
  return { opcode: aluClass | op, dst, imm: ranged(c, -0x80000000n, 0x7fffffffn, "a signed number of 32 bits"), off };
}
