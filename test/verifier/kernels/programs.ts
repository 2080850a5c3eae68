/** The programs that kernels are asked about, by suite: both halves of run.ts make the same ones. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { assemble } from "@ebplane/core/asm";
import { readElf } from "@ebplane/core/elf";
import { BpfError } from "@ebplane/core/errors";
import { BPF_F_SLEEPABLE, type CollectionSpec, type MapSpec, type ProgramSpec, ProgType } from "@ebplane/core/object";
import { parseCases } from "../../../packages/core/src/vm/testing/cases.ts";
import { MAPS } from "../boundary.ts";
import { cases, inC, specOf } from "../rules-cases.ts";
import { ctxTable, type Entry, helperTable, TABLE_MAPS } from "./tables.ts";

/** One program: a bare one of a table, over maps that the whole table shares, or one of a collection. */
export type Asked =
  | { readonly name: string; readonly program: ProgramSpec; readonly maps: readonly MapSpec[] }
  | { readonly name: string; readonly program: ProgramSpec; readonly spec: CollectionSpec };

export function* programsOf(suite: string): Generator<Asked> {
  if (suite === "helpers") yield* bare(helperTable());
  else if (suite === "ctx") yield* bare(ctxTable());
  else if (suite === "rules") {
    for (const c of cases.filter((one) => !inC(one))) {
      const spec = specOf(c);
      yield { name: `${c.file} ${c.title}`, program: spec.programs.get("prog")!, spec };
    }
  } else if (suite === "verdicts") {
    const text = readFileSync(new URL("../testdata/verdicts.case", import.meta.url), "utf8");
    for (const { name, sections } of parseCases(text)) yield { name, program: verdictCase(sections), maps: MAPS };
  } else yield* objects(suite);
}

function* bare(entries: Iterable<Entry>): Generator<Asked> {
  for (const { name, program } of entries) yield { name, program, maps: TABLE_MAPS };
}

/** A program of verdicts.case. */
export function verdictCase(sections: ReadonlyMap<string, string>): ProgramSpec {
  const { code, relocs, lineInfo } = assemble(sections.get("asm")!);
  const name = `BPF_PROG_TYPE_${(sections.get("type") ?? "xdp").toUpperCase()}`;
  const type = (ProgType as Readonly<Record<string, number>>)[name]!;
  const flags = type === ProgType.BPF_PROG_TYPE_SYSCALL ? BPF_F_SLEEPABLE : 0;
  return { name: "test", section: "test", type, attachType: 0, flags, code, relocs, funcInfo: [], lineInfo };
}

function* objects(path: string): Generator<Asked> {
  for (const file of objectFiles(path)) {
    let spec: CollectionSpec;
    try {
      spec = readElf(readFileSync(file));
    } catch (error) {
      if (!(error instanceof BpfError)) throw error;
      console.error(`${file}: ${error.message}`);
      continue;
    }
    if (spec.byteOrder !== "little") continue;
    for (const program of spec.programs.values()) {
      yield { name: `${file} ${program.name} (${program.section})`, program, spec };
    }
  }
}

/** The `.o` files of a folder, or the file itself. */
export function objectFiles(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path, { withFileTypes: true })
    .flatMap((entry) => {
      const inside = join(path, entry.name);
      return entry.isDirectory() ? objectFiles(inside) : entry.name.endsWith(".o") ? [inside] : [];
    })
    .sort();
}
