/**
 * `ebplane diff`: the same packets through several engines, in step; it says where they part in verdict, packet bytes
 * or map contents.
 */

import { dirname, join } from "node:path";
import { bytesEqual, toHex } from "@ebplane/core/bytes";
import { SysError } from "@ebplane/core/errors";
import {
  type Collection,
  type CollectionSpec,
  type MapSpec,
  MapType,
  mapTypeName,
  type TestRunResult,
  usedMaps,
  verdictName,
} from "@ebplane/core/object";
import type { Command } from "commander";
import { openCapture } from "../captures.ts";
import { ENGINES, type Engine, openSession, openTarget, parseEngine, type Session } from "../engines.ts";
import { answerNo, UsageError } from "../failure.ts";
import { isPlaneFile, loadObject, loadPlane, pickProgram } from "../input.ts";
import { note, print, printJson } from "../output.ts";

interface DiffOptions {
  readonly pcap?: string;
  readonly prog?: string;
  readonly engines?: string;
  readonly json?: boolean;
}

/** Where engines part. `packet` counts from 1 within the capture. */
interface Difference {
  readonly program: string;
  readonly packet: number;
  readonly what: "verdict" | "packet" | "map";
  /** What each engine has, by its name. */
  readonly values: Readonly<Record<string, string>>;
  readonly map?: string;
  readonly key?: string;
}

/** Packets between two comparisons of all maps; a difference is then replayed packet by packet. */
const MAP_CHECK = 512;

export function registerDiff(program: Command): void {
  program
    .command("diff <prog>")
    .description("the same packets through jit, interp and kernel; exit 1 when they part")
    .option("--pcap <file>", "the packets; of a plane, each interface's own capture when absent")
    .option("--prog <name>", "which program of the object")
    .option("--engines <names>", "which to compare, the first is the reference", "kernel,jit,interp")
    .option("--json", "one JSON document")
    .action(async (path: string, options: DiffOptions) => {
      const engines = (options.engines ?? ENGINES.join()).split(",").map((e) => parseEngine(e.trim(), "--engines"));
      if (engines.length < 2) throw new UsageError("--engines: expected at least two engines to compare");
      const jobs = await diffJobs(path, options);
      const differences: Difference[] = [];
      let packets = 0;
      for (const { spec, name, pcap, fill } of jobs) {
        const frames = openCapture(pcap)
          .packets.map((p, i) => ({ number: i + 1, bytes: p.bytes }))
          .filter((f) => f.bytes.length >= 14);
        packets += frames.length;
        const found = await compare(spec, name, engines, frames, fill);
        if (found) differences.push(found);
      }
      if (differences.length) answerNo();
      if (options.json) {
        printJson({ packets, engines, differences });
        return;
      }
      for (const d of differences) print(differenceText(d));
      for (const text of new Set(jobs.flatMap(({ spec, name }) => unread(spec, name)))) note(text);
      note(`${packets} packets through ${engines.join(", ")}: ${differences.length ? "they differ" : "no difference"}`);
    });
}

interface Job {
  /** What is in the maps besides the spec's contents. */
  readonly fill: (maps: Collection["maps"]) => void;
  readonly spec: CollectionSpec;
  readonly name: string;
  readonly pcap: string;
}

async function diffJobs(path: string, options: DiffOptions): Promise<Job[]> {
  if (isPlaneFile(path)) {
    const { plane, built } = await loadPlane(path);
    return built.layout.interfaces.flatMap(({ name, program }) => {
      const own = plane.interfaces.get(name)!.pcap;
      const pcap = options.pcap ?? (own === undefined ? undefined : join(dirname(path), own));
      if (!program || pcap === undefined || (options.prog !== undefined && options.prog !== program.name)) return [];
      // Every redirect finds a device: ifindex 1, the loopback of a namespace of its own.
      const fill = (maps: Collection["maps"]): void => {
        const devices = built.layout.devices === undefined ? undefined : maps.get(built.layout.devices);
        for (let i = 0; devices && i < plane.interfaces.size; i++) devices.update(word(i), word(1));
      };
      return [{ spec: built.spec, name: program.name, pcap, fill }];
    });
  }
  if (options.pcap === undefined) throw new UsageError("diff: name the packets with --pcap FILE");
  const spec = await loadObject(path);
  return [{ spec, name: pickProgram(spec, options.prog, path).name, pcap: options.pcap, fill: () => {} }];
}

/** A 32-bit word in memory order. */
function word(n: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(n).buffer);
}

/** The maps of a program that are not compared, with the reason. */
function unread(spec: CollectionSpec, program: string): string[] {
  return usedMaps(spec, [spec.programs.get(program)!]).flatMap((name) => {
    const why = leftOut(spec.maps.get(name)!);
    return why ? [`map ${name} is not compared: ${why}`] : [];
  });
}

type Frame = { readonly number: number; readonly bytes: Uint8Array };

async function compare(
  spec: CollectionSpec,
  name: string,
  engines: readonly Engine[],
  frames: readonly Frame[],
  fill: Job["fill"],
): Promise<Difference | undefined> {
  const cpus = engines.includes("kernel") ? (await openTarget("kernel")).target.cpus : 1;
  const targets = await Promise.all(engines.map((engine) => openTarget(engine, cpus)));
  const step = (from: number, to: number, every: number): Difference | undefined => {
    const sessions = targets.map((target) => openSession(target, spec, name, fill));
    try {
      for (let i = 0; i < to; i++) {
        const frame = frames[i]!;
        const found = comparePacket(sessions, frame);
        if (found) return found;
        if (i >= from && ((i + 1) % every === 0 || i + 1 === to)) {
          const map = compareMaps(sessions, frame);
          if (map) return map;
        }
      }
    } finally {
      for (const session of sessions) session[Symbol.dispose]();
    }
    return undefined;
  };
  const coarse = step(0, frames.length, MAP_CHECK);
  if (coarse?.what !== "map") return coarse;
  const end = frames.findIndex((f) => f.number === coarse.packet) + 1;
  return step(Math.max(0, end - MAP_CHECK), end, 1) ?? coarse;
}

function comparePacket(sessions: readonly Session[], frame: Frame): Difference | undefined {
  const outcomes = sessions.map((s) => runOrRefusal(s, frame));
  const { name, type } = sessions[0]!.program.spec;
  const values = (text: (i: number) => string): Record<string, string> =>
    Object.fromEntries(sessions.map((s, i) => [s.engine, text(i)]));
  if (outcomes.some((o) => typeof o === "string")) {
    // A frame that the kernel's test run does not take: no engine may take it.
    const text = (i: number): string => {
      const o = outcomes[i]!;
      return typeof o === "string" ? `refused: ${o}` : verdictName(type, o.verdict);
    };
    if (outcomes.every((o) => o === outcomes[0])) return undefined;
    return { program: name, packet: frame.number, what: "verdict", values: values(text) };
  }
  const results = outcomes as TestRunResult[];
  const first = results[0]!;
  if (results.some((r) => r.verdict !== first.verdict)) {
    return {
      program: name,
      packet: frame.number,
      what: "verdict",
      values: values((i) => verdictName(type, results[i]!.verdict)),
    };
  }
  if (results.some((r) => !bytesEqual(r.packet, first.packet))) {
    return { program: name, packet: frame.number, what: "packet", values: values((i) => toHex(results[i]!.packet)) };
  }
  return undefined;
}

/** The result, or the name of the errno with which the run was refused. */
function runOrRefusal(session: Session, frame: Frame): TestRunResult | string {
  try {
    return session.program.testRun({ packet: frame.bytes });
  } catch (e) {
    if (e instanceof SysError) return e.code;
    throw e;
  }
}

/** Maps whose values name what each engine calls by another name, or that nobody can read. */
const NOT_COMPARED: ReadonlySet<number> = new Set([
  MapType.BPF_MAP_TYPE_PROG_ARRAY,
  MapType.BPF_MAP_TYPE_PERF_EVENT_ARRAY,
  MapType.BPF_MAP_TYPE_CGROUP_ARRAY,
  MapType.BPF_MAP_TYPE_ARRAY_OF_MAPS,
  MapType.BPF_MAP_TYPE_HASH_OF_MAPS,
  MapType.BPF_MAP_TYPE_XSKMAP,
  MapType.BPF_MAP_TYPE_SOCKMAP,
  MapType.BPF_MAP_TYPE_SOCKHASH,
  MapType.BPF_MAP_TYPE_REUSEPORT_SOCKARRAY,
  MapType.BPF_MAP_TYPE_STACK_TRACE,
  MapType.BPF_MAP_TYPE_RINGBUF,
  MapType.BPF_MAP_TYPE_USER_RINGBUF,
  MapType.BPF_MAP_TYPE_BLOOM_FILTER,
  MapType.BPF_MAP_TYPE_QUEUE,
  MapType.BPF_MAP_TYPE_STACK,
]);
/** Entries of an array that are read through the kernel, one call each, at every comparison. */
const MOST_ENTRIES = 1 << 17;

/** Why a map's contents are not compared, or undefined. */
function leftOut({ type, maxEntries }: MapSpec): string | undefined {
  if (NOT_COMPARED.has(type)) return `${mapTypeName(type)} cannot be read alike`;
  const isArray = type === MapType.BPF_MAP_TYPE_ARRAY || type === MapType.BPF_MAP_TYPE_PERCPU_ARRAY;
  return isArray && maxEntries > MOST_ENTRIES ? `${maxEntries} entries` : undefined;
}

function compareMaps(sessions: readonly Session[], frame: Frame): Difference | undefined {
  const { name } = sessions[0]!.program.spec;
  for (const [map, { spec }] of sessions[0]!.collection.maps) {
    if (leftOut(spec)) continue;
    const contents = sessions.map(
      (s) => new Map([...s.collection.maps.get(map)!.entries()].map(([k, v]) => [toHex(k), toHex(v)])),
    );
    const keys = new Set(contents.flatMap((c) => [...c.keys()]));
    for (const key of keys) {
      const first = contents[0]!.get(key);
      if (contents.every((c) => c.get(key) === first)) continue;
      const values = Object.fromEntries(sessions.map((s, i) => [s.engine, contents[i]!.get(key) ?? "(no entry)"]));
      return { program: name, packet: frame.number, what: "map", map, key, values };
    }
  }
  return undefined;
}

function differenceText(d: Difference): string {
  const what = d.what === "map" ? `map ${d.map}, key ${d.key}` : d.what;
  const values = Object.entries(d.values).map(([engine, value]) => `  ${engine.padEnd(7)} ${value}`);
  return [`${d.program}: packet ${d.packet}: ${what} differs`, ...values].join("\n");
}
