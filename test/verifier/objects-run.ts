/**
 * Our verdict beside the running kernel's for every program of ELF objects:
 *
 *     npx tsx --conditions=source test/verifier/objects-run.ts FILE|DIR…
 *
 * Prints each program where they differ or ours is `unsupported`, and a table by directory.
 */
import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import { readElf } from "@ebplane/core/elf";
import { BpfError } from "@ebplane/core/errors";
import { objectFiles } from "./kernels/programs.ts";
import { Tally } from "./verdicts.ts";

const tally = new Tally();

for (const path of process.argv.slice(2).flatMap(objectFiles)) {
  try {
    const spec = readElf(readFileSync(path));
    if (spec.byteOrder !== "little") continue;
    for (const program of spec.programs.values()) {
      const said = tally.add(dirname(path), `${path} ${program.name} (${program.section})`, spec, program);
      if (said) console.log(said);
    }
  } catch (error) {
    if (!(error instanceof BpfError)) throw error;
    console.log(`${path}: ${error.message}`);
  }
}
tally.print();
