/** Which functions of a program may move packet data, so that pointers into it are worth nothing afterwards. */
import { BPF_PSEUDO_FUNC, OP_CALL, OP_LDDW } from "../../isa/index.ts";
import { helperById, type Reloc } from "../../object/index.ts";
import { calledPc } from "../cfg/cfg.ts";
import { isPseudoCall, type Program } from "../cfg/program.ts";

/** The kernel function that moves packet data. Source: kernel/bpf/verifier.c `bpf_is_kfunc_pkt_changing`. */
const PULLS = "bpf_xdp_pull_data";

/**
 * Whether the function at `start`, or one that it calls, may move packet data. Any kernel function may, unless `relocs`
 * say which ones are called.
 */
export function changesPacket(program: Program, start: number, progType: number, relocs?: readonly Reloc[]): boolean {
  const { insns, subprogOf } = program;
  const seen = new Set<number>();
  const work = [start];
  for (let from = work.pop(); from !== undefined; from = work.pop()) {
    if (seen.has(from)) continue;
    seen.add(from);
    for (let pc = from; pc < subprogOf.length && subprogOf[pc] === from; pc++) {
      const insn = insns[pc];
      if (!insn) continue;
      if (isPseudoCall(insn) || (insn.opcode === OP_LDDW && insn.src === BPF_PSEUDO_FUNC)) work.push(calledPc(insn));
      else if (insn.opcode !== OP_CALL) continue;
      else if (insn.src === 0 ? helperById(insn.imm, progType)?.changesPacket : pulls(relocs, pc)) return true;
    }
  }
  return false;
}

function pulls(relocs: readonly Reloc[] | undefined, at: number): boolean {
  return !relocs || relocs.some(({ kind, name, pc }) => kind === "kfunc" && pc === at && name === PULLS);
}
