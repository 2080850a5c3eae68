/**
 * Arithmetic, moves, byte swaps and the conditions of jumps.
 *
 * wasm's shifts mask their counts as eBPF's do. Its divisions trap where eBPF defines a result (by zero; the smallest
 * number by -1), so those are guarded. Where both operands have zero high halves a 64-bit comparison or division is
 * done in 32 bits: shorter code, and a 64-bit division costs several times a 32-bit one.
 * Source: RFC 9669 sections 4.1 and 4.2.
 */
import {
  BPF_ADD,
  BPF_ALU64,
  BPF_AND,
  BPF_ARSH,
  BPF_DIV,
  BPF_END,
  BPF_JEQ,
  BPF_JGE,
  BPF_JGT,
  BPF_JLE,
  BPF_JLT,
  BPF_JMP32,
  BPF_JNE,
  BPF_JSET,
  BPF_JSGE,
  BPF_JSGT,
  BPF_JSLE,
  BPF_JSLT,
  BPF_LSH,
  BPF_MOD,
  BPF_MOV,
  BPF_MUL,
  BPF_NEG,
  BPF_OR,
  BPF_RSH,
  BPF_SUB,
  BPF_TO_BE,
  BPF_X,
  BPF_XOR,
  CLASS_MASK,
  type Insn,
  OP_MASK,
} from "../../isa/index.ts";
import {
  close,
  type Emitter,
  get,
  getReg,
  getReg32,
  i32,
  i64,
  i64Halves,
  isZextReg,
  op,
  open,
  scratch32,
  scratch64,
  setReg,
  setReg32,
  tee,
} from "./emit.ts";
import { constOf, maxOf, U32_MAX } from "./values.ts";
import { I32, I64, Op } from "./wasm.ts";

const BINARY64: Record<number, number> = {
  [BPF_ADD]: Op.i64_add,
  [BPF_SUB]: Op.i64_sub,
  [BPF_MUL]: Op.i64_mul,
  [BPF_OR]: Op.i64_or,
  [BPF_AND]: Op.i64_and,
  [BPF_LSH]: Op.i64_shl,
  [BPF_RSH]: Op.i64_shr_u,
  [BPF_XOR]: Op.i64_xor,
  [BPF_ARSH]: Op.i64_shr_s,
};

const BINARY32: Record<number, number> = {
  [BPF_ADD]: Op.i32_add,
  [BPF_SUB]: Op.i32_sub,
  [BPF_MUL]: Op.i32_mul,
  [BPF_OR]: Op.i32_or,
  [BPF_AND]: Op.i32_and,
  [BPF_LSH]: Op.i32_shl,
  [BPF_RSH]: Op.i32_shr_u,
  [BPF_XOR]: Op.i32_xor,
  [BPF_ARSH]: Op.i32_shr_s,
};

export function emitAlu(e: Emitter, insn: Insn): void {
  const code = insn.opcode & OP_MASK;
  const is64 = (insn.opcode & CLASS_MASK) === BPF_ALU64;
  if (code === BPF_END) emitEnd(e, insn, is64);
  else if (code === BPF_MOV) emitMove(e, insn, is64);
  else if (code === BPF_NEG) emitNeg(e, insn.dst, is64);
  else if (code === BPF_DIV || code === BPF_MOD) emitDivide(e, insn, is64);
  else if (is64 && !fitsNarrow(e, insn, code)) {
    getReg(e, insn.dst);
    pushOperand64(e, insn);
    op(e, BINARY64[code]!);
    setReg(e, insn.dst);
  } else {
    getReg32(e, insn.dst);
    pushOperand32(e, insn);
    op(e, BINARY32[code]!);
    setReg32(e, insn.dst);
  }
}

/**
 * True when a 64-bit operation on registers below 2^32 has a result below 2^32: in 32 bits it is the same, and V8 knows
 * of a 32-bit sum that it needs no zero-extension as an address. With a constant operand nothing is won: V8 folds it
 * into the address anyway, and a loop over a packet was a fifth slower with the sum in 32 bits.
 */
function fitsNarrow(e: Emitter, insn: Insn, code: number): boolean {
  if (!(insn.opcode & BPF_X)) return false;
  const a = maxOf(e.state, insn.dst);
  const b = maxOf(e.state, insn.src);
  if (a > U32_MAX || b > U32_MAX) return false;
  if (code === BPF_ADD) return a + b <= U32_MAX;
  if (code === BPF_MUL) return a * b <= U32_MAX;
  return code === BPF_OR || code === BPF_XOR || code === BPF_AND;
}

function pushOperand64(e: Emitter, insn: Insn): void {
  if (insn.opcode & BPF_X) getReg(e, insn.src);
  else i64(e, insn.imm);
}

function pushOperand32(e: Emitter, insn: Insn): void {
  if (insn.opcode & BPF_X) getReg32(e, insn.src);
  else i32(e, insn.imm);
}

function emitNeg(e: Emitter, dst: number, is64: boolean): void {
  if (is64) {
    i64(e, 0);
    getReg(e, dst);
    op(e, Op.i64_sub);
    setReg(e, dst);
  } else {
    i32(e, 0);
    getReg32(e, dst);
    op(e, Op.i32_sub);
    setReg32(e, dst);
  }
}

function emitMove(e: Emitter, insn: Insn, is64: boolean): void {
  const { dst, src, off, imm } = insn;
  if (!(insn.opcode & BPF_X)) {
    i64(e, is64 ? imm : imm >>> 0);
    setReg(e, dst);
  } else if (off === 0) {
    if (is64 || isZextReg(e, src)) {
      getReg(e, src);
      setReg(e, dst);
    } else {
      getReg32(e, src);
      setReg32(e, dst);
    }
  } else if (is64) {
    getReg(e, src);
    op(e, off === 8 ? Op.i64_extend8_s : off === 16 ? Op.i64_extend16_s : Op.i64_extend32_s);
    setReg(e, dst);
  } else {
    getReg32(e, src);
    op(e, off === 8 ? Op.i32_extend8_s : Op.i32_extend16_s);
    setReg32(e, dst);
  }
}

function emitDivide(e: Emitter, insn: Insn, is64: boolean): void {
  const { dst, src, imm } = insn;
  const isMod = (insn.opcode & OP_MASK) === BPF_MOD;
  const isX = (insn.opcode & BPF_X) !== 0;
  const signed = insn.off === 1;
  let divisor = isX ? constOf(e.state, src) : imm;
  if (divisor !== undefined && !is64) divisor |= 0;
  // Unsigned with zero high halves: the same in 32 bits.
  const narrowSrc = isX ? isZextReg(e, src) : imm >= 0;
  const narrow = !is64 || (!signed && isZextReg(e, dst) && narrowSrc);
  const type = narrow ? I32 : I64;
  const pushDst = () => (narrow ? getReg32(e, dst) : getReg(e, dst));
  const pushSrc = () => (narrow ? pushOperand32(e, insn) : pushOperand64(e, insn));
  const zero = () => (narrow ? i32(e, 0) : i64(e, 0));
  const store = () => (narrow ? setReg32(e, dst) : setReg(e, dst));
  const divide = () => {
    pushDst();
    pushSrc();
    op(e, divideOp(narrow, signed, isMod));
  };
  const negate = () => {
    zero();
    pushDst();
    op(e, narrow ? Op.i32_sub : Op.i64_sub);
  };
  if (divisor !== undefined) {
    if (divisor === 0) isMod ? pushDst() : zero();
    else if (signed && divisor === -1) isMod ? zero() : negate();
    else divide();
    store();
    return;
  }
  pushSrc();
  op(e, narrow ? Op.i32_eqz : Op.i64_eqz);
  open(e, Op.if_, type);
  isMod ? pushDst() : zero();
  op(e, Op.else_);
  if (signed && !isMod) {
    // The remainder by -1 is 0 in wasm too; only the quotient overflows.
    pushSrc();
    narrow ? i32(e, -1) : i64(e, -1);
    op(e, narrow ? Op.i32_eq : Op.i64_eq);
    open(e, Op.if_, type);
    negate();
    op(e, Op.else_);
    divide();
    close(e);
  } else divide();
  close(e);
  store();
}

function divideOp(narrow: boolean, signed: boolean, isMod: boolean): number {
  if (narrow) return signed ? (isMod ? Op.i32_rem_s : Op.i32_div_s) : isMod ? Op.i32_rem_u : Op.i32_div_u;
  return signed ? (isMod ? Op.i64_rem_s : Op.i64_div_s) : isMod ? Op.i64_rem_u : Op.i64_div_u;
}

/** le16-64, be16-64 (ALU), bswap16-64 (ALU64). The machine is little-endian: "to little" only truncates. */
function emitEnd(e: Emitter, insn: Insn, is64: boolean): void {
  const { dst, imm } = insn;
  const swaps = is64 || (insn.opcode & BPF_TO_BE) !== 0;
  if (imm === 64) {
    if (!swaps) return;
    getReg(e, dst);
    swap64(e);
    setReg(e, dst);
    return;
  }
  getReg32(e, dst);
  if (imm === 16) {
    if (swaps) swap16(e);
    else {
      i32(e, 0xffff);
      op(e, Op.i32_and);
    }
  } else if (swaps) swap32(e);
  setReg32(e, dst);
}

/** The low 16 bits of the i32 on the stack, swapped; the rest becomes zero. */
function swap16(e: Emitter): void {
  const t = scratch32(e, 0);
  tee(e, t);
  i32(e, 8);
  op(e, Op.i32_shl);
  i32(e, 0xff00);
  op(e, Op.i32_and);
  get(e, t);
  i32(e, 8);
  op(e, Op.i32_shr_u);
  i32(e, 0xff);
  op(e, Op.i32_and);
  op(e, Op.i32_or);
}

/** Byte swap of the i32 on the stack, `t` a local to work in. Two rotates and two masks: wasm has no byte swap, and V8 finds none in the usual pattern. */
export function swap32(e: Emitter, t = scratch32(e, 0)): void {
  tee(e, t);
  i32(e, 8);
  op(e, Op.i32_rotl);
  i32(e, 0x00ff00ff);
  op(e, Op.i32_and);
  get(e, t);
  i32(e, 8);
  op(e, Op.i32_rotr);
  i32(e, 0xff00ff00 | 0);
  op(e, Op.i32_and);
  op(e, Op.i32_or);
}

/** Bytes within halfwords, halfwords within words, then both halves by a rotate. */
function swap64(e: Emitter): void {
  const t = scratch64(e, 0);
  swapPairs(e, t, 8, 0x00ff00ff);
  swapPairs(e, t, 16, 0x0000ffff);
  i64(e, 32);
  op(e, Op.i64_rotl);
}

function swapPairs(e: Emitter, t: number, bits: number, mask: number): void {
  tee(e, t);
  i64Halves(e, mask, mask);
  op(e, Op.i64_and);
  i64(e, bits);
  op(e, Op.i64_shl);
  get(e, t);
  i64(e, bits);
  op(e, Op.i64_shr_u);
  i64Halves(e, mask, mask);
  op(e, Op.i64_and);
  op(e, Op.i64_or);
}

const COMPARE64: Record<number, number> = {
  [BPF_JEQ]: Op.i64_eq,
  [BPF_JGT]: Op.i64_gt_u,
  [BPF_JGE]: Op.i64_ge_u,
  [BPF_JNE]: Op.i64_ne,
  [BPF_JSGT]: Op.i64_gt_s,
  [BPF_JSGE]: Op.i64_ge_s,
  [BPF_JLT]: Op.i64_lt_u,
  [BPF_JLE]: Op.i64_le_u,
  [BPF_JSLT]: Op.i64_lt_s,
  [BPF_JSLE]: Op.i64_le_s,
};

const COMPARE32: Record<number, number> = {
  [BPF_JEQ]: Op.i32_eq,
  [BPF_JGT]: Op.i32_gt_u,
  [BPF_JGE]: Op.i32_ge_u,
  [BPF_JNE]: Op.i32_ne,
  [BPF_JSGT]: Op.i32_gt_s,
  [BPF_JSGE]: Op.i32_ge_s,
  [BPF_JLT]: Op.i32_lt_u,
  [BPF_JLE]: Op.i32_le_u,
  [BPF_JSLT]: Op.i32_lt_s,
  [BPF_JSLE]: Op.i32_le_s,
};

/** Pushes an i32 that is not zero when the jump is taken. */
export function emitCondition(e: Emitter, insn: Insn): void {
  const code = insn.opcode & OP_MASK;
  const is32 = (insn.opcode & CLASS_MASK) === BPF_JMP32;
  const narrowSrc = insn.opcode & BPF_X ? isZextReg(e, insn.src) : insn.imm >= 0;
  const isSigned = code === BPF_JSGT || code === BPF_JSGE || code === BPF_JSLT || code === BPF_JSLE;
  // x & (something below 2^32) has a zero high half whatever x is.
  const narrow = is32 || (!isSigned && narrowSrc && (code === BPF_JSET || isZextReg(e, insn.dst)));
  if (narrow) {
    getReg32(e, insn.dst);
    if (code === BPF_JEQ && !(insn.opcode & BPF_X) && insn.imm === 0) op(e, Op.i32_eqz);
    else {
      pushOperand32(e, insn);
      op(e, code === BPF_JSET ? Op.i32_and : COMPARE32[code]!);
    }
    return;
  }
  getReg(e, insn.dst);
  pushOperand64(e, insn);
  if (code === BPF_JSET) {
    op(e, Op.i64_and);
    i64(e, 0);
    op(e, Op.i64_ne);
  } else op(e, COMPARE64[code]!);
}
