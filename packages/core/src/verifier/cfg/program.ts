/**
 * The program as the verifier walks it: decoded insns by pc. An opcode that the ISA does not have is refused here; other
 * faults of form (unused fields, impossible shifts) are noted by pc and refused only when a path reaches the insn, as
 * the kernel does: it removes dead code. Nothing here depends on values.
 *
 * Source: RFC 9669 sections 4 and 5; kernel/bpf/verifier.c `check_alu_op`, `do_check`, `resolve_pseudo_ldimm64`.
 */
import { InsnError } from "../../errors/index.ts";
import {
  BPF_ABS,
  BPF_ADDR_SPACE_CAST,
  BPF_ALU,
  BPF_ALU64,
  BPF_ARSH,
  BPF_ATOMIC,
  BPF_CMPXCHG,
  BPF_DIV,
  BPF_END,
  BPF_FETCH,
  BPF_IND,
  BPF_JCOND,
  BPF_JMP,
  BPF_JMP32,
  BPF_LD,
  BPF_LDX,
  BPF_LOAD_ACQ,
  BPF_LSH,
  BPF_MEM,
  BPF_MEMSX,
  BPF_MOD,
  BPF_MOV,
  BPF_NEG,
  BPF_PSEUDO_CALL,
  BPF_PSEUDO_KFUNC_CALL,
  BPF_REG_FP,
  BPF_RSH,
  BPF_ST,
  BPF_STORE_REL,
  BPF_STX,
  BPF_X,
  BPF_XCHG,
  CLASS_MASK,
  decode,
  type Extension,
  extensionOf,
  type Insn,
  MODE_MASK,
  OP_CALL,
  OP_EXIT,
  OP_GOTOL,
  OP_JA,
  OP_LDDW,
  OP_MASK,
  OP_MAY_GOTO,
  SIZE_MASK,
  SLOT,
  slotsOf,
} from "../../isa/index.ts";
import { Refusal } from "../context.ts";
import { allows, type Profile, RULES } from "../profile.ts";

export interface Program {
  /** Slots, lddw counted twice. */
  readonly slots: number;
  /** By pc; undefined for the second slot of an lddw. */
  readonly insns: readonly (Insn | undefined)[];
  /** What is wrong with the form of the insn at a pc. */
  readonly problems: ReadonlyMap<number, string>;
  /** First pc of each function, ascending; the program itself is at 0. */
  readonly subprogs: readonly number[];
  /** By pc: states are compared and saved before this insn. */
  readonly prunePoints: Uint8Array;
  /** By pc: always save a state here (loops by helper or may_goto). */
  readonly forcePoints: Uint8Array;
  /** By pc: bit set of registers that may be read before they are written. */
  readonly live: Uint16Array;
  /** By pc: the subprog (its first pc) that the insn belongs to. */
  readonly subprogOf: Int32Array;
}

/** Bytes that a load or store insn moves. */
export function accessSize(opcode: number): 1 | 2 | 4 | 8 {
  return SIZES[(opcode & SIZE_MASK) >> 3]!;
}
const SIZES = [4, 2, 1, 8] as const;

/** Decodes and checks form; throws Refusal. */
export function decodeProgram(code: Uint8Array, profile: Profile): Pick<Program, "insns" | "problems"> {
  if (code.length === 0)
    throw new Refusal("reject", "empty", "the program has no instruction", 0, undefined, undefined);
  let list: Insn[];
  try {
    list = decode(code);
  } catch (error) {
    if (!(error instanceof InsnError)) throw error;
    throw new Refusal("reject", "encoding", error.message, error.pc, undefined, undefined);
  }
  const insns: (Insn | undefined)[] = new Array(code.length / SLOT).fill(undefined);
  if (insns.length > 1_000_000) {
    throw new Refusal(
      "reject",
      "size",
      `a program has at most 1000000 slots, this has ${insns.length}`,
      0,
      undefined,
      undefined,
    );
  }
  const problems = new Map<number, string>();
  for (const insn of list) {
    const rule = extensionOf(insn);
    const problem = formProblem(insn, rule, profile);
    const cls = insn.opcode & CLASS_MASK;
    // Looked at also where no path leads, and before 5.12 stores were.
    const newer = BY_OPCODE.has(insn.opcode) && rule !== undefined && !allows(profile, rule);
    const stores = cls === BPF_STX && !allows(profile, "atomics");
    const always = cls === BPF_LDX || insn.opcode === OP_LDDW || newer || stores;
    if (problem && (problem === unknown(insn) || always)) {
      throw new Refusal("reject", "encoding", problem, insn.pc, undefined, undefined);
    }
    if (problem) problems.set(insn.pc, problem);
    insns[insn.pc] = insn;
  }
  return { insns, problems };
}

function formProblem(insn: Insn, rule: Extension | undefined, profile: Profile): string | undefined {
  if (rule && !allows(profile, rule)) {
    return `the instruction needs Linux ${RULES[rule].since}, the profile is ${profile.kernel}`;
  }
  if (insn.dst > BPF_REG_FP) return `r${insn.dst} is no register: there are r0 to r10`;
  const cls = insn.opcode & CLASS_MASK;
  const srcIsRegister = insn.opcode !== OP_LDDW && insn.opcode !== OP_CALL;
  if (srcIsRegister && insn.src > BPF_REG_FP) return `r${insn.src} is no register: there are r0 to r10`;
  switch (cls) {
    case BPF_ALU:
    case BPF_ALU64:
      return aluProblem(insn, cls === BPF_ALU64);
    case BPF_LDX:
      return loadProblem(insn);
    case BPF_ST:
    case BPF_STX:
      return storeProblem(insn);
    case BPF_LD:
      return ldProblem(insn);
    case BPF_JMP:
    case BPF_JMP32:
      return jumpProblem(insn);
    default:
      return undefined;
  }
}

/** Instructions that are younger than 5.4 and told by their opcode alone: an older kernel has no such opcode at all. */
const BY_OPCODE: ReadonlySet<number> = new Set([BPF_ALU64 | BPF_END, OP_GOTOL, OP_MAY_GOTO]);

const RESERVED = "a field that this instruction does not use is not zero";
const unknown = (insn: Insn) => `opcode 0x${insn.opcode.toString(16).padStart(2, "0")} is no eBPF instruction`;

function aluProblem(insn: Insn, is64: boolean): string | undefined {
  const op = insn.opcode & OP_MASK;
  const byReg = (insn.opcode & BPF_X) !== 0;
  if (op > BPF_END || (byReg && (op === BPF_NEG || (op === BPF_END && is64)))) return unknown(insn);
  if (op === BPF_END) {
    return insn.src !== 0 || insn.off !== 0 || ![16, 32, 64].includes(insn.imm) ? RESERVED : undefined;
  }
  if (op === BPF_NEG) return insn.src !== 0 || insn.off !== 0 || insn.imm !== 0 ? RESERVED : undefined;
  if (byReg ? insn.imm !== 0 && !(op === BPF_MOV && insn.off === BPF_ADDR_SPACE_CAST) : insn.src !== 0) return RESERVED;
  if (op === BPF_MOV) {
    if (!byReg) return insn.off === 0 ? undefined : RESERVED;
    if (is64 && insn.off === BPF_ADDR_SPACE_CAST) return insn.imm === 1 || insn.imm === 1 << 16 ? undefined : RESERVED;
    const widths = is64 ? [0, 8, 16, 32] : [0, 8, 16];
    return insn.imm === 0 && widths.includes(insn.off) ? undefined : RESERVED;
  }
  const signed = op === BPF_DIV || op === BPF_MOD;
  if (insn.off !== 0 && !(signed && insn.off === 1)) return RESERVED;
  if (signed && !byReg && insn.imm === 0) return "division by the constant zero";
  if ((op === BPF_LSH || op === BPF_RSH || op === BPF_ARSH) && !byReg) {
    const width = is64 ? 64 : 32;
    if (insn.imm < 0 || insn.imm >= width) return `shift by ${insn.imm}: expected 0 to ${width - 1}`;
  }
  return undefined;
}

function loadProblem(insn: Insn): string | undefined {
  const mode = insn.opcode & MODE_MASK;
  if (insn.imm !== 0) return RESERVED;
  if (mode === BPF_MEM) return undefined;
  if (mode === BPF_MEMSX) return accessSize(insn.opcode) === 8 ? unknown(insn) : undefined;
  return unknown(insn);
}

function storeProblem(insn: Insn): string | undefined {
  const mode = insn.opcode & MODE_MASK;
  if ((insn.opcode & CLASS_MASK) === BPF_ST) {
    if (mode !== BPF_MEM) return unknown(insn);
    return insn.src === 0 ? undefined : RESERVED;
  }
  if (mode === BPF_MEM) return insn.imm === 0 ? undefined : RESERVED;
  if (mode !== BPF_ATOMIC) return unknown(insn);
  const size = accessSize(insn.opcode);
  if (insn.imm === BPF_LOAD_ACQ || insn.imm === BPF_STORE_REL) return undefined;
  if (size !== 4 && size !== 8) return "atomic operations work on 4 or 8 bytes";
  const plain = insn.imm & ~BPF_FETCH;
  const known =
    insn.imm === BPF_XCHG ||
    insn.imm === BPF_CMPXCHG ||
    plain === 0x00 ||
    plain === 0x40 ||
    plain === 0x50 ||
    plain === 0xa0;
  return known ? undefined : `0x${(insn.imm >>> 0).toString(16)} is no atomic operation`;
}

function ldProblem(insn: Insn): string | undefined {
  if (insn.opcode === OP_LDDW) {
    if (insn.off !== 0) return RESERVED;
    return insn.src > 6 ? `lddw kind ${insn.src} is unknown` : undefined;
  }
  const mode = insn.opcode & MODE_MASK;
  if (mode !== BPF_ABS && mode !== BPF_IND) return unknown(insn);
  if (accessSize(insn.opcode) === 8) return unknown(insn);
  if (insn.dst !== 0 || insn.off !== 0 || (mode === BPF_ABS && insn.src !== 0)) return RESERVED;
  return undefined;
}

function jumpProblem(insn: Insn): string | undefined {
  const op = insn.opcode & OP_MASK;
  if (insn.opcode === OP_CALL) {
    if (insn.dst !== 0) return RESERVED;
    if (insn.src > BPF_PSEUDO_KFUNC_CALL) return RESERVED;
    return insn.off !== 0 && insn.src !== BPF_PSEUDO_KFUNC_CALL ? RESERVED : undefined;
  }
  if (insn.opcode === OP_EXIT) return insn.imm || insn.src || insn.dst ? RESERVED : undefined;
  if (insn.opcode === OP_JA) return insn.imm || insn.src || insn.dst ? RESERVED : undefined;
  if (insn.opcode === OP_GOTOL) return insn.off || insn.src || insn.dst ? RESERVED : undefined;
  if (insn.opcode === OP_MAY_GOTO) return insn.imm || insn.src || insn.dst || insn.off === 0 ? RESERVED : undefined;
  if (op === 0 || op >= BPF_JCOND || op === 0x80 || op === 0x90) return unknown(insn);
  return (insn.opcode & BPF_X) !== 0 ? (insn.imm ? RESERVED : undefined) : insn.src ? RESERVED : undefined;
}

/** The pc after this insn. */
export function nextPc(insn: Insn): number {
  return insn.pc + slotsOf(insn);
}

export function isPseudoCall(insn: Insn): boolean {
  return insn.opcode === OP_CALL && insn.src === BPF_PSEUDO_CALL;
}
