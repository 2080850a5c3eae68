/**
 * Code to lines of text: one an instruction, with source lines before the instructions that they gave, labels or
 * distances, and names in place of relocated numbers.
 */
import {
  BPF_PSEUDO_CALL,
  BPF_PSEUDO_FUNC,
  decode,
  type Insn,
  isJump,
  jumpTarget,
  OP_CALL,
  OP_LDDW,
} from "../isa/index.ts";
import type { FuncInfo, LineInfo, Reloc } from "../object/index.ts";
import { formatInsn, type Notation } from "./format.ts";

export interface DisasmOptions {
  /** `kernel` when absent. */
  readonly notation?: Notation;
  readonly relocs?: readonly Reloc[];
  /** Source lines come as `; text` lines of their own. */
  readonly lineInfo?: readonly LineInfo[];
  /** Names of functions, as labels. */
  readonly funcInfo?: readonly FuncInfo[];
  /** Labels for jump targets (`L12:`) in place of distances. Functions get labels in any case. */
  readonly labels?: boolean;
}

/** One line. `insn` is absent on labels and source lines; `pc` is then that of the instruction that follows. */
export interface DisasmLine {
  readonly pc: number;
  readonly text: string;
  readonly insn?: Insn;
}

/**
 * The lines, in order. Joined by newlines they assemble back to the same code and relocs.
 * @throws InsnError as `decode` does.
 */
export function disassemble(code: Uint8Array, options: DisasmOptions = {}): DisasmLine[] {
  const insns = decode(code);
  const notation = options.notation ?? "kernel";
  const references = new Map(options.relocs?.map((r) => [r.pc, referenceText(r)]));
  const labels = labelNames(insns, options);
  const source = new Map(options.lineInfo?.map((l) => [l.pc, l.text]));
  const symbols = {
    reference: (insn: Insn) => references.get(insn.pc),
    label: (pc: number) => labels.get(pc),
  };
  const lines: DisasmLine[] = [];
  for (const insn of insns) {
    const { pc } = insn;
    const label = labels.get(pc);
    if (label !== undefined) lines.push({ pc, text: `${label}:` });
    const from = source.get(pc);
    if (from) lines.push({ pc, text: `; ${from.trim()}` });
    lines.push({ pc, insn, text: formatInsn(insn, notation, symbols) });
  }
  return lines;
}

function referenceText(r: Reloc): string {
  switch (r.kind) {
    case "map":
      return r.name;
    case "mapValue":
      return `${r.name}][0]${r.offset < 0 ? r.offset : `+${r.offset}`}`;
    case "kfunc":
    case "ksym":
      return `${r.weak ? "?" : ""}${r.name}`;
  }
}

/** Only slots where an instruction starts get a label, so that a jump into an lddw keeps its distance. */
function labelNames(insns: readonly Insn[], options: DisasmOptions): Map<number, string> {
  const starts = new Set(insns.map((i) => i.pc));
  const labels = new Map<number, string>();
  const used = new Set<string>();
  const add = (pc: number, name: string) => {
    if (!starts.has(pc) || labels.has(pc)) return;
    const unique = used.has(name) ? `${name}_${pc}` : name;
    used.add(unique);
    labels.set(pc, unique);
  };
  for (const f of options.funcInfo ?? []) add(f.pc, f.name);
  if (!options.labels) return labels;
  for (const i of insns) {
    if (isJump(i)) add(jumpTarget(i), `L${jumpTarget(i)}`);
    else if (i.opcode === OP_CALL && i.src === BPF_PSEUDO_CALL) add(i.pc + 1 + i.imm, `func_${i.pc + 1 + i.imm}`);
    else if (i.opcode === OP_LDDW && i.src === BPF_PSEUDO_FUNC) add(i.pc + 1 + i.imm, `func_${i.pc + 1 + i.imm}`);
  }
  return labels;
}
