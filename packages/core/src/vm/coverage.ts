/** Which insns, branches and source lines ran: counts by slot, and the lcov form that editors and CI read. */
import {
  BPF_JMP,
  BPF_JMP32,
  CLASS_MASK,
  decode,
  type Insn,
  OP_GOTOL,
  OP_JA,
  OP_MASK,
  OP_MAY_GOTO,
} from "../isa/index.ts";
import { lineAt, type ProgramSpec } from "../object/index.ts";

export class Coverage {
  /** Executions of each slot (an lddw's second slot stays 0). */
  readonly insns: Uint32Array;
  /** Of each conditional jump's slot: how often it was taken and not taken. */
  readonly taken: Uint32Array;
  readonly notTaken: Uint32Array;

  constructor(slots: number) {
    this.insns = new Uint32Array(slots);
    this.taken = new Uint32Array(slots);
    this.notTaken = new Uint32Array(slots);
  }

  /** Counts one executed insn; `next` is the slot after it. */
  record(insn: Insn, next: number): void {
    this.insns[insn.pc]!++;
    if (!isConditional(insn)) return;
    if (next === insn.pc + 1 && insn.off !== 0) this.notTaken[insn.pc]!++;
    else this.taken[insn.pc]!++;
  }

  /** Executions of each source line: the most of any of its insns. By file, then line. */
  lines(spec: ProgramSpec): Map<string, Map<number, number>> {
    const files = new Map<string, Map<number, number>>();
    for (const info of spec.lineInfo) {
      let lines = files.get(info.file);
      if (!lines) files.set(info.file, (lines = new Map()));
      lines.set(info.line, Math.max(lines.get(info.line) ?? 0, 0));
    }
    for (let pc = 0; pc < this.insns.length; pc++) {
      const info = lineAt(spec, pc);
      const lines = info && files.get(info.file);
      if (lines) lines.set(info.line, Math.max(lines.get(info.line) ?? 0, this.insns[pc]!));
    }
    return files;
  }

  /** How many insns, ways of conditional jumps and source lines ran, each of how many. */
  summary(spec: ProgramSpec): Record<"insns" | "branches" | "lines", readonly [ran: number, of: number]> {
    const insns = decode(spec.code);
    const ways = insns.filter(isConditional).flatMap(({ pc }) => [this.taken[pc]!, this.notTaken[pc]!]);
    const lines = [...this.lines(spec).values()].flatMap((file) => [...file.values()]);
    const ran = (counts: readonly number[]): readonly [number, number] => [
      counts.filter((n) => n > 0).length,
      counts.length,
    ];
    return { insns: ran(insns.map(({ pc }) => this.insns[pc]!)), branches: ran(ways), lines: ran(lines) };
  }

  /** One lcov record a source file. Source: geninfo(1), "FILES". */
  lcov(spec: ProgramSpec): string {
    const out: string[] = [];
    const branches = decode(spec.code).filter(isConditional);
    for (const [file, lines] of this.lines(spec)) {
      out.push(`TN:${spec.name}`, `SF:${file}`);
      let found = 0;
      let hit = 0;
      for (const insn of branches) {
        const { pc } = insn;
        const info = lineAt(spec, pc);
        if (info?.file !== file) continue;
        const ways = [this.taken[pc]!, this.notTaken[pc]!];
        const ran = ways[0]! + ways[1]! > 0;
        // A branch that was never reached has no count, which is another thing than 0.
        ways.forEach((count, way) => void out.push(`BRDA:${info.line},${pc},${way},${ran ? count : "-"}`));
        found += 2;
        hit += ways.filter((count) => count > 0).length;
      }
      out.push(`BRF:${found}`, `BRH:${hit}`);
      const sorted = [...lines].sort(([a], [b]) => a - b);
      for (const [line, count] of sorted) out.push(`DA:${line},${count}`);
      out.push(`LF:${sorted.length}`, `LH:${sorted.filter(([, count]) => count > 0).length}`, "end_of_record");
    }
    return out.length ? `${out.join("\n")}\n` : "";
  }
}

function isConditional(insn: Insn): boolean {
  const cls = insn.opcode & CLASS_MASK;
  if (cls !== BPF_JMP && cls !== BPF_JMP32) return false;
  if (insn.opcode === OP_MAY_GOTO) return true;
  const code = insn.opcode & OP_MASK;
  return insn.opcode !== OP_JA && insn.opcode !== OP_GOTOL && code !== 0x80 && code !== 0x90;
}
