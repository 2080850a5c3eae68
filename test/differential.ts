/**
 * Runs generated programs on the interpreter, the JIT and the kernel and compares what each leaves behind: r0, the
 * registers that the program stored, packet bytes and length, map contents. Not a test file: differential.test.ts and
 * scripts/differential.mjs use it.
 */
import { concatBytes, toHex } from "@ebplane/core/bytes";
import { SysError, VerifierError } from "@ebplane/core/errors";
import type { BpfMap, ProgramSpec } from "@ebplane/core/object";
import { type EngineName, Machine, type VmMap, XdpRing } from "@ebplane/core/vm";
import { linuxTarget } from "@ebplane/linux";
import {
  build,
  collection,
  type Generated,
  generate,
  MAPS,
  PACKET_ROOM,
  shrink,
} from "../packages/core/src/vm/testing/generate.ts";
import { Random } from "../packages/core/src/vm/testing/random.ts";

/** What one run left behind, as text to compare and to print. */
export interface Outcome {
  readonly verdict: number;
  readonly packet: string;
  readonly vals: string;
  readonly hash: string;
}

export interface Runner {
  readonly name: string;
  /** The outcome, or why the program was refused. */
  run(program: ProgramSpec, packet: Uint8Array): Outcome | { readonly refused: string };
  close(): void;
}

const ZERO_KEY = new Uint8Array(4);
const ZEROS = new Uint8Array(MAPS[0]!.valueSize);

function resetMaps(vals: BpfMap, hash: BpfMap, program: ProgramSpec): void {
  vals.update(ZERO_KEY, ZEROS);
  if (usesHash(program)) for (const [key] of [...hash.entries()]) hash.delete(key);
}

const usesHash = (program: ProgramSpec): boolean => program.relocs.some((r) => r.name === "hash");

function outcome(program: ProgramSpec, verdict: number, packet: Uint8Array, vals: BpfMap, hash: BpfMap): Outcome {
  const entries = usesHash(program) ? [...hash.entries()].map(([k, v]) => `${toHex(k)}=${toHex(v)}`).sort() : [];
  return { verdict, packet: toHex(packet), vals: toHex(vals.lookup(ZERO_KEY)!), hash: entries.join(" ") };
}

/** An engine of ours. */
export function engineRunner(engine: EngineName): Runner {
  let machine: Machine;
  let maps: Map<string, VmMap>;
  let ring: XdpRing;
  let runs = 0;
  return {
    name: engine,
    run(program, packet) {
      // A machine forgets nothing of what it compiled: a new one now and then keeps the memory flat.
      if (runs++ % 500 === 0) {
        machine = new Machine();
        maps = new Map(MAPS.map((spec) => [spec.name, machine.createMap(spec)]));
        ring = new XdpRing(machine.memory);
      }
      const vals = maps.get("vals")!;
      const hash = maps.get("hash")!;
      resetMaps(vals, hash, program);
      const loaded = machine.load(program, { maps, license: "GPL", engine });
      const verdict = loaded.run(ring.write(0, packet));
      // The kernel's test run gives back what lies between data_meta and data_end.
      const result = outcome(program, verdict, concatBytes([ring.metadata(), ring.packet()]), vals, hash);
      loaded.close();
      return result;
    },
    close() {},
  };
}

/** The kernel, by PROG_TEST_RUN. */
export function kernelRunner(): Runner {
  const target = linuxTarget();
  const kept = target.load({ ...collection(build({ main: [], subprograms: [] })) });
  // The first program uses `vals` alone: make the other one too.
  const withHash = target.load(
    { ...collection(build({ main: [], subprograms: [] })), programs: new Map() },
    { reuse: kept.maps },
  );
  const maps = new Map([...withHash.maps, ...kept.maps]);
  return {
    name: "kernel",
    run(program, packet) {
      const vals = maps.get("vals")!;
      const hash = maps.get("hash")!;
      resetMaps(vals, hash, program);
      try {
        using loaded = target.load(collection(program), { reuse: maps, programs: [program.name] });
        const { verdict, packet: after } = loaded.programs.get(program.name)!.testRun({ packet });
        return outcome(program, verdict, after, vals, hash);
      } catch (error) {
        if (error instanceof VerifierError) return { refused: error.log.split("\n").slice(-6).join("\n") };
        if (error instanceof SysError) return { refused: error.message };
        throw error;
      }
    },
    close() {
      withHash.close();
      kept.close();
    },
  };
}

export interface Difference {
  readonly seed: number;
  readonly between: string;
  readonly program: Generated;
  readonly packet: Uint8Array;
  readonly outcomes: Record<string, Outcome | { readonly refused: string }>;
}

export interface Report {
  readonly accepted: number;
  readonly refused: number;
  /** Why programs were refused: reason and count. */
  readonly reasons: ReadonlyMap<string, number>;
  readonly insns: number;
  readonly differences: readonly Difference[];
}

function packetOf(seed: number): Uint8Array {
  const random = new Random(seed ^ 0x5eed);
  return random.bytes(PACKET_ROOM + random.below(140));
}

function compare(
  runners: readonly Runner[],
  generated: Generated,
  packet: Uint8Array,
): { outcomes: Difference["outcomes"]; between: string | undefined; refused: string | undefined; insns: number } {
  const program = build(generated);
  const outcomes: Difference["outcomes"] = {};
  let first: string | undefined;
  let between: string | undefined;
  let refused: string | undefined;
  for (const runner of runners) {
    const result = runner.run(program, packet);
    outcomes[runner.name] = result;
    if ("refused" in result) {
      refused = result.refused;
      // The kernel refuses what it likes; an engine of ours must not.
      if (runner.name !== "kernel") between = `${runner.name} refuses`;
      break;
    }
    const text = JSON.stringify(result);
    if (first === undefined) first = text;
    else if (text !== first) between = `${runners[0]!.name} and ${runner.name}`;
  }
  return { outcomes, between, refused, insns: program.code.length / 8 };
}

/** Compares the programs of seeds `from` up to `from + count`; the kernel, where it is a runner, must come first. */
export function differential(runners: readonly Runner[], from: number, count: number, stopAfter = 3): Report {
  let accepted = 0;
  let refused = 0;
  let insns = 0;
  const reasons = new Map<string, number>();
  const differences: Difference[] = [];
  for (let seed = from; seed < from + count && differences.length < stopAfter; seed++) {
    const generated = generate(seed);
    const packet = packetOf(seed);
    const result = compare(runners, generated, packet);
    if (result.refused !== undefined && !result.between) {
      refused++;
      const reason =
        result.refused.split("\n").find((l) => /^[A-Za-z]/.test(l) && !/^processed|^verification/.test(l)) ??
        result.refused;
      reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
      continue;
    }
    accepted++;
    insns += result.insns;
    if (!result.between) continue;
    const program = shrink(generated, (p) => compare(runners, p, packet).between !== undefined);
    const { outcomes, between } = compare(runners, program, packet);
    differences.push({ seed, between: between!, program, packet, outcomes });
  }
  return { accepted, refused, reasons, insns, differences };
}
