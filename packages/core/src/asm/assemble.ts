/**
 * Assembles one program's text: a statement a line, `name:` labels on their own or before a statement. Numbers and
 * opcodes in front (`12: (b7) r0 = 1`, as a verifier log or llvm-objdump prints) are understood.
 * It checks form, not meaning. Whole objects (sections, maps) are described by specs, not by this text.
 */
import { AsmError } from "../errors/index.ts";
import { encode, type InsnInit, OP_EXIT, slotsOf } from "../isa/index.ts";
import type { LineInfo, Reloc } from "../object/index.ts";
import { Cursor, lexLine } from "./lex.ts";
import type { Ref } from "./operands.ts";
import { parseStatement } from "./parse.ts";

export interface AssembleOptions {
  /** File name for line info; "" when absent. */
  readonly file?: string;
  /** The line number of the text's first line; 1 when absent. */
  readonly firstLine?: number;
}

export interface Assembled {
  /** Little-endian slots. */
  readonly code: Uint8Array;
  /** Slot of each label. */
  readonly labels: ReadonlyMap<string, number>;
  /** Ascending by pc; what only loading can fill. */
  readonly relocs: readonly Reloc[];
  /** One entry an instruction; `text` is its source line, trimmed. */
  readonly lineInfo: readonly LineInfo[];
}

/**
 * Text to code. The label `exit`, where the text has none, is the first exit instruction, as in conformance data.
 * @throws AsmError with line and column for the first mistake.
 */
export function assemble(text: string, options: AssembleOptions = {}): Assembled {
  const labels = new Map<string, number>();
  const insns: InsnInit[] = [];
  const pending: { index: number; pc: number; line: number; ref: Ref }[] = [];
  const lineInfo: LineInfo[] = [];
  let pc = 0;
  let firstExit: number | undefined;
  let line = (options.firstLine ?? 1) - 1;
  for (const source of text.split("\n")) {
    line++;
    const c = new Cursor(lexLine(source.replace(/\r$/, ""), line), line);
    const opcode = skipPrefix(c, labels, pc);
    if (c.atEnd()) continue;
    const col = c.peek().col;
    const { insn, ref } = parseStatement(c, opcode);
    if (ref) pending.push({ index: insns.length, pc, line, ref });
    if (insn.opcode === OP_EXIT) firstExit ??= pc;
    insns.push(insn);
    lineInfo.push({ pc, file: options.file ?? "", line, col, text: source.trim() });
    pc += slotsOf(insn);
  }
  const relocs: Reloc[] = [];
  for (const { index, pc: at, line: where, ref } of pending) {
    if (ref.kind === "label") {
      const target = labels.get(ref.name) ?? (ref.name === "exit" ? firstExit : undefined);
      if (target === undefined) throw new AsmError(`no label ${JSON.stringify(ref.name)}`, where, ref.token.col);
      insns[index] = withDistance(insns[index]!, ref.field, target - at - 1, where, ref.token.col);
    } else if (ref.kind === "map") {
      const { name, offset } = ref;
      relocs.push(offset === undefined ? { pc: at, kind: "map", name } : { pc: at, kind: "mapValue", name, offset });
    } else {
      relocs.push({ pc: at, kind: ref.kind, name: ref.name, weak: ref.weak });
    }
  }
  return { code: encode(insns), labels, relocs, lineInfo };
}

/** Takes labels, a pc and an opcode in parentheses from the line's start; returns the opcode. */
function skipPrefix(c: Cursor, labels: Map<string, number>, pc: number): number | undefined {
  for (;;) {
    const token = c.peek();
    if (c.peek(1).text !== ":") break;
    if (token.kind === "name") {
      if (labels.has(token.text)) c.fail("expected a label that is not there yet", token);
      labels.set(token.text, pc);
    } else if (token.kind !== "number") break;
    c.next();
    c.next();
  }
  // `(b7)`; an opcode such as (0f) lexes as a number and a name, (18) as a number, (bf) as a name.
  if (c.peek().text !== "(") return undefined;
  let hex = "";
  let ahead = 1;
  while (ahead < 4 && c.peek(ahead).text !== ")") hex += c.peek(ahead++).text;
  if (!/^[0-9a-f]{2}$/.test(hex) || c.peek(ahead).text !== ")") c.fail("expected an instruction");
  c.at += ahead + 1;
  return Number.parseInt(hex, 16);
}

function withDistance(insn: InsnInit, field: "off" | "imm", distance: number, line: number, col: number): InsnInit {
  if (field === "off" && (distance < -0x8000 || distance > 0x7fff)) {
    throw new AsmError(`target: expected at most 32767 slots away, got ${distance}`, line, col);
  }
  return { ...insn, [field]: distance };
}
