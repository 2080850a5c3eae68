/**
 * What the programmer calls a register's value. An object file says for each insn which source line it is of, not which
 * variable a register holds: the name is read off the lines. A line that made the value and assigns to a name that the
 * refused line uses has named it; else the one name that the refused line uses as a pointer.
 */
import { BPF_MEM, BPF_X, CLASS_MASK, type Insn, MODE_MASK, OP_MASK } from "../../isa/index.ts";
import { type LineInfo, lineAt, type ProgramSpec } from "../../object/index.ts";
import { usesOf } from "../cfg/cfg.ts";
import { isPacket, isPointer, Kind, type Reg } from "../domain/reg.ts";
import type { Visited } from "./replay.ts";

const BPF_MOV = 0xb0;
const BPF_ADD = 0x00;
const NAME = "[A-Za-z_]\\w*";
const ASSIGNED = new RegExp(`(?:^|[\\s(*,;])(${NAME})(?:\\s*:\\s*[\\w<>|. ]+)?\\s*(?:[-+|&]|<<|>>)?=(?![=>])`);
/** Names that C uses as pointers, and names that TypeScript takes members or elements of. */
const POINTERS = new RegExp(`(${NAME})\\s*(?:->|\\[)|[*]\\s*(${NAME})`, "g");
const MEMBERS = new RegExp(`(${NAME})\\s*(?:\\.|\\[)()`, "g");
/** Words of the language and of our assembly that stand where a name could. */
const NO_NAMES =
  /^(?:r\d+|w\d+|u8|u16|u32|u64|s8|s16|s32|__u8|__u16|__u32|__u64|void|char|int|long|struct|ctx|if|return)$/;

/** A name, and how far the register has moved on from what it names. */
export interface Named {
  readonly name: string;
  readonly distance: number;
}

/** The name of register `register` at the last insn of the path; undefined when the lines do not tell. */
export function nameOf(program: ProgramSpec, trace: readonly Visited[], register: number): Named | undefined {
  const last = trace[trace.length - 1];
  const here = last && lineAt(program, last.insn.pc);
  if (!last || !here) return undefined;
  const value = last.regs[register]!;
  const used = here.text;
  let named: Named | undefined;
  for (const { line, made } of madeOn(program, trace, register)) {
    // What the refused line assigns is its result, not what it uses.
    if (line.line === here.line && line.file === here.file) continue;
    const name = ASSIGNED.exec(line.text)?.[1];
    if (!name || NO_NAMES.test(name)) continue;
    const found = { name, distance: made.id === value.id ? value.off - made.off : Number.NaN };
    if (new RegExp(`\\b${name}\\b`).test(used)) return found;
    named ??= found;
  }
  const candidates = new Set<string>();
  if (!isPointer(value)) return named;
  for (const [, before, after] of used.matchAll(here.file.endsWith(".ts") ? MEMBERS : POINTERS)) {
    const name = (before || after)!;
    if (!NO_NAMES.test(name)) candidates.add(name);
  }
  // How a packet pointer of the line relates to the register is not known, and distances matter.
  if (named && isPacket(value)) return Number.isNaN(named.distance) ? undefined : named;
  return candidates.size === 1 ? { name: [...candidates][0]!, distance: 0 } : named;
}

/** Lines of the insns that the value went through, newest first: moves, additions, spills and fills are gone back. */
function* madeOn(
  program: ProgramSpec,
  trace: readonly Visited[],
  register: number,
): Iterable<{ readonly line: LineInfo; readonly made: Reg }> {
  const depth = trace[trace.length - 1]!.depth;
  let wanted = register;
  let slot: number | undefined;
  for (let i = trace.length - 2; i >= 0; i--) {
    const { insn, regs, depth: at } = trace[i]!;
    if (at !== depth) continue;
    if (slot !== undefined) {
      if ((insn.opcode & CLASS_MASK) !== 3 || stackSlot(insn, regs[insn.dst]!) !== slot) continue;
      wanted = insn.src;
      slot = undefined;
      continue;
    }
    if (((usesOf(insn).writes >> wanted) & 1) === 0) continue;
    const line = lineAt(program, insn.pc);
    if (line?.line) yield { line, made: trace[i + 1]!.regs[wanted]! };
    const cls = insn.opcode & CLASS_MASK;
    const op = insn.opcode & OP_MASK;
    if (cls === 1 && (insn.opcode & MODE_MASK) === BPF_MEM) slot = stackSlot(insn, regs[insn.src]!);
    else if (cls === 7 && op === BPF_MOV && insn.opcode & BPF_X) wanted = insn.src;
    else if (cls !== 7 || op !== BPF_ADD) return;
    if (cls === 1 && slot === undefined) return;
  }
}

function stackSlot(insn: Insn, base: Visited["regs"][number]): number | undefined {
  if (base.kind !== Kind.STACK || !base.val.isConst) return undefined;
  return (base.off + insn.off + Number(base.val.smin)) >> 3;
}
