/** A report as text for people: what is wrong, where, how it comes to it, what helps. */
import type { Cause, VerifierReport } from "../verify.ts";

/** Lines of a refused program's report, without its name. For an accepted one only what was taken for granted. */
export function reportText(report: VerifierReport): string[] {
  const { line, pc, rule, ruleText, fix } = report;
  const lines: string[] = report.assumed ? [`assumed: ${report.assumed}`] : [];
  if (report.verdict === "accept") return lines;
  if (line) lines.push(`${line.file}:${line.line}:${line.col}: ${line.text.trim()}`);
  lines.push(`${pc === undefined || !report.processed ? "" : `insn ${pc}: `}${report.message}`);
  if (ruleText) lines.push(`rule: ${ruleText} (${rule})`);
  const story = storyOf(report.cause);
  if (story.length > 1) {
    lines.push("how it comes to this:");
    const width = Math.min(56, Math.max(...story.map((s) => s.source.length)));
    for (const { source, notes } of story)
      lines.push(`  ${source.padEnd(width)}${notes ? `  ${notes}` : ""}`.trimEnd());
  }
  if (fix) lines.push(`fix: ${fix}`);
  return lines;
}

interface Told {
  readonly source: string;
  readonly notes: string;
}

/**
 * Steps of one source line become one; of a register only what is known last on that line is told, and nothing twice in a
 * row. Insns that the compiler gives no line go to the line that follows.
 */
function storyOf(cause: readonly Cause[]): Told[] {
  const told: Told[] = [];
  const said = new Map<string, string>();
  for (let i = 0; i < cause.length; ) {
    const start = i;
    while (i < cause.length - 1 && cause[i]!.line?.line === 0) i++;
    const first = cause[i]!;
    for (i++; i < cause.length && sameLine(first, cause[i]!); i++);
    const steps = cause.slice(start, i);
    const notes = new Map<string, string>();
    for (const { note } of steps) {
      for (const part of note ? note.split("; ") : []) notes.set(part.slice(0, part.indexOf(" ")), part);
    }
    for (const [register, note] of notes) {
      if (said.get(register) === note || / is (?:ctx|stack at fp\+0)$/.test(note)) notes.delete(register);
      said.set(register, note);
    }
    withoutCopies(notes);
    const jump = steps.findLast((step) => step.taken !== undefined);
    const { line } = first;
    const source = line ? `line ${line.line}: ${line.text.trim()}` : `insn ${first.pc}`;
    // A line that only passes the ctx on tells nothing.
    if (i < cause.length && !notes.size && !jump && steps.every(({ note }) => note)) continue;
    told.push({ source, notes: [...notes.values(), direction(jump)].filter(Boolean).join("; ") });
  }
  return told;
}

/** Of registers that hold the same, the last one is told. */
function withoutCopies(notes: Map<string, string>): void {
  const meanings = new Map<string, string>();
  for (const [register, note] of notes) {
    const meaning = note.slice(register.length);
    const before = meanings.get(meaning);
    if (before !== undefined) notes.delete(before);
    meanings.set(meaning, register);
  }
}

function sameLine(a: Cause, b: Cause): boolean {
  return a.line === undefined ? a.pc === b.pc : a.line.line === b.line?.line && a.line.file === b.line.file;
}

function direction(jump: Cause | undefined): string {
  if (!jump) return "";
  return jump.next ? `goes on at line ${jump.next.line}` : jump.taken ? "jumps" : "does not jump";
}
