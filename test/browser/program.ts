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
import { type EngineCase, parseCases } from "../../packages/core/src/vm/testing/cases.ts";
import { runCase } from "../../packages/core/src/vm/testing/run-case.ts";

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
export interface CaseOutcome {
  readonly title: string;
  /** What was computed (r0 and memory), or the error that the case expects. */
  readonly got: string;
  /** What is wrong with it; undefined when it is as the case says. */
  readonly failure: string | undefined;
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
      ENGINES.map((engine) => ({ title: `${file}:${c.line} ${c.name} on ${engine}`, ...judged(c, engine) })),
    ),
  );
}

function judged(c: EngineCase, engine: EngineName): { got: string; failure: string | undefined } {
  const error = c.sections.get("error");
  try {
    const { r0, after } = runCase(c, engine);
    const got = `r0 ${r0}, memory ${toHex(after, " ")}`;
    const result = c.sections.get("result");
    const bytes = c.sections.get("after");
    if (error !== undefined) return { got, failure: `expected the error ${error}` };
    if (result !== undefined && r0 !== BigInt.asUintN(64, BigInt(result)))
      return { got, failure: `expected ${result}` };
    if (bytes !== undefined && toHex(after, " ") !== bytes) return { got, failure: `expected memory ${bytes}` };
    if (result === undefined && bytes === undefined) {
      const reference = runCase(c, "interp").r0;
      if (reference !== r0) return { got, failure: `expected ${reference} as on interp` };
    }
    return { got, failure: undefined };
  } catch (e) {
    const got = `${e}`;
    const expected = error !== undefined && e instanceof Error && e.message.includes(error);
    return {
      got,
      failure: expected ? undefined : `expected ${error === undefined ? "no error" : `the error ${error}`}`,
    };
  }
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
