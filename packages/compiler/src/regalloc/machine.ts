/**
 * The machine form: eBPF instructions over virtual registers, in blocks. Registers 0 to 10 are the machine's own,
 * those from FIRST_VIRTUAL on are to be given one of r0 to r9. Two-address already: an ALU operation changes its dst.
 */
import {
  BPF_ALU,
  BPF_ALU64,
  BPF_ATOMIC,
  BPF_CALL,
  BPF_END,
  BPF_EXIT,
  BPF_FETCH,
  BPF_JA,
  BPF_JMP,
  BPF_JMP32,
  BPF_LD,
  BPF_LDX,
  BPF_MOV,
  BPF_NEG,
  BPF_ST,
  BPF_STX,
  BPF_X,
  CLASS_MASK,
  MODE_MASK,
  OP_LDDW,
  OP_MASK,
} from "@ebplane/core/isa";
import type { AsmBlock, Callee, CoreSite, DataObject, Region, Slot } from "../ir/index.ts";

export const FIRST_VIRTUAL = 16;
export const MOV64_REG = BPF_ALU64 | BPF_MOV | BPF_X;
export const MOV64_IMM = BPF_ALU64 | BPF_MOV;
export const MOV32_IMM = BPF_ALU | BPF_MOV;
/** A pseudo opcode: dst = r10 + offset of `slot` + off; emitted as mov and add. */
export const LEA = 0x100;
/** A pseudo opcode: the instructions of `asm`, put in its place when all registers are given. */
export const ASM = 0x200;

export interface MInsn {
  opcode: number;
  dst: number;
  src: number;
  off: number;
  imm: number;
  /** High half of an lddw. */
  imm2: number;
  /** Taken target of a conditional jump, or target of `ja`. */
  target: MBlock | undefined;
  /** Map whose lddw this is. */
  map: string | undefined;
  /** Global data whose lddw this is. */
  data: DataObject | undefined;
  /** The function that is called, or whose address this lddw is. */
  callee: Callee | undefined;
  /** The function outside that is called. */
  external: string | undefined;
  asm: AsmBlock | undefined;
  /** The number that the kernel has takes the place of `imm`, or of a load's `off`. */
  core: CoreSite | undefined;
  /** Stack object that LEA is of, or that a load or store with base r10 goes to. */
  slot: Slot | undefined;
  /** A load's or store's memory where it is not plain: the kernel wants one kind of it from an instruction. */
  memory: Region["kind"] | undefined;
  /** Arguments of a call. */
  args: number;
  at: number;
}

export interface MBlock {
  readonly id: number;
  insns: MInsn[];
  /** Where control goes when no jump at the end is taken. */
  next: MBlock | undefined;
  /** Nesting depth of loops. */
  depth: number;
}

export function minsn(opcode: number, at: number, fields: Partial<Omit<MInsn, "opcode" | "at">> = {}): MInsn {
  return {
    opcode,
    dst: 0,
    src: 0,
    off: 0,
    imm: 0,
    imm2: 0,
    target: undefined,
    map: undefined,
    data: undefined,
    callee: undefined,
    external: undefined,
    asm: undefined,
    core: undefined,
    slot: undefined,
    memory: undefined,
    args: 0,
    ...fields,
    at,
  };
}

const CALLER_SAVED = [0, 1, 2, 3, 4, 5];

/** Registers that the instruction reads. */
export function usesOf(i: MInsn): number[] {
  if (i.opcode === LEA) return [];
  if (i.asm) return CALLER_SAVED.slice(1, 1 + i.args);
  const cls = i.opcode & CLASS_MASK;
  switch (cls) {
    case BPF_ALU:
    case BPF_ALU64: {
      const op = i.opcode & OP_MASK;
      if (op === BPF_MOV) return i.opcode & BPF_X ? [i.src] : [];
      if (op === BPF_NEG || op === BPF_END) return [i.dst];
      return i.opcode & BPF_X ? [i.dst, i.src] : [i.dst];
    }
    case BPF_LD:
      return [];
    case BPF_LDX:
      return [i.src];
    case BPF_ST:
      return [i.dst];
    case BPF_STX:
      return [i.dst, i.src];
    default: {
      const op = i.opcode & OP_MASK;
      if (op === BPF_EXIT && cls === BPF_JMP) return [0];
      if (op === BPF_CALL && cls === BPF_JMP) return CALLER_SAVED.slice(1, 1 + i.args);
      if (op === BPF_JA) return [];
      return i.opcode & BPF_X ? [i.dst, i.src] : [i.dst];
    }
  }
}

/** Registers that the instruction writes; a call's include all that it leaves undefined. */
export function defsOf(i: MInsn): readonly number[] {
  if (i.opcode === LEA) return [i.dst];
  if (i.asm) return i.asm.clobbers;
  switch (i.opcode & CLASS_MASK) {
    case BPF_ALU:
    case BPF_ALU64:
    case BPF_LDX:
      return [i.dst];
    case BPF_LD:
      return [i.dst];
    case BPF_STX:
      return (i.opcode & MODE_MASK) === BPF_ATOMIC && i.imm & BPF_FETCH ? [i.src] : [];
    case BPF_JMP:
      return (i.opcode & OP_MASK) === BPF_CALL ? CALLER_SAVED : [];
    default:
      return [];
  }
}

export function isMove(i: MInsn): boolean {
  return i.opcode === MOV64_REG;
}

export function isCondJump(i: MInsn): boolean {
  const cls = i.opcode & CLASS_MASK;
  if ((cls !== BPF_JMP && cls !== BPF_JMP32) || i.opcode === LEA || i.asm) return false;
  const op = i.opcode & OP_MASK;
  return op !== BPF_CALL && op !== BPF_EXIT && op !== BPF_JA;
}

/** The instruction makes the same value wherever it stands. */
export function isRematerializable(i: MInsn): boolean {
  return i.opcode === LEA || i.opcode === MOV64_IMM || i.opcode === MOV32_IMM || i.opcode === OP_LDDW;
}

export function machineSuccessors(b: MBlock): MBlock[] {
  const out: MBlock[] = [];
  for (const i of b.insns) if (i.target) out.push(i.target);
  if (b.next) out.push(b.next);
  return out;
}
