/**
 * Bytecode made ready for the interpreter: checked for form, then spread over typed arrays indexed by slot.
 *
 * An immediate is kept like a register: slots from `MAX_REG` on in the register file hold the program's constants,
 * so one interpreter case serves the K and the X form of an insn (always under the X form's number), lddw and ST too.
 * Forms that share an opcode byte (by off or imm) get numbers from 256 on.
 *
 * What is refused here is what no engine can run: unknown opcodes, registers that do not exist, reserved fields that
 * are set, jumps out of the program or into an lddw, a last insn that falls through. Types and bounds are the
 * verifier's. Source: RFC 9669; kernel/bpf/verifier.c 6.18 `do_check` and `check_cfg` for which fields are reserved.
 */
import { InsnError, UnsupportedError } from "../errors/index.ts";
import {
  BPF_ABS,
  BPF_ADDR_SPACE_CAST,
  BPF_ALU,
  BPF_ALU64,
  BPF_ATOMIC,
  BPF_B,
  BPF_CALL,
  BPF_CMPXCHG,
  BPF_DIV,
  BPF_DW,
  BPF_END,
  BPF_EXIT,
  BPF_FETCH,
  BPF_H,
  BPF_IND,
  BPF_JA,
  BPF_JCOND,
  BPF_JMP,
  BPF_JMP32,
  BPF_JSLE,
  BPF_LD,
  BPF_LDX,
  BPF_LOAD_ACQ,
  BPF_MEM,
  BPF_MEMSX,
  BPF_MOD,
  BPF_MOV,
  BPF_NEG,
  BPF_PSEUDO_CALL,
  BPF_PSEUDO_FUNC,
  BPF_PSEUDO_KFUNC_CALL,
  BPF_PSEUDO_MAP_IDX_VALUE,
  BPF_REG_FP,
  BPF_ST,
  BPF_STORE_REL,
  BPF_STX,
  BPF_TO_BE,
  BPF_W,
  BPF_X,
  BPF_XCHG,
  CLASS_MASK,
  decode,
  type Insn,
  jumpTarget,
  MAX_REG,
  MODE_MASK,
  OP_CALL,
  OP_CALLX,
  OP_EXIT,
  OP_GOTOL,
  OP_JA,
  OP_LDDW,
  OP_MASK,
  OP_MAY_GOTO,
  SIZE_MASK,
} from "../isa/index.ts";

/** Numbers of the forms that share an opcode byte. The interpreter's cases repeat them as literals for V8's sake. */
export const OP = {
  SDIV32: 256,
  SDIV64: 257,
  SMOD32: 258,
  SMOD64: 259,
  MOVSX8_32: 260,
  MOVSX16_32: 261,
  MOVSX8_64: 262,
  MOVSX16_64: 263,
  MOVSX32_64: 264,
  LOW16: 265,
  LOW32: 266,
  LOW64: 267,
  SWAP16: 268,
  SWAP32: 269,
  SWAP64: 270,
  CALL_LOCAL: 271,
  CALL_LOOP: 272,
  TAIL_CALL: 273,
  ATOMIC: 275,
  LOAD_PACKET: 276,
} as const;

/** A program whose form is checked. */
export interface CheckedCode {
  readonly slots: number;
  readonly insns: readonly Insn[];
  /** The decoded insn at a slot; undefined for an lddw's second slot. */
  readonly at: readonly (Insn | undefined)[];
}

/** A program as the interpreter reads it. Arrays are indexed by slot; an lddw's second slot is never executed. */
export interface Code extends CheckedCode {
  readonly op: Uint16Array;
  readonly dst: Uint8Array;
  /** Index into the register file: a register, or a constant from `MAX_REG` on. */
  readonly src: Uint16Array;
  /** Byte offset of a memory access; the absolute slot that a jump or local call goes to. */
  readonly off: Int32Array;
  /** The insn's imm as it stands, for the forms that are told apart by it. */
  readonly imm: Int32Array;
  /** Constants to be copied into the register file at `MAX_REG`. */
  readonly poolLo: Int32Array;
  readonly poolHi: Int32Array;
}

/**
 * Decodes already relocated code and checks it.
 * @throws InsnError with the slot for a malformed program, UnsupportedError for an insn that no engine here runs.
 */
export function checkCode(bytes: Uint8Array): CheckedCode {
  const insns = decode(bytes);
  const slots = bytes.length / 8;
  if (slots === 0) throw new InsnError("a program needs at least one instruction", 0);
  const at: (Insn | undefined)[] = new Array(slots).fill(undefined);
  for (const insn of insns) at[insn.pc] = insn;
  for (const insn of insns) {
    checkInsn(insn);
    const target = branchTarget(insn);
    if (target !== undefined && (target < 0 || target >= slots || at[target] === undefined)) {
      throw new InsnError(`jumps to slot ${target}, expected an instruction in 0 to ${slots - 1}`, insn.pc);
    }
  }
  const last = insns[insns.length - 1]!;
  if (last.opcode !== OP_EXIT && last.opcode !== OP_JA && last.opcode !== OP_GOTOL) {
    throw new InsnError("falls off the end: expected the last instruction to be exit or a jump", last.pc);
  }
  return { slots, insns, at };
}

/**
 * Checks and spreads already relocated code. lddw of a BPF_PSEUDO_FUNC becomes the absolute slot of its subprogram;
 * any other lddw is the constant that it holds.
 * @throws InsnError with the slot for a malformed program, UnsupportedError for an insn that no engine here runs.
 */
export function prepare(bytes: Uint8Array): Code {
  const { slots, insns, at } = checkCode(bytes);
  const op = new Uint16Array(slots);
  const dst = new Uint8Array(slots);
  const src = new Uint16Array(slots);
  const off = new Int32Array(slots);
  const imm = new Int32Array(slots);
  const pool = new Map<string, number>();
  const poolLo: number[] = [];
  const poolHi: number[] = [];
  const constant = (lo: number, hi: number): number => {
    const key = `${lo} ${hi}`;
    let index = pool.get(key);
    if (index === undefined) {
      index = MAX_REG + poolLo.length;
      pool.set(key, index);
      poolLo.push(lo);
      poolHi.push(hi);
    }
    return index;
  };
  for (const insn of insns) {
    const { pc } = insn;
    const cls = insn.opcode & CLASS_MASK;
    const code = insn.opcode & OP_MASK;
    dst[pc] = insn.dst;
    src[pc] = insn.src;
    off[pc] = insn.off;
    imm[pc] = insn.imm;
    op[pc] = insn.opcode;
    const target = branchTarget(insn);
    if (target !== undefined) off[pc] = target;
    if (insn.opcode === OP_LDDW) {
      src[pc] = insn.src === BPF_PSEUDO_FUNC ? constant(branchTarget(insn)!, 0) : constant(insn.imm, insn.imm2);
    } else if (cls === BPF_ALU || cls === BPF_ALU64) {
      const wide = cls === BPF_ALU64;
      if (code === BPF_END) {
        const swaps = wide || (insn.opcode & BPF_TO_BE) !== 0;
        op[pc] = (swaps ? OP.SWAP16 : OP.LOW16) + (insn.imm === 16 ? 0 : insn.imm === 32 ? 1 : 2);
      } else if (code !== BPF_NEG) {
        if (!(insn.opcode & BPF_X)) src[pc] = constant(insn.imm, insn.imm >> 31);
        op[pc] = cls | code | BPF_X;
        // Address-space casts are plain moves by now: see resolve.ts.
        if (code === BPF_MOV && insn.off) {
          op[pc] = (wide ? OP.MOVSX8_64 : OP.MOVSX8_32) + (insn.off === 8 ? 0 : insn.off === 16 ? 1 : 2);
        } else if (insn.off) op[pc] = (code === BPF_DIV ? OP.SDIV32 : OP.SMOD32) + (wide ? 1 : 0);
      }
    } else if (cls === BPF_JMP || cls === BPF_JMP32) {
      if (insn.opcode === OP_GOTOL) op[pc] = OP_JA;
      else if (insn.opcode === OP_CALL && insn.src === BPF_PSEUDO_CALL) op[pc] = OP.CALL_LOCAL;
      else if (code !== BPF_JA && code !== BPF_CALL && code !== BPF_EXIT && code !== BPF_JCOND) {
        if (!(insn.opcode & BPF_X)) src[pc] = constant(insn.imm, insn.imm >> 31);
        op[pc] = cls | code | BPF_X;
      }
    } else if (cls === BPF_ST) {
      src[pc] = constant(insn.imm, insn.imm >> 31);
      op[pc] = (insn.opcode & ~CLASS_MASK) | BPF_STX;
    } else if (cls === BPF_STX && (insn.opcode & MODE_MASK) === BPF_ATOMIC) {
      op[pc] = OP.ATOMIC;
    } else if (cls === BPF_LD) {
      op[pc] = OP.LOAD_PACKET;
    }
  }
  return {
    slots,
    op,
    dst,
    src,
    off,
    imm,
    poolLo: Int32Array.from(poolLo),
    poolHi: Int32Array.from(poolHi),
    insns,
    at,
  };
}

/** The slot that a jump, a local call or an lddw of a function refers to. */
export function branchTarget(insn: Insn): number | undefined {
  if (insn.opcode === OP_LDDW) return insn.src === BPF_PSEUDO_FUNC ? insn.pc + 1 + insn.imm : undefined;
  if (insn.opcode === OP_CALL) return insn.src === BPF_PSEUDO_CALL ? insn.pc + 1 + insn.imm : undefined;
  const cls = insn.opcode & CLASS_MASK;
  if (cls !== BPF_JMP && cls !== BPF_JMP32) return undefined;
  if (insn.opcode === OP_CALLX || insn.opcode === OP_EXIT) return undefined;
  return jumpTarget(insn);
}

/** First slot of every function: 0, and the targets of local calls and of lddw of a function; ascending. */
export function functionStarts(insns: readonly Insn[]): number[] {
  const starts = new Set([0]);
  for (const insn of insns) {
    const isCall = insn.opcode === OP_CALL && insn.src === BPF_PSEUDO_CALL;
    const isFunc = insn.opcode === OP_LDDW && insn.src === BPF_PSEUDO_FUNC;
    if (isCall || isFunc) starts.add(branchTarget(insn)!);
  }
  return [...starts].sort((a, b) => a - b);
}

function checkInsn(insn: Insn): void {
  const { opcode, dst, src, off, imm } = insn;
  const cls = opcode & CLASS_MASK;
  const code = opcode & OP_MASK;
  const isX = (opcode & BPF_X) !== 0;
  expectForm(insn, dst < MAX_REG, () => `expected a register from r0 to r10, got r${dst}`);
  const srcIsRegister = !(opcode === OP_LDDW || opcode === OP_CALL);
  if (srcIsRegister) expectForm(insn, src < MAX_REG, () => `expected a register from r0 to r10, got r${src}`);
  switch (cls) {
    case BPF_ALU:
    case BPF_ALU64:
      writesDst(insn);
      if (code === BPF_END) {
        if (cls === BPF_ALU64 && isX) unknownInsn(insn);
        zero(insn, "src", "off");
        expectForm(insn, imm === 16 || imm === 32 || imm === 64, () => `expected a width of 16, 32 or 64, got ${imm}`);
        return;
      }
      if (code > BPF_END) unknownInsn(insn);
      if (code === BPF_NEG) {
        if (isX) unknownInsn(insn);
        zero(insn, "src", "off", "imm");
        return;
      }
      if (code === BPF_MOV && isX && off === BPF_ADDR_SPACE_CAST && cls === BPF_ALU64) {
        expectForm(insn, imm === 1 || imm === 0x10000, () => `address-space cast: expected imm 1 or 65536, got ${imm}`);
        return;
      }
      zero(insn, isX ? "imm" : "src");
      if (code === BPF_MOV && isX) {
        const ok = off === 0 || off === 8 || off === 16 || (off === 32 && cls === BPF_ALU64);
        expectForm(insn, ok, () => `movsx: expected a width of 8, 16${cls === BPF_ALU64 ? " or 32" : ""}, got ${off}`);
      } else if (code === BPF_DIV || code === BPF_MOD) {
        expectForm(insn, off === 0 || off === 1, () => `expected off 0 (unsigned) or 1 (signed), got ${off}`);
      } else zero(insn, "off");
      return;
    case BPF_JMP:
    case BPF_JMP32:
      if (opcode === OP_JA) zero(insn, "dst", "src", "imm");
      else if (opcode === OP_GOTOL) zero(insn, "dst", "src", "off");
      else if (opcode === OP_EXIT) zero(insn, "dst", "src", "off", "imm");
      else if (opcode === OP_CALLX) zero(insn, "src", "off", "imm");
      else if (opcode === OP_MAY_GOTO) zero(insn, "dst", "src", "imm");
      else if (opcode === OP_CALL) {
        zero(insn, "dst");
        expectForm(insn, src <= BPF_PSEUDO_KFUNC_CALL, () => `call kind: expected 0, 1 or 2 in src, got ${src}`);
        if (src !== BPF_PSEUDO_KFUNC_CALL) zero(insn, "off");
      } else if (code === BPF_JA || code === BPF_CALL || code === BPF_EXIT || code > BPF_JSLE) unknownInsn(insn);
      else zero(insn, isX ? "imm" : "src");
      return;
    case BPF_LD:
      if (opcode === OP_LDDW) {
        writesDst(insn);
        zero(insn, "off");
        expectForm(insn, src <= BPF_PSEUDO_MAP_IDX_VALUE, () => `lddw kind: expected 0 to 6 in src, got ${src}`);
      } else if ((opcode & SIZE_MASK) === BPF_DW) unknownInsn(insn);
      else if ((opcode & MODE_MASK) === BPF_ABS) zero(insn, "dst", "src", "off");
      else if ((opcode & MODE_MASK) === BPF_IND) zero(insn, "dst", "off");
      else unknownInsn(insn);
      return;
    case BPF_LDX:
      writesDst(insn);
      if ((opcode & MODE_MASK) === BPF_MEMSX && (opcode & SIZE_MASK) === BPF_DW) unknownInsn(insn);
      if ((opcode & MODE_MASK) !== BPF_MEM && (opcode & MODE_MASK) !== BPF_MEMSX) unknownInsn(insn);
      zero(insn, "imm");
      return;
    case BPF_ST:
      if ((opcode & MODE_MASK) !== BPF_MEM) unknownInsn(insn);
      zero(insn, "src");
      return;
    case BPF_STX:
      if ((opcode & MODE_MASK) === BPF_MEM) zero(insn, "imm");
      else if ((opcode & MODE_MASK) === BPF_ATOMIC) checkAtomic(insn);
      else unknownInsn(insn);
  }
}

type Field = "dst" | "src" | "off" | "imm";

/** The message is made only when it is needed: this runs several times for every insn of every load. */
function expectForm(insn: Insn, ok: boolean, what: () => string): void {
  if (!ok) throw new InsnError(`opcode ${hex(insn.opcode)}: ${what()}`, insn.pc);
}

function unknownInsn({ opcode, pc }: Insn): never {
  throw new UnsupportedError(`insn ${hex(opcode)}`, `slot ${pc}: opcode ${hex(opcode)}: no such instruction`);
}

function writesDst(insn: Insn): void {
  expectForm(insn, insn.dst !== BPF_REG_FP, () => "the frame pointer r10 is read-only");
}

function zero(insn: Insn, ...fields: readonly Field[]): void {
  for (const f of fields) expectForm(insn, insn[f] === 0, () => `reserved field ${f}: expected 0, got ${insn[f]}`);
}

function checkAtomic(insn: Insn): void {
  const size = insn.opcode & SIZE_MASK;
  const isOrdered = insn.imm === BPF_LOAD_ACQ || insn.imm === BPF_STORE_REL;
  const isKnown = isOrdered || insn.imm === BPF_XCHG || insn.imm === BPF_CMPXCHG || isPlainAtomic(insn.imm);
  const isNarrow = size === BPF_B || size === BPF_H;
  if (!isKnown || (isNarrow && !isOrdered)) {
    throw new UnsupportedError(
      `atomic ${hex(insn.imm)}`,
      `slot ${insn.pc}: atomic operation ${hex(insn.imm)} on ${sizeBytes(insn.opcode)} bytes: no such instruction`,
    );
  }
  const written =
    insn.imm === BPF_LOAD_ACQ ? insn.dst : insn.imm & BPF_FETCH && insn.imm !== BPF_CMPXCHG ? insn.src : 0;
  if (written === BPF_REG_FP) throw new InsnError("the frame pointer r10 is read-only", insn.pc);
}

function isPlainAtomic(imm: number): boolean {
  const plain = imm & ~BPF_FETCH;
  return plain === 0x00 || plain === 0x40 || plain === 0x50 || plain === 0xa0;
}

/** Bytes that a load or store opcode accesses. */
export function sizeBytes(opcode: number): 1 | 2 | 4 | 8 {
  const size = opcode & SIZE_MASK;
  return size === BPF_W ? 4 : size === BPF_H ? 2 : size === BPF_B ? 1 : 8;
}

function hex(n: number): string {
  return `0x${(n >>> 0).toString(16).padStart(2, "0")}`;
}

/** True for an access through dst (stores, atomics); loads go through src. */
export function isStoreClass(opcode: number): boolean {
  const cls = opcode & CLASS_MASK;
  return cls === BPF_ST || cls === BPF_STX;
}
