/**
 * What the browser test runs, on both sides: the same module, over the built packages, is served to the browser and
 * started in Node. Takes and answers plain JSON. Nothing of Node and nothing of the DOM is used here.
 *
 * Imports: the packages' built faces, and core's case reader from its dist (see `sides.ts`).
 */
import { fromHex, toHex } from "@ebplane/core/bytes";
import { readElf, writeElf } from "@ebplane/core/elf";
import { SimTarget } from "@ebplane/core/sim";
import { verify } from "@ebplane/core/verifier";
import { XDP, XdpRing } from "@ebplane/core/vm";
import { readCapture } from "@ebplane/core/wire";
import { buildPlane, parsePlane, startPlane } from "@ebplane/functions";
import { parseCases } from "../../packages/core/src/vm/testing/cases.ts";
import { type Judgement, judgeCase } from "../../packages/core/src/vm/testing/judge.ts";

const ENGINES = ["interp", "jit"] as const;
type EngineName = (typeof ENGINES)[number];

export interface CaseFile {
  readonly file: string;
  readonly text: string;
}

/** A plane file's text and what arrives at one of its interfaces. */
export interface PlaneInput {
  readonly yaml: string;
  readonly iface: string;
  /** Hex of a capture file. */
  readonly capture: string;
}

/** One run of one case. */
export interface CaseOutcome extends Judgement {
  readonly title: string;
}

export interface PlaneOutcome {
  /** Hex of the ELF object that the plane was compiled to. */
  readonly object: string;
  /** One a program, read back from that object: verdict and insns that the verifier processed. */
  readonly verified: readonly string[];
  readonly packets: number;
  /** By engine: what became of the packets. */
  readonly fates: Readonly<Record<EngineName, Readonly<Record<string, number>>>>;
  /** By engine: the plane's report as JSON. */
  readonly reports: Readonly<Record<EngineName, string>>;
}

/** Runs every case on every engine. */
export function runCases(files: readonly CaseFile[]): CaseOutcome[] {
  return files.flatMap(({ file, text }) =>
    parseCases(text).flatMap((c) =>
      ENGINES.map((engine) => ({ title: `${file}:${c.line} ${c.name} on ${engine}`, ...judgeCase(c, engine) })),
    ),
  );
}

/** Compiles a plane, verifies it from its object, and runs it on sim over a capture, on every engine. */
export function runPlane(input: PlaneInput): PlaneOutcome {
  const plane = parsePlane(input.yaml, "plane.yaml");
  const built = buildPlane(plane);
  const object = writeElf(built.spec);
  const read = readElf(object);
  const verified = [...read.programs.values()].map((program) => {
    const report = verify(program, { maps: read.maps, license: read.license, btf: read.btf });
    return `${program.name}: ${report.verdict}, ${report.processed} insns ${report.message}`.trim();
  });
  const { packets } = readCapture(fromHex(input.capture));
  const devices = new Map([...plane.interfaces].map(([name, { device }]) => [name, device ?? name]));
  const runs = ENGINES.map((engine) => {
    const sim = new SimTarget({ devices: [...devices.values()], engine });
    using running = startPlane(plane, built, sim);
    const fates: Record<string, number> = {};
    for (const { bytes, timestampNs } of packets) {
      const fate = sim.device(devices.get(input.iface)!).receive(bytes, timestampNs);
      fates[fate] = (fates[fate] ?? 0) + 1;
    }
    const report = JSON.stringify(running.report(), (_, v) => (typeof v === "bigint" ? `${v}` : v));
    return [engine, fates, report] as const;
  });
  return {
    object: toHex(object),
    verified,
    packets: packets.length,
    fates: Object.fromEntries(runs.map(([engine, fates]) => [engine, fates])) as PlaneOutcome["fates"],
    reports: Object.fromEntries(runs.map(([engine, , report]) => [engine, report])) as PlaneOutcome["reports"],
  };
}

let compileAgain: (() => void) | undefined;

/** Compiles a plane once, for `compileRound`. Gives the instructions of its programs. */
export function startCompile(yaml: string): number {
  const plane = parsePlane(yaml, "plane.yaml");
  compileAgain = () => void buildPlane(plane);
  return [...buildPlane(plane).spec.programs.values()].reduce((n, p) => n + p.code.length / 8, 0);
}

/** Milliseconds to compile it again. */
export function compileRound(): number {
  if (!compileAgain) throw new TypeError("startCompile comes first");
  const start = performance.now();
  compileAgain();
  return performance.now() - start;
}

/** Frames of a batch. */
const RING = 64;
/** Batches between two looks at the clock, whose resolution in a browser may be 0.1 ms. */
const BATCHES = 2000;

let round: (() => number) | undefined;

/** Loads a plane's program of one interface on the JIT for `benchRound`. */
export function startBench(input: PlaneInput): null {
  const plane = parsePlane(input.yaml, "plane.yaml");
  const sim = new SimTarget({ devices: [...plane.interfaces].map(([name, i]) => i.device ?? name), engine: "jit" });
  const { collection } = startPlane(plane, buildPlane(plane), sim);
  const vm = sim.vmProgram(collection.programs.get(input.iface)!);
  const { packets } = readCapture(fromHex(input.capture));
  const ring = new XdpRing(sim.machine.memory, RING);
  round = () => {
    for (let i = 0; i < RING; i++) ring.write(i, packets[i % packets.length]!.bytes, { ingressIfindex: 1 });
    const start = performance.now();
    for (let b = 0; b < BATCHES; b++) vm.runner.batch(ring.ctx, XDP.STRIDE, RING, ring.verdicts);
    return ((performance.now() - start) * 1e6) / (BATCHES * RING);
  };
  return null;
}

/** Nanoseconds a packet in one round of batches, packets being in the machine's memory. */
export function benchRound(): number {
  if (!round) throw new TypeError("startBench comes first");
  return round();
}
