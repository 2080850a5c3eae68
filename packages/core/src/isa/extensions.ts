/** Instructions that are younger than Linux 5.4, by what brought them. Source: kernel/bpf/verifier.c of the versions. */
import type { Insn } from "./insn.ts";
import {
  BPF_ADDR_SPACE_CAST,
  BPF_ALU,
  BPF_ALU64,
  BPF_ATOMIC,
  BPF_DIV,
  BPF_END,
  BPF_LD,
  BPF_LDX,
  BPF_LOAD_ACQ,
  BPF_MEMSX,
  BPF_MOD,
  BPF_MOV,
  BPF_PSEUDO_FUNC,
  BPF_PSEUDO_KFUNC_CALL,
  BPF_ST,
  BPF_STORE_REL,
  BPF_STX,
  CLASS_MASK,
  MODE_MASK,
  OP_CALL,
  OP_GOTOL,
  OP_LDDW,
  OP_MASK,
  OP_MAY_GOTO,
} from "./opcodes.ts";

/** The kernel from which on there are such instructions, `major.minor`. */
export const EXTENSION_SINCE = {
  atomics: "5.12",
  functionPointers: "5.13",
  kernelFunctions: "5.13",
  v4: "6.6",
  arena: "6.9",
  mayGoto: "6.9",
  loadAcquire: "6.15",
} as const;

export type Extension = keyof typeof EXTENSION_SINCE;

/** What brought the instruction; undefined for those that Linux 5.4 has. */
export function extensionOf({ opcode, src, off, imm }: Insn): Extension | undefined {
  const op = opcode & OP_MASK;
  const signed = off !== 0 && (op === BPF_MOV || op === BPF_DIV || op === BPF_MOD);
  switch (opcode & CLASS_MASK) {
    case BPF_ALU64:
      if (op === BPF_END) return "v4";
      if (op === BPF_MOV && off === BPF_ADDR_SPACE_CAST) return "arena";
      return signed ? "v4" : undefined;
    case BPF_ALU:
      return signed ? "v4" : undefined;
    case BPF_LDX:
      return (opcode & MODE_MASK) === BPF_MEMSX ? "v4" : undefined;
    case BPF_STX:
      if ((opcode & MODE_MASK) !== BPF_ATOMIC) return undefined;
      if (imm === BPF_LOAD_ACQ || imm === BPF_STORE_REL) return "loadAcquire";
      return imm === 0 ? undefined : "atomics";
    case BPF_LD:
      return opcode === OP_LDDW && src === BPF_PSEUDO_FUNC ? "functionPointers" : undefined;
    case BPF_ST:
      return undefined;
    default:
      if (opcode === OP_GOTOL) return "v4";
      if (opcode === OP_CALL && src === BPF_PSEUDO_KFUNC_CALL) return "kernelFunctions";
      return opcode === OP_MAY_GOTO ? "mayGoto" : undefined;
  }
}
