/** The `ebplane` command: one file a subcommand in `commands/`, registered here. */
import { Command, CommanderError } from "commander";
import { registerAsm } from "./commands/asm.ts";
import { registerAttach } from "./commands/attach.ts";
import { registerBench } from "./commands/bench.ts";
import { registerBtf } from "./commands/btf.ts";
import { registerBuild } from "./commands/build.ts";
import { registerDiff } from "./commands/diff.ts";
import { registerExec } from "./commands/exec.ts";
import { registerFeatures } from "./commands/features.ts";
import { registerInspect } from "./commands/inspect.ts";
import { registerMap } from "./commands/map.ts";
import { registerProg } from "./commands/prog.ts";
import { registerRun } from "./commands/run.ts";
import { registerSchema } from "./commands/schema.ts";
import { registerUp } from "./commands/up.ts";
import { registerVerify } from "./commands/verify.ts";
import { reportFailure } from "./failure.ts";

/** Runs the command line; sets `process.exitCode` instead of throwing. */
export async function main(argv: readonly string[]): Promise<void> {
  const program = new Command("ebplane")
    .description("A programmable network data plane: write, verify, run and attach packet programs.")
    .version("0.1.0")
    .exitOverride()
    .configureHelp({ showGlobalOptions: true });
  const register = [
    registerUp,
    registerRun,
    registerDiff,
    registerBuild,
    registerInspect,
    registerVerify,
    registerAsm,
    registerExec,
    registerBench,
    registerAttach,
    registerMap,
    registerProg,
    registerFeatures,
    registerBtf,
    registerSchema,
  ];
  for (const add of register) add(program);
  for (const command of program.commands) {
    command.exitOverride();
    for (const sub of command.commands) sub.exitOverride();
  }
  try {
    await program.parseAsync(argv);
  } catch (error) {
    if (error instanceof CommanderError) {
      // Commander has printed; its own code is 1 for usage mistakes, ours is 2. Help and version are no mistakes.
      process.exitCode = error.exitCode === 0 ? 0 : 2;
      return;
    }
    reportFailure(error);
  }
}
