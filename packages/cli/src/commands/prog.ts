/** `ebplane prog list`: the programs in the kernel. */
import { closeSync } from "node:fs";
import { progTypeName } from "@ebplane/core/object";
import type { Command } from "commander";
import { requireKernel } from "../kernel.ts";
import { grouped, print, printJson, table } from "../output.ts";

export function registerProg(program: Command): void {
  const prog = program.command("prog").description("the kernel's programs");

  prog
    .command("list")
    .description("every program in the system, with runs where statistics are on")
    .option("--json", "one JSON document")
    .action(async ({ json }: { json?: boolean }) => {
      await requireKernel("prog list");
      const { fdById, objectIds, progInfo } = await import("@ebplane/linux");
      const programs = objectIds("prog").flatMap((id) => {
        const fd = fdById("prog", id);
        if (fd === undefined) return []; // Gone between the two questions.
        try {
          const info = progInfo(fd);
          const { name, tag, jitedLen, xlatedLen, uid, runCount, runTimeNs, mapIds, verifiedInsns } = info;
          const type = progTypeName(info.type);
          return {
            id,
            name,
            type,
            tag,
            insns: xlatedLen / 8,
            jitedLen,
            uid,
            verifiedInsns,
            runCount,
            runTimeNs,
            mapIds,
          };
        } finally {
          closeSync(fd);
        }
      });
      if (json) printJson({ programs });
      else if (programs.length === 0) print("no programs");
      else {
        const rows = programs.map((p) => [
          String(p.id),
          p.name,
          p.type,
          p.tag,
          String(p.insns),
          p.runCount ? grouped(p.runCount) : "",
          p.mapIds.join(","),
        ]);
        print(table(["id", "name", "type", "tag", "insns", "runs", "maps"], rows, ["id", "insns", "runs"]));
      }
    });
}
