/**
 * The kernel's own verifier tests, our verdict beside the running kernel's, and the table of agreement:
 *
 *     EBPLANE_LINUX_SRC=/path/of/linux npx tsx --conditions=source test/verifier/selftests/run.ts [table|progs|all]
 *
 * `table` is `verifier/*.c`, `progs` `progs/verifier_*.c` (needs clang, bpftool and libbpf's headers), `all` all progs.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readElf } from "@ebplane/core/elf";
import { BpfError } from "@ebplane/core/errors";
import { sourceTree } from "../../test-bpf/reader.ts";
import { Tally } from "../verdicts.ts";
import { buildProgs, readTable } from "./reader.ts";

const what = process.argv[2] ?? "both";
const tally = new Tally();
const say = (text: string | undefined) => {
  if (text) console.log(text);
};
if (what === "table" || what === "both") {
  for (const { name, spec } of readTable(sourceTree)) {
    say(tally.add("verifier/*.c", name, spec, spec.programs.get("test")!));
  }
}
if (what !== "table") {
  const out = mkdtempSync(join(tmpdir(), "ebplane-progs-"));
  try {
    const types = execFileSync("bpftool", ["btf", "dump", "file", "/sys/kernel/btf/vmlinux", "format", "c"], {
      maxBuffer: 1 << 28,
    });
    writeFileSync(join(out, "vmlinux.h"), types);
    for (const path of buildProgs(sourceTree, what === "all" ? /./ : /^verifier_/, out, out)) {
      try {
        const spec = readElf(readFileSync(path));
        for (const program of spec.programs.values()) {
          say(tally.add("progs/*.c", `${path.slice(out.length + 1)} ${program.name}`, spec, program));
        }
      } catch (error) {
        if (!(error instanceof BpfError)) throw error;
        console.log(`${path.slice(out.length + 1)}: ${error.message}`);
      }
    }
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}
tally.print();
