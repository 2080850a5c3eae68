/**
 * Walks a refused path once more, alone: at every fork the choice that led there is taken again. Gives each insn of the
 * path with the registers before it, which the first walk does not keep.
 */
import type { Insn } from "../../isa/index.ts";
import { type Context, Refusal } from "../context.ts";
import type { Reg } from "../domain/reg.ts";
import type { PathStep } from "../domain/state.ts";
import { step } from "../step.ts";

export interface Visited {
  readonly insn: Insn;
  /** Depth of calls, 0 in the program itself. */
  readonly depth: number;
  /** Registers before the insn. */
  readonly regs: readonly Reg[];
  /** Of a fork: whether the jump was taken. */
  readonly taken: boolean | undefined;
}

/** At most this many insns of a path are gone through again. */
const LIMIT = 200_000;

/** `cx` is fresh. The last entry is the insn that was refused. */
export function replay(cx: Context, path: PathStep | undefined): Visited[] {
  const choices: PathStep[] = [];
  for (let s = path; s; s = s.prev) choices.push(s);
  const trace: Visited[] = [];
  let taken: boolean | undefined;
  try {
    while (trace.length < LIMIT) {
      const insn = cx.program.insns[cx.pc]!;
      const entry = { insn, depth: cx.state.frames.length - 1, regs: cx.frame.regs.slice(), taken: undefined };
      trace.push(entry);
      const next = step(cx, insn);
      const queued = cx.pending.pop();
      cx.pending.length = 0;
      const choice = choices[choices.length - 1];
      // A decided jump is no fork, wherever it stands.
      taken = queued && choice?.pc === insn.pc ? choice.taken : undefined;
      if (taken !== undefined) choices.pop();
      trace[trace.length - 1] = { ...entry, taken };
      if (queued && taken) {
        cx.state = queued.state;
        cx.pc = queued.pc;
      } else if (next !== undefined) cx.pc = next;
      else break;
    }
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
  }
  return trace;
}
