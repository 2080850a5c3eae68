/**
 * `ebplane bench`: nanoseconds a run of each program on each engine. The engines take turns, so that a drift of the
 * machine hits all of them; quote ratios.
 *
 * What is timed: on jit and interp a batch over a ring of frames in the machine's memory (no copy in or out); on the
 * kernel BPF_PROG_TEST_RUN with as many repeats, by the kernel's own clock, over one packet at a time.
 */
import { fromHex } from "@ebplane/core/bytes";
import type { Program } from "@ebplane/core/object";
import { SimTarget } from "@ebplane/core/sim";
import { XDP, XdpRing } from "@ebplane/core/vm";
import type { Command } from "commander";
import { openCapture } from "../captures.ts";
import { type Engine, openSession, openTarget, parseEngine } from "../engines.ts";
import { UsageError } from "../failure.ts";
import { loadObject, pickProgram } from "../input.ts";
import { fillMaps } from "../map-file.ts";
import { print, printJson, table } from "../output.ts";

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

/** Frames of a batch: more than one cache line's worth, small enough to stay in the cache. */
const RING = 64;
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
      const results = [];
      for (const { name } of chosen) {
        const timers = [];
        for (const engine of engines) {
          const opened = await openTarget(engine);
          const { target } = opened;
          const session = openSession(opened, spec, name, (maps) => fillMaps(maps, options.map));
          const live = session.program;
          const time = target instanceof SimTarget ? batchTimer(target, live, packets) : kernelTimer(live, packets);
          timers.push({ engine, time: calibrated(time), close: () => session[Symbol.dispose](), ns: [] as number[] });
        }
        for (let r = 0; r < rounds; r++) for (const t of timers) t.ns.push(t.time());
        for (const t of timers) t.close();
        results.push({
          name,
          ns: Object.fromEntries(timers.map((t) => [t.engine, summary(t.ns)])) as Record<Engine, Times>,
        });
      }
      if (options.json) {
        printJson({ programs: results, packets: packets.length, rounds });
        return;
      }
      const rows = results.map(({ name, ns }) => [
        name,
        ...engines.map((e) => `${ns[e].min.toFixed(1)} / ${ns[e].median.toFixed(1)}`),
      ]);
      print(
        `ns a run, minimum / median of ${rounds} rounds, ${packets.length} packet${packets.length === 1 ? "" : "s"}`,
      );
      print(table(["program", ...engines], rows, engines));
    });
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

/** Times `batches` batches; answers milliseconds and the number of runs. */
type Timer = (batches: number) => { readonly ms: number; readonly runs: number };

/**
 * The clock is read once a `stretch` of batches. Frames are written anew before each; where the program moves the
 * packet's ends (its changes would add up until the room is used), a stretch is a single batch.
 */
function batchTimer(sim: SimTarget, program: Program, packets: readonly Uint8Array[]): Timer {
  const vm = sim.vmProgram(program);
  const capacity = Math.max(3520, ...packets.map((p) => p.length));
  const ring = new XdpRing(sim.machine.memory, RING, capacity);
  const write = (): void => {
    for (let i = 0; i < RING; i++) ring.write(i, packets[i % packets.length]!, { ingressIfindex: 1 });
  };
  const run = (): void => vm.runner.batch(ring.ctx, XDP.STRIDE, RING, ring.verdicts);
  const ends = (): string =>
    Array.from({ length: RING }, (_, i) => `${ring.packet(i).byteOffset}+${ring.packet(i).length}`).join();
  write();
  const before = ends();
  run();
  const stretch = ends() === before ? 64 : 1;
  return (batches) => {
    let ms = 0;
    for (let done = 0; done < batches; done += stretch) {
      write();
      const start = performance.now();
      for (let b = 0; b < stretch; b++) run();
      ms += performance.now() - start;
    }
    return { ms, runs: Math.ceil(batches / stretch) * stretch * RING };
  };
}

function kernelTimer(program: Program, packets: readonly Uint8Array[]): Timer {
  return (batches) => {
    const repeat = Math.max(1, Math.ceil((batches * RING) / packets.length));
    let ms = 0;
    for (const packet of packets) ms += (program.testRun({ packet, repeat }).durationNs * repeat) / 1e6;
    return { ms, runs: repeat * packets.length };
  };
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
