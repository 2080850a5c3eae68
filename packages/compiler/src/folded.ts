/** What folding the configuration saved: the same programs with their constants kept in memory, beside them folded. */
import type { CollectionSpec } from "@ebplane/core/object";
import { RODATA } from "./ir/index.ts";

/** Instructions (8-byte slots) of a program. */
export interface FoldedProgram {
  readonly before: number;
  readonly after: number;
}

export interface Folded {
  readonly programs: ReadonlyMap<string, FoldedProgram>;
  /** Bytes of code and of constant data. */
  readonly bytes: { readonly before: number; readonly after: number };
  /** Maps that only the program with its constants in memory has. */
  readonly maps: readonly string[];
}

/** Compares what was compiled with what `fold: false` gives for the same input. */
export function folded(after: CollectionSpec, before: CollectionSpec): Folded {
  const insns = (s: CollectionSpec, name: string): number => (s.programs.get(name)?.code.length ?? 0) / 8;
  return {
    programs: new Map([...after.programs.keys()].map((n) => [n, { before: insns(before, n), after: insns(after, n) }])),
    bytes: { before: bytesOf(before), after: bytesOf(after) },
    maps: [...before.maps.keys()].filter((m) => m !== RODATA && !after.maps.has(m)),
  };
}

function bytesOf(spec: CollectionSpec): number {
  const code = [...spec.programs.values()].reduce((n, p) => n + p.code.length, 0);
  return code + (spec.maps.get(RODATA)?.valueSize ?? 0);
}
