/**
 * Why: the part of a refused path that matters. Going back from the refused insn, an insn matters when it made a value
 * that is needed, a jump when it compared one. What is left is the story to tell, with the values as they were then.
 */
import {
  BPF_MEM,
  BPF_PSEUDO_CALL,
  BPF_STX,
  BPF_X,
  CLASS_MASK,
  type Insn,
  isJump,
  MODE_MASK,
  OP_CALL,
  OP_EXIT,
  OP_GOTOL,
  OP_JA,
  OP_MAY_GOTO,
} from "../../isa/index.ts";
import { usesOf } from "../cfg/cfg.ts";
import { accessSize } from "../cfg/program.ts";
import { isPacket, Kind, type Reg } from "../domain/reg.ts";
import { formatReg } from "./format.ts";
import type { Visited } from "./replay.ts";

/** One step of the story. */
export interface CauseStep {
  readonly pc: number;
  /** A jump's direction; undefined for other insns. */
  readonly taken: boolean | undefined;
  /** What the registers that matter held before the insn: `r2=pkt(off=14,r=0)`. */
  readonly before: string;
}

const MAX_STEPS = 24;

/** The steps that lead to the refusal, first one first; the refused insn is the last. */
export function explain(trace: readonly Visited[], register: number | undefined): CauseStep[] {
  const last = trace[trace.length - 1];
  if (!last) return [];
  const slice = new Slice(last.depth);
  slice.want(register === undefined ? usesOf(last.insn).reads : 1 << register);
  const about = register === undefined ? undefined : last.regs[register];
  const steps: CauseStep[] = [describe(last, slice.wanted)];
  for (let i = trace.length - 2; i >= 0 && steps.length < MAX_STEPS; i--) {
    const visited = trace[i]!;
    const after = trace[i + 1]!;
    const wanted = slice.wanted;
    if (slice.matters(visited, after, about)) steps.push(describe(visited, wanted | usesOf(visited.insn).reads));
  }
  return steps.reverse();
}

function describe({ insn, regs, taken }: Visited, registers: number): CauseStep {
  const reads = usesOf(insn).reads & registers;
  const parts: string[] = [];
  regs.forEach((r, i) => {
    if ((reads >> i) & 1 && i !== 10 && r.kind !== Kind.NOT_INIT) parts.push(`r${i}=${formatReg(r)}`);
  });
  return { pc: insn.pc, taken: isConditional(insn) ? taken : undefined, before: parts.join(" ") };
}

function isConditional(insn: Insn): boolean {
  return isJump(insn) && insn.opcode !== OP_JA && insn.opcode !== OP_GOTOL && insn.opcode !== OP_MAY_GOTO;
}

/** Registers, stack slots and frame that are needed at some point of the walk back. */
class Slice {
  wanted = 0;
  readonly #slots = new Set<number>();
  #depth: number;

  constructor(depth: number) {
    this.#depth = depth;
  }

  want(registers: number): void {
    this.wanted |= registers & ~(1 << 10);
  }

  /** Whether the insn is part of the story; then what it needs is wanted in place of what it gave. */
  matters({ insn, depth, regs }: Visited, after: Visited, about: Reg | undefined): boolean {
    if (insn.opcode === OP_CALL && insn.src === BPF_PSEUDO_CALL && after.depth > depth && this.#depth > depth) {
      // Arguments of the function come from its caller's r1 to r5, which stay wanted as they are.
      this.#depth = depth;
      this.wanted &= 0x3e;
      return this.wanted !== 0;
    }
    if (insn.opcode === OP_EXIT && after.depth < depth && this.wanted & 1) {
      this.#depth = depth;
      this.wanted = 1;
      return true;
    }
    if (depth !== this.#depth) return false;
    const { reads, writes } = usesOf(insn);
    if (isConditional(insn)) {
      const compared = reads & ~(1 << 10);
      const related = (compared & this.wanted) !== 0 || this.#sameObject(insn, regs, about);
      if (related) this.want(compared);
      return related;
    }
    if (this.#storesWanted(insn, regs)) {
      if ((insn.opcode & CLASS_MASK) === BPF_STX) this.want(1 << insn.src);
      return true;
    }
    if ((writes & this.wanted) === 0) return false;
    this.wanted &= ~writes;
    // What a helper was given says little about what it gave.
    if (insn.opcode !== OP_CALL) this.want(reads);
    this.#loads(insn, regs);
    return true;
  }

  /** A comparison of another pointer with the same packet base, or of the same lookup's result. */
  #sameObject(insn: Insn, regs: readonly Reg[], about: Reg | undefined): boolean {
    if (!about) return false;
    const sides = (insn.opcode & BPF_X) !== 0 ? [regs[insn.dst]!, regs[insn.src]!] : [regs[insn.dst]!];
    return sides.some(
      (r) => r.kind === about.kind && (isPacket(r) ? r.id === about.id : about.id !== 0 && r.id === about.id),
    );
  }

  /** A fill: the slot that it read is wanted instead. */
  #loads(insn: Insn, regs: readonly Reg[]): void {
    const base = regs[insn.src]!;
    const isLoad = (insn.opcode & CLASS_MASK) === 1 && (insn.opcode & MODE_MASK) === BPF_MEM;
    if (!isLoad || base.kind !== Kind.STACK || !base.val.isConst) return;
    this.#slots.add((base.off + insn.off + Number(base.val.smin)) >> 3);
  }

  #storesWanted(insn: Insn, regs: readonly Reg[]): boolean {
    const cls = insn.opcode & CLASS_MASK;
    if ((cls !== 2 && cls !== BPF_STX) || (insn.opcode & MODE_MASK) !== BPF_MEM) return false;
    const base = regs[insn.dst]!;
    if (base.kind !== Kind.STACK || !base.val.isConst) return false;
    const slot = (base.off + insn.off + Number(base.val.smin)) >> 3;
    if (!this.#slots.has(slot)) return false;
    if (accessSize(insn.opcode) === 8) this.#slots.delete(slot);
    return true;
  }
}
