/** `ebplane btf dump` and `types`: types of objects and kernels as text. */
import { writeFileSync } from "node:fs";
import { basename } from "node:path";
import { type Btf, dumpC, dumpTypeScript, splitBtf, TS_PRELUDE } from "@ebplane/core/btf";
import { generateTypes } from "@ebplane/core/elf";
import type { Command } from "commander";
import { UsageError } from "../failure.ts";
import { loadObject } from "../input.ts";
import { requireKernel } from "../kernel.ts";
import { allMaps, allPrograms } from "../kernel-objects.ts";
import { collect } from "../options.ts";
import { note, print, printJson, table } from "../output.ts";
import { loadBtf } from "../types-of.ts";

const FORMATS = ["c", "ts", "raw"];

export function registerBtf(program: Command): void {
  const btf = program.command("btf").description("types of objects and kernels");

  btf
    .command("dump <where>")
    .description(
      "print types: of an object, a .bpf.ts, a file of raw BTF, the running kernel (vmlinux), a module, " +
        "or what the kernel holds (id:N, prog:NAME, map:NAME)",
    )
    .option("--format <name>", "c (a header), ts (TypeScript declarations) or raw (with -o: the BTF itself)", "c")
    .option("--base <where>", "the types that a split BTF stands on (vmlinux for a module's); raw: write one on them")
    .option("--type <name>", "only types of this name, and what they need (repeatable)", collect, [])
    .option("-o, --output <file>", "write it to a file")
    .action(async (where: string, options: DumpOptions) => {
      if (!FORMATS.includes(options.format))
        throw new UsageError(`--format: expected ${FORMATS.join(", ")}, got ${options.format}`);
      const base = options.base === undefined ? undefined : await loadBtf(options.base);
      const types = await loadBtf(where, base);
      if (options.format === "raw") {
        writeRaw(types, base, options);
        return;
      }
      const own = Array.from({ length: types.length - types.firstId }, (_, i) => types.firstId + i);
      const roots = options.type.length ? options.type.flatMap((name) => named(types, name, where)) : own;
      const text = options.format === "c" ? dumpC(types, { roots }) : typescript(types, roots);
      if (options.output === undefined) print(text.trimEnd());
      else writeFileSync(options.output, text);
    });

  btf
    .command("list", { isDefault: true })
    .description("every BTF object in the system, with the programs and maps that it came with")
    .option("--json", "one JSON document")
    .action(async ({ json }: { json?: boolean }) => {
      await requireKernel("btf list");
      const { btfInfo, objectIds } = await import("@ebplane/linux/bpf");
      const [programs, maps] = [await allPrograms(), await allMaps()];
      const objects = objectIds("btf").flatMap((id) => {
        const info = btfInfo(id);
        if (!info) return []; // Gone between the two questions.
        const of = <T extends { id: number; btfId: number }>(items: readonly T[]): number[] =>
          items.filter((item) => item.btfId === id).map((item) => item.id);
        return { ...info, programs: of(programs), maps: of(maps) };
      });
      if (json) printJson({ btf: objects });
      else if (objects.length === 0) print("no BTF objects");
      else {
        const rows = objects.map((o) => [
          String(o.id),
          o.name || (o.kernel ? "module" : "loaded"),
          String(o.size),
          o.programs.join(","),
          o.maps.join(","),
        ]);
        print(table(["id", "name", "bytes", "programs", "maps"], rows, ["id", "bytes"]));
      }
    });

  program
    .command("types <prog>")
    .description("write TypeScript types of an object's maps, variables, programs and events")
    .requiredOption("-o, --output <file>", "the file to write (prog.types.ts)")
    .action(async (path: string, { output }: { output: string }) => {
      const spec = await loadObject(path);
      writeFileSync(output, generateTypes(spec, { name: basename(path).replace(/\.(bpf\.)?(ts|o|ya?ml)$/, "") }));
      note(`${output}: ${spec.maps.size} maps, ${spec.variables?.size ?? 0} variables, ${spec.programs.size} programs`);
    });
}

interface DumpOptions {
  readonly format: string;
  readonly type: readonly string[];
  readonly base?: string;
  readonly output?: string;
}

/** The types as a file of their own: whole, or on `base` with only what that lacks. */
function writeRaw(types: Btf, base: Btf | undefined, { output, type }: DumpOptions): void {
  if (output === undefined) throw new UsageError("--format raw: needs -o, the file to write");
  if (type.length) throw new UsageError("--format raw: writes all types, --type does not go with it");
  const written = base && !types.base ? splitBtf(types, base).btf : types;
  writeFileSync(output, written.bytes);
  note(`${output}: ${written.length - written.firstId} types, ${written.bytes.length} bytes`);
}

function named(btf: Btf, name: string, where: string): readonly number[] {
  const ids = btf.findAll(name);
  if (ids.length === 0) throw new UsageError(`--type: ${where} has no type named ${name}`);
  return ids;
}

/** Declarations of the named structs, unions, enums and typedefs. */
function typescript(btf: Btf, roots: readonly number[]): string {
  const kinds = new Set<string>(["struct", "union", "enum", "enum64", "typedef"]);
  const { declarations } = dumpTypeScript(
    btf,
    roots.filter((id) => kinds.has(btf.type(id).kind)),
  );
  return `${TS_PRELUDE}\n\n${declarations.join("\n\n")}\n`;
}
