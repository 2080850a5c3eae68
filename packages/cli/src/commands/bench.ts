/**
 * `ebplane bench`: nanoseconds a run of each program on each engine. The engines take turns, so that a drift of the
 * machine hits all of them; quote ratios.
 *
 * What is timed is in bench/timers.ts. A program that an engine refuses has that engine's words instead of a figure; the
 * rest goes on.
 */
import { fromHex } from "@ebplane/core/bytes";
import { BpfError } from "@ebplane/core/errors";
import type { CollectionSpec, ProgramSpec } from "@ebplane/core/object";
import type { Command } from "commander";
import { RING, type Timer, timerOf } from "../bench/timers.ts";
import { openCapture } from "../captures.ts";
import { type Engine, openSession, openTarget, parseEngine } from "../engines.ts";
import { UsageError } from "../failure.ts";
import { loadObject, pickProgram } from "../input.ts";
import { fillMaps } from "../map-file.ts";
import { note, print, printJson, table } from "../output.ts";

interface BenchOptions {
  readonly prog?: string;
  readonly pcap?: string;
  readonly packet?: string;
  readonly map: readonly string[];
  readonly engines: string;
  readonly rounds: string;
  readonly json?: boolean;
}

interface Times {
  readonly min: number;
  readonly median: number;
}

/** A round should take about this long on each engine. */
const ROUND_MS = 30;

export function registerBench(program: Command): void {
  program
    .command("bench <prog>")
    .description("nanoseconds a run on each engine, engines interleaved")
    .option("--prog <name>", "only this program")
    .option("--pcap <file>", "the packets of a batch (its first 64)")
    .option("--packet <hex>", "one packet, all over the batch; 64 bytes of zeros when neither is given")
    .option(
      "--map <name=file>",
      "fill a map from FILE.json first (repeatable)",
      (v, all: readonly string[]) => [...all, v],
      [],
    )
    .option("--engines <names>", "which, in this order", "jit,interp")
    .option("--rounds <n>", "rounds of each engine", "15")
    .option("--json", "one JSON document")
    .action(async (path: string, options: BenchOptions) => {
      const engines = options.engines.split(",").map((e) => parseEngine(e.trim(), "--engines"));
      const rounds = Number(options.rounds);
      if (!Number.isInteger(rounds) || rounds < 1)
        throw new UsageError(`--rounds: expected a number from 1, got ${options.rounds}`);
      const packets = benchPackets(options);
      const spec = await loadObject(path);
      const chosen = options.prog === undefined ? [...spec.programs.values()] : [pickProgram(spec, options.prog, path)];
      const results: Result[] = [];
      for (const program of chosen) results.push(await measure(spec, program, engines, packets, rounds, options.map));
      if (!results.some(({ ns }) => Object.keys(ns).length)) {
        // Nothing to show: the first refusal is the answer.
        throw results[0]?.refusal ?? new UsageError(`${path}: no program in it`);
      }
      if (options.json) {
        printJson({ programs: results.map(shown), packets: packets.length, rounds });
        return;
      }
      const cell = (times: Times | undefined): string =>
        times ? `${times.min.toFixed(1)} / ${times.median.toFixed(1)}` : "-";
      print(
        `ns a run, minimum / median of ${rounds} rounds, ${packets.length} packet${packets.length === 1 ? "" : "s"}`,
      );
      print(
        table(
          ["program", ...engines],
          results.map(({ name, ns }) => [name, ...engines.map((e) => cell(ns[e]))]),
          engines,
        ),
      );
      for (const { name, errors } of results) {
        for (const [engine, reason] of Object.entries(errors)) note(`${name}: not on ${engine}: ${reason}`);
      }
    });
}

interface Result {
  readonly name: string;
  readonly ns: Partial<Record<Engine, Times>>;
  /** Why an engine has no figure: what it said when it loaded or ran the program. */
  readonly errors: Partial<Record<Engine, string>>;
  readonly refusal: BpfError | undefined;
}

function shown({ name, ns, errors }: Result): Pick<Result, "name" | "ns"> & Partial<Result> {
  return Object.keys(errors).length ? { name, ns, errors } : { name, ns };
}

/** One program on every engine that takes it, in turns. */
async function measure(
  spec: CollectionSpec,
  program: ProgramSpec,
  engines: readonly Engine[],
  packets: readonly Uint8Array[],
  rounds: number,
  maps: readonly string[],
): Promise<Result> {
  const errors: Partial<Record<Engine, string>> = {};
  let refusal: BpfError | undefined;
  const timers: { engine: Engine; time: () => number; close: () => void; ns: number[] }[] = [];
  for (const engine of engines) {
    const opened = await openTarget(engine);
    try {
      const session = openSession(opened, spec, program.name, (live) => fillMaps(live, maps));
      const close = (): void => session[Symbol.dispose]();
      try {
        timers.push({ engine, time: calibrated(timerOf(opened.target, session.program, packets)), close, ns: [] });
      } catch (e) {
        close();
        throw e;
      }
    } catch (e) {
      // A mistake of the command line is one for every program; what an engine refuses is an answer.
      if (!(e instanceof BpfError) || e.code === "EMAPFILE") throw e;
      errors[engine] = e.message.split("\n")[0]!;
      refusal ??= e;
    }
  }
  for (let r = 0; r < rounds; r++) for (const t of timers) t.ns.push(t.time());
  for (const t of timers) t.close();
  return { name: program.name, ns: Object.fromEntries(timers.map((t) => [t.engine, summary(t.ns)])), errors, refusal };
}

function benchPackets(options: BenchOptions): Uint8Array[] {
  if (options.pcap !== undefined && options.packet !== undefined)
    throw new UsageError("bench: expected --pcap or --packet, got both");
  if (options.packet !== undefined) return [fromHex(options.packet)];
  if (options.pcap === undefined) return [new Uint8Array(64)];
  const packets = openCapture(options.pcap)
    .packets.slice(0, RING)
    .map((p) => p.bytes);
  if (packets.length === 0) throw new UsageError(`${options.pcap}: no packet in it`);
  return packets;
}

/** Finds the number of batches that fill a round, which also warms the engine up; answers one round's ns a run. */
function calibrated(timer: Timer): () => number {
  let batches = 1;
  for (;;) {
    const started = performance.now();
    timer(batches);
    const wall = performance.now() - started;
    if (wall >= ROUND_MS / 2 || batches >= 1 << 20) {
      batches = Math.max(1, Math.round((batches * ROUND_MS) / Math.max(wall, 0.01)));
      break;
    }
    batches *= 2;
  }
  return () => {
    const { ms, runs } = timer(batches);
    return (ms * 1e6) / runs;
  };
}

function summary(ns: readonly number[]): Times {
  const sorted = [...ns].sort((a, b) => a - b);
  return { min: sorted[0]!, median: sorted[Math.floor(sorted.length / 2)]! };
}
