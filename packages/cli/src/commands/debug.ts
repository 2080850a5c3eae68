/**
 * `ebplane debug` steps through a program on one packet, forwards and backwards; its commands come from stdin, one a
 * line, so that a session can be a file. `ebplane trace` prints every insn of a run, or what of the program a capture
 * covers.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import type { ProgramSpec } from "@ebplane/core/object";
import { type Coverage, coverageOf, Debugger, GuardedRun, programOf } from "@ebplane/core/vm";
import type { Command } from "commander";
import { type Answer, coverageRow, execute, HELP } from "../debug/commands.ts";
import { openStage, type PacketOptions, packetNumber, type Stage } from "../debug/session.ts";
import { type Effect, effectOf, effectText } from "../debug/show.ts";
import { answerNo, UsageError } from "../failure.ts";
import { print, printJson } from "../output.ts";

/** Insns of one run before it counts as endless. */
const BUDGET = 50_000_000;

function withPackets(command: Command): Command {
  return command
    .option("--prog <name>", "which program of the object")
    .option("--pcap <file>", "the packets")
    .option("--packet <hex>", "one packet")
    .option("--number <n>", "which packet of the capture, from 1; those before it run first", "1")
    .option(
      "--map <name=file>",
      "fill a map from FILE.json first (repeatable)",
      (v, all: readonly string[]) => [...all, v],
      [],
    )
    .option("--json", "one JSON document");
}

export function registerDebug(program: Command): void {
  withPackets(program.command("debug <prog>"))
    .description("step through a program on a packet, forwards and backwards; commands on stdin")
    .addHelpText("after", `\nCommands:\n${HELP.replace(/^/gm, "  ")}`)
    .action(async (path: string, options: PacketOptions & { json?: boolean }) => {
      using stage = await openStage(path, options);
      const debug = new Debugger(stage.machine, stage.vm, [prepared(stage, options)], { watch: true, budget: BUDGET });
      const answers: unknown[] = [];
      for await (const line of commandLines()) {
        if (!line.trim() || line.trim().startsWith("#")) continue;
        const answer = execute(debug, stage, line);
        if (answer.file) writeFileSync(answer.file.path, answer.file.content);
        if (options.json) answers.push({ command: line.trim(), ...answer.data });
        else show(answer);
        if (answer.quit) break;
      }
      if (options.json) printJson({ program: stage.program.name, answers });
    });
  withPackets(program.command("trace <prog>"))
    .description("every insn of a run, with what it changed; or what of the program the packets cover")
    .option("--lcov <file>", "run every packet and write what ran in lcov's form")
    .action(async (path: string, options: PacketOptions & { json?: boolean; lcov?: string }) => {
      using stage = await openStage(path, options);
      if (options.lcov === undefined) trace(stage, prepared(stage, options), options.json ?? false);
      else cover(stage, options.lcov, options.json ?? false);
    });
}

/** Lines of stdin: all at once from a file or pipe, with a prompt from a terminal. */
async function* commandLines(): AsyncIterable<string> {
  if (!process.stdin.isTTY) {
    yield* readFileSync(0, "utf8").split("\n");
    return;
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr, prompt: "(ebplane) " });
  terminal.prompt();
  for await (const line of terminal) {
    yield line;
    terminal.prompt();
  }
}

/** Runs the packets before the one that is asked for and puts that one in place; answers its ctx. */
function prepared(stage: Stage, { number }: PacketOptions): number {
  const n = packetNumber(number, stage.packets.length);
  for (const packet of stage.packets.slice(0, n - 1)) stage.vm.run(stage.place(packet));
  return stage.place(stage.packets[n - 1]!);
}

function show({ text }: Answer): void {
  for (const line of text) print(line);
}

function trace(stage: Stage, ctx: number, json: boolean): void {
  const run = new GuardedRun(stage.machine, stage.vm, [ctx], { watch: true, budget: BUDGET });
  const effects: Effect[] = [];
  let source: string | undefined;
  for (;;) {
    const before = run.registers();
    const position = run.activation.executed;
    const program = programOf(stage.machine, run, stage.vm).spec;
    const step = run.step();
    if (!step) break;
    const effect = effectOf(stage, run, program, position, step, before);
    if (json) effects.push(effect);
    else {
      if (effect.source !== source && effect.source) print(effect.source);
      source = effect.source;
      print(effectText(effect));
    }
  }
  const { r0, fault } = run.result!;
  if (fault) answerNo();
  const end = fault ? { fault: fault.message } : { r0: `0x${r0!.toString(16)}` };
  if (json) printJson({ program: stage.program.name, steps: effects, ...end, packet: stage.packet() });
  else print(fault ? `fault: ${fault.message}` : `r0 = 0x${r0!.toString(16)}`);
}

/** Every packet in turn; maps keep what packets leave in them. */
function cover(stage: Stage, path: string, json: boolean): void {
  if (!stage.program.lineInfo.length) throw new UsageError("--lcov: the program has no line information");
  const counts = new Map<ProgramSpec, Coverage>();
  for (const packet of stage.packets) {
    const run = new GuardedRun(stage.machine, stage.vm, [stage.place(packet)], { budget: BUDGET });
    for (;;) {
      const program = programOf(stage.machine, run, stage.vm).spec;
      const step = run.step();
      if (!step) break;
      coverageOf(counts, program).record(step.insn, run.pc);
    }
  }
  writeFileSync(path, [...counts].map(([program, c]) => c.lcov(program)).join(""));
  const rows = [...counts].map(([program, c]) => coverageRow(program.name, c.summary(program)));
  if (json) printJson({ packets: stage.packets.length, coverage: rows.map((r) => r.data), lcov: path });
  else for (const { text } of rows) print(text);
}
