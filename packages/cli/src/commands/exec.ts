/**
 * `ebplane exec`: the plug-in form of the public conformance suite. Memory as hex in the argument, instructions as hex
 * in one line on stdin, r0 as hex on stdout; a failure is a line on stderr and a non-zero exit.
 */
import { readFileSync } from "node:fs";
import { readElf } from "@ebplane/core/elf";
import type { ProgramSpec } from "@ebplane/core/object";
import { execPlugin } from "@ebplane/core/vm";
import type { Command } from "commander";
import { UsageError } from "../failure.ts";
import { pickProgram } from "../input.ts";
import { print } from "../output.ts";

export function registerExec(program: Command): void {
  program
    .command("exec [memory]")
    .description("run instructions (hex, on stdin) over memory (hex); print r0 in hex")
    .option("--engine <name>", "jit or interp", "jit")
    .option("--elf", "stdin holds an ELF object, in hex")
    .action((memory: string | undefined, { engine, elf }: { engine: string; elf?: boolean }) => {
      if (engine !== "jit" && engine !== "interp")
        throw new UsageError(`--engine: expected jit or interp, got ${engine}`);
      const code = readFileSync(0, "utf8");
      print(execPlugin(memory ?? "", code, { engine, ...(elf && { readElf: onlyProgram }) }));
    });
}

/** The one program of an object. */
function onlyProgram(bytes: Uint8Array): ProgramSpec {
  return pickProgram(readElf(bytes), undefined, "the object");
}
