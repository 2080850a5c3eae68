/** `ebplane build`: a `.bpf.ts` or a plane file to an ELF object. */
import { writeFileSync } from "node:fs";
import { writeElf } from "@ebplane/core/elf";
import type { Command } from "commander";
import { UsageError } from "../failure.ts";
import { isPlaneFile, loadObject, loadPlane } from "../input.ts";
import { note, print } from "../output.ts";

export function registerBuild(program: Command): void {
  program
    .command("build <src>")
    .description("compile a .bpf.ts (or the programs of a plane) to an ELF object that libbpf, bpftool, tc and ip load")
    .option("-o, --output <file>", "the object to write")
    .option("--source", "of a plane: print the program text that it generates, and stop")
    .action((path: string, { output, source }: { output?: string; source?: boolean }) => {
      if (source) {
        if (!isPlaneFile(path)) throw new UsageError(`--source: expected a plane file, got ${path}`);
        print(loadPlane(path).built.source.trimEnd());
        return;
      }
      if (output === undefined) throw new UsageError("build: name the object with -o FILE");
      const spec = loadObject(path);
      const bytes = writeElf(spec);
      writeFileSync(output, bytes);
      const insns = [...spec.programs.values()].reduce((n, p) => n + p.code.length / 8, 0);
      note(`${output}: ${spec.programs.size} programs, ${insns} insns, ${spec.maps.size} maps, ${bytes.length} bytes`);
    });
}
