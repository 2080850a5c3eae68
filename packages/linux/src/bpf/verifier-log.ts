/**
 * The kernel verifier's log: which instruction it stopped at and what it said there.
 * Source: kernel/bpf/verifier.c `verbose`, kernel/bpf/log.c.
 */

export interface VerifierVerdict {
  /** The verifier's complaint, one sentence without a full stop; "" when the log holds none. */
  readonly message: string;
  /** The slot of the last instruction that was walked, or undefined when it never came to walk. */
  readonly pc: number | undefined;
}

/** Lines that describe the walk or its cost, not what is wrong. */
const NOISE = [
  /^processed \d+ insns/,
  /^verification time /,
  /^stack depth /,
  /^func#\d+ @\d+/,
  /^\d+: \([0-9a-f]{2}\)/,
  /^\d+: [A-Z]\d*.*=/,
  /^\d+: frame\d+/,
  /^from \d+ to \d+/,
  /^\d+: safe$/,
  /^from .*: safe$/,
  /^; /,
  /^mark_precise:/,
  /^regs=.* before /,
  /^parent /,
  /^last_idx /,
  /^first_idx /,
  /^propagating /,
  /^ R\d+/,
  /^R\d+_?w?=/,
  /^caller:/,
  /^callee:/,
  /^returning from callee/,
  /^to caller at /,
  /^Validating .*\.\.\.$/,
  /^reg type unsupported for arg#\d+ function /,
  /^live regs before insn/,
  /^-- BEGIN PROG LOAD LOG --/,
  /^$/,
];

const INSN = /^(\d+): \([0-9a-f]{2}\) /;

/** Finds the complaint: the last line that is neither an instruction nor a state, and the instruction before it. */
export function summarizeLog(log: string): VerifierVerdict {
  const lines = log.split("\n");
  let message = "";
  let pc: number | undefined;
  for (const line of lines) {
    const insn = INSN.exec(line);
    if (insn) pc = Number(insn[1]);
    if (!NOISE.some((noise) => noise.test(line))) message = line.trim();
  }
  // "invalid insn" and CFG complaints name their place themselves: no instruction was walked.
  const named = /\binsn (\d+)\b/.exec(message);
  if (pc === undefined && named) pc = Number(named[1]);
  return { message: message.replace(/\.$/, ""), pc };
}
