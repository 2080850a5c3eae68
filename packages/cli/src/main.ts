/**
 * The `ebplane` command: one file a subcommand in `commands/`. Only the file of the subcommand that is asked for is
 * loaded, and with it the compiler, the planes or the kernel only where it needs them.
 */
import { Command, CommanderError } from "commander";
import { reportFailure } from "./failure.ts";

type Register = (program: Command) => void;

/** By subcommand, in the order of the help: the file that registers it, with others or alone. */
const COMMANDS: ReadonlyMap<string, () => Promise<Register>> = new Map<string, () => Promise<Register>>([
  ["up", async () => (await import("./commands/up.ts")).registerUp],
  ["down", async () => (await import("./commands/down.ts")).registerDown],
  ["run", async () => (await import("./commands/run.ts")).registerRun],
  ["diff", async () => (await import("./commands/diff.ts")).registerDiff],
  ["build", async () => (await import("./commands/build.ts")).registerBuild],
  ["inspect", async () => (await import("./commands/inspect.ts")).registerInspect],
  ["verify", async () => (await import("./commands/verify.ts")).registerVerify],
  ["asm", async () => (await import("./commands/asm.ts")).registerAsm],
  ["disasm", async () => (await import("./commands/asm.ts")).registerAsm],
  ["exec", async () => (await import("./commands/exec.ts")).registerExec],
  ["debug", async () => (await import("./commands/debug.ts")).registerDebug],
  ["trace", async () => (await import("./commands/debug.ts")).registerDebug],
  ["bench", async () => (await import("./commands/bench.ts")).registerBench],
  ["attach", async () => (await import("./commands/attach.ts")).registerAttach],
  ["detach", async () => (await import("./commands/attach.ts")).registerAttach],
  ["list", async () => (await import("./commands/attach.ts")).registerAttach],
  ["map", async () => (await import("./commands/map.ts")).registerMap],
  ["prog", async () => (await import("./commands/prog.ts")).registerProg],
  ["net", async () => (await import("./commands/net/index.ts")).registerNet],
  ["features", async () => (await import("./commands/features.ts")).registerFeatures],
  ["btf", async () => (await import("./commands/btf.ts")).registerBtf],
  ["types", async () => (await import("./commands/btf.ts")).registerBtf],
  ["iter", async () => (await import("./commands/iter.ts")).registerIter],
  [
    "batch",
    async () => {
      const { registerBatch } = await import("./commands/batch.ts");
      return (program) => registerBatch(program, main);
    },
  ],
  ["link", async () => (await import("./commands/link.ts")).registerLink],
  ["schema", async () => (await import("./commands/schema.ts")).registerSchema],
]);

/** Options of the command itself that end it before any subcommand. */
const ALONE = new Set(["-V", "--version"]);

/** The command with the subcommand that the line asks for, or with all of them where it asks for none. */
export async function commandFor(argv: readonly string[]): Promise<Command> {
  const program = new Command("ebplane")
    .description("A programmable network data plane: write, verify, run and attach packet programs.")
    .version("0.1.0")
    .exitOverride()
    .configureHelp({ showGlobalOptions: true });
  const first = argv[2] ?? "";
  const one = COMMANDS.get(first);
  const loads = one ? [one] : ALONE.has(first) ? [] : [...COMMANDS.values()];
  const registered = new Set<Register>();
  for (const load of loads) {
    const register = await load();
    if (!registered.has(register)) register(program);
    registered.add(register);
  }
  neverExit(program);
  return program;
}

function neverExit(command: Command): void {
  command.exitOverride();
  for (const sub of command.commands) neverExit(sub);
}

/** The subcommands that there are. */
export const COMMAND_NAMES: readonly string[] = [...COMMANDS.keys()];

/** Runs the command line; sets `process.exitCode` instead of throwing. */
export async function main(argv: readonly string[]): Promise<void> {
  const program = await commandFor(argv);
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
