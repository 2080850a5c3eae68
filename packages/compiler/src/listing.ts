/** A program as source, intermediate form and bytecode side by side: which line became what. */
import { disassemble } from "@ebplane/core/asm";
import type { ProgramSpec } from "@ebplane/core/object";
import type { IrLine } from "./ir/index.ts";

/** Instructions that follow each other and come from one line of the source. */
export interface ListingBlock {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** The line as written. */
  readonly source: string;
  /** What the line is in the intermediate form: with the first of its instructions. */
  readonly ir: readonly string[];
  readonly code: readonly { readonly pc: number | undefined; readonly text: string }[];
}

/** `lineOf` gives the place of an operation of the intermediate form. */
export function listing(
  spec: ProgramSpec,
  ir: readonly IrLine[],
  lineOf: (at: number) => { readonly file: string; readonly line: number } | undefined,
): ListingBlock[] {
  const starts = [...(spec.lineInfo ?? [])].sort((a, b) => a.pc - b.pc);
  const blocks: { file: string; line: number; source: string; ir: string[]; code: ListingBlock["code"][number][] }[] =
    [];
  const firstOf = new Map<string, (typeof blocks)[number]>();
  for (const { pc, text, insn } of disassemble(spec.code, { relocs: spec.relocs, labels: true })) {
    const at = starts.findLast((l) => l.pc <= pc) ?? starts[0];
    const place = { file: at?.file ?? "", line: at?.line ?? 0 };
    let last = blocks.at(-1);
    if (!last || last.file !== place.file || last.line !== place.line) {
      last = { ...place, source: at?.text ?? "", ir: [], code: [] };
      blocks.push(last);
      const key = `${place.file}:${place.line}`;
      if (!firstOf.has(key)) firstOf.set(key, last);
    }
    last.code.push({ pc: insn ? pc : undefined, text });
  }
  let current = blocks[0];
  for (const { at, text } of ir) {
    const place = at ? lineOf(at) : undefined;
    // An operation that left no instruction of its own stands with what came before it.
    current = (place && firstOf.get(`${place.file}:${place.line}`)) ?? current;
    current?.ir.push(text);
  }
  return blocks;
}
