/** What `ebplane verify` tells beyond the verdict: facts of a program as text and JSON, and all states for a viewer. */
import { helperById, lineAt, type ProgramSpec } from "@ebplane/core/object";
import { formatReg, type SmallestKernel, type State, type VerifierReport } from "@ebplane/core/verifier";

/** States that a viewer gets of one insn at most; what is beyond is counted. */
const MOST_STATES = 64;

export interface InsnStates {
  readonly pc: number;
  /** How often the walk came here. */
  readonly seen: number;
  /** Different states, in the order of the walk: registers and stack slots in the words of the kernel's log. */
  readonly states: readonly Readonly<Record<string, string>>[];
}

/** Collects the states of a walk by insn. */
export class StateViewer {
  readonly #insns = new Map<number, { seen: number; states: Map<string, Record<string, string>> }>();

  observe(pc: number, state: State): void {
    let at = this.#insns.get(pc);
    if (!at) {
      at = { seen: 0, states: new Map() };
      this.#insns.set(pc, at);
    }
    at.seen++;
    if (at.states.size >= MOST_STATES) return;
    const text = textOf(state);
    at.states.set(JSON.stringify(text), text);
  }

  list(): InsnStates[] {
    return [...this.#insns]
      .sort(([a], [b]) => a - b)
      .map(([pc, { seen, states }]) => ({ pc, seen, states: [...states.values()] }));
  }
}

function textOf(state: State): Record<string, string> {
  const out: Record<string, string> = {};
  const { regs, stack } = state.frame;
  if (state.frames.length > 1) out.frame = String(state.frames.length - 1);
  regs.forEach((r, i) => {
    if (i < 10 && r.kind !== 0) out[`r${i}`] = formatReg(r);
  });
  stack.forEach((slot, i) => {
    if (slot) out[`fp-${(i + 1) * 8}`] = slot.reg ? formatReg(slot.reg) : bytesOf(slot.bytes);
  });
  return out;
}

/** Eight letters as the kernel writes them, highest address first. */
function bytesOf(bytes: number): string {
  let out = "";
  for (let k = 7; k >= 0; k--) out += "?rm0dif"[(bytes >>> (k * 4)) & 15];
  return out;
}

/** The JSON of a program's facts. */
export function factsJson(p: ProgramSpec, report: VerifierReport, smallest: SmallestKernel | undefined) {
  const { facts } = report;
  const decided: { pc: number; always: "jumps" | "falls through" }[] = [];
  facts.outcomes.forEach((outcome, pc) => {
    if (outcome === 1 || outcome === 2) decided.push({ pc, always: outcome === 2 ? "jumps" : "falls through" });
  });
  return {
    insns: facts.insns ?? null,
    decidedBranches: decided,
    deadInsns: facts.dead,
    stack: { total: report.stackDepth, functions: [...facts.frames].map(([pc, bytes]) => ({ pc, bytes })) },
    longestPath: facts.longestPath ?? null,
    loops: (facts.loops ?? []).map(({ pc, bound }) => ({
      pc,
      line: lineAt(p, pc)?.line ?? null,
      bound: bound ?? null,
    })),
    helpers: facts.helpers.map((id) => `bpf_${helperById(id, p.type)?.name ?? id}`),
    maps: facts.maps,
    smallestKernel: smallest ?? null,
  };
}

/** The facts that fit on a few lines. */
export function factsText(p: ProgramSpec, report: VerifierReport, smallest: SmallestKernel | undefined): string[] {
  const f = factsJson(p, report, smallest);
  const lines = [
    `longest run: ${f.longestPath === null ? "no number known" : `${f.longestPath} insns`}; stack: ${f.stack.total} bytes`,
  ];
  for (const { pc, line, bound } of f.loops) {
    lines.push(
      `loop at insn ${pc}${line ? ` (line ${line})` : ""}: ${bound === null ? "ends, no number known" : `at most ${bound} rounds`}`,
    );
  }
  if (f.helpers.length) lines.push(`helpers: ${f.helpers.join(", ")}`);
  if (f.maps.length) lines.push(`maps: ${f.maps.join(", ")}`);
  if (f.deadInsns.length)
    lines.push(
      `never reached: ${f.deadInsns.length} insns (${f.deadInsns.slice(0, 12).join(", ")}${f.deadInsns.length > 12 ? " …" : ""})`,
    );
  if (smallest?.kernel) {
    const { before } = smallest;
    const why = before ? `: ${before.kernel} says ${before.message}` : ", the oldest one known here";
    lines.push(`smallest kernel: ${smallest.kernel}${why}`);
  }
  return lines;
}
