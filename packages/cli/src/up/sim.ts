/** A plane on sim: captures play the networks, packets are processed in the order of their timestamps. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { SimTarget } from "@ebplane/core/sim";
import { type CapturedPacket, writeCapture } from "@ebplane/core/wire";
import { deviceOf, startPlane } from "@ebplane/functions";
import { logUpdateStderr } from "log-update";
import { openCapture } from "../captures.ts";
import { UsageError } from "../failure.ts";
import { inSource, type LoadedPlane } from "../input.ts";
import { grouped, note, print, printJson } from "../output.ts";
import { reportText } from "../plane-table.ts";

export interface UpSimOptions {
  /** `IFACE=FILE`, as given. */
  readonly pcaps: readonly string[];
  readonly out: string | undefined;
  readonly engine: "jit" | "interp";
  readonly json: boolean;
}

/** What leaves an interface, by the way it leaves: out of the wire, or up to the host's stack. */
const WAYS = ["out", "stack"] as const;

interface Arrival {
  readonly iface: string;
  readonly packet: CapturedPacket;
}

export async function upSim(path: string, { plane, built }: LoadedPlane, options: UpSimOptions): Promise<void> {
  const sources = captureFiles(path, plane.interfaces, options.pcaps);
  if (sources.size === 0)
    throw new UsageError("no packets to run: give interfaces a pcap in the plane file, or --pcap IFACE=FILE");
  const arrivals: Arrival[] = [];
  for (const [iface, file] of sources) {
    for (const packet of openCapture(file).packets) arrivals.push({ iface, packet });
  }
  // Stable: packets of one capture keep their order even where timestamps are equal.
  arrivals.sort((a, b) =>
    a.packet.timestampNs < b.packet.timestampNs ? -1 : a.packet.timestampNs > b.packet.timestampNs ? 1 : 0,
  );

  const devices = new Map([...plane.interfaces.keys()].map((name) => [name, deviceOf(plane, name)]));
  const sim = new SimTarget({ devices: [...devices.values()], engine: options.engine });
  const written = new Map<string, { timestampNs: bigint; bytes: Uint8Array }[]>();
  for (const [name, device] of devices) {
    for (const way of WAYS) {
      const kept: { timestampNs: bigint; bytes: Uint8Array }[] = [];
      written.set(`${name}.${way}.pcap`, kept);
      const keep = (bytes: Uint8Array, timestampNs: bigint): void => {
        if (options.out !== undefined) kept.push({ timestampNs, bytes: bytes.slice() });
      };
      if (way === "out") sim.device(device).onTransmit = keep;
      else sim.device(device).onStack = keep;
    }
  }

  using running = inSource(built.spec, () => startPlane(plane, built, sim));
  const started = performance.now();
  const live = process.stderr.isTTY && !options.json;
  let drawn = 0;
  for (const [i, { iface, packet }] of arrivals.entries()) {
    sim.device(devices.get(iface)!).receive(packet.bytes, packet.timestampNs);
    if (live && i % 64 === 0 && performance.now() - drawn > 80) {
      drawn = performance.now();
      logUpdateStderr(
        `${plane.name}: ${progressBar(i / arrivals.length)} ${grouped(i)} of ${grouped(arrivals.length)} packets`,
      );
      await setImmediate();
    }
  }
  const ms = performance.now() - started;
  if (live) {
    logUpdateStderr.clear();
    logUpdateStderr.done();
  }

  const files: Record<string, { path: string; packets: number }> = {};
  if (options.out !== undefined) {
    mkdirSync(options.out, { recursive: true });
    for (const [name, kept] of written) {
      const file = join(options.out, name);
      writeFileSync(file, writeCapture(kept));
      files[name] = { path: file, packets: kept.length };
    }
  }
  const report = running.report();
  if (options.json) {
    printJson({
      ...report,
      target: "sim",
      engine: options.engine,
      packets: arrivals.length,
      ms: Math.round(ms),
      files,
    });
    return;
  }
  const titles = new Map([...sources].map(([name, file]) => [name, `sim, from ${file}`]));
  print(`plane ${plane.name} on sim: ${grouped(arrivals.length)} packets in ${ms.toFixed(0)} ms (${options.engine})\n`);
  print(reportText(report, titles));
  if (options.out !== undefined) {
    print("");
    for (const { path: file, packets } of Object.values(files))
      if (packets) note(`wrote ${file}: ${grouped(packets)} packets`);
  }
}

function progressBar(done: number): string {
  const width = 24;
  const full = Math.round(done * width);
  return `${"█".repeat(full)}${"░".repeat(width - full)}`;
}

/** Capture per interface: the plane file's own (relative to it), replaced by `--pcap IFACE=FILE`. */
function captureFiles(
  path: string,
  interfaces: LoadedPlane["plane"]["interfaces"],
  given: readonly string[],
): Map<string, string> {
  const files = new Map<string, string>();
  for (const [name, { pcap }] of interfaces) if (pcap !== undefined) files.set(name, join(dirname(path), pcap));
  for (const text of given) {
    const [, iface, file] = /^([^=]+)=(.+)$/.exec(text) ?? [];
    if (!iface || !file) throw new UsageError(`--pcap: expected IFACE=FILE, got ${text}`);
    if (!interfaces.has(iface)) {
      throw new UsageError(`--pcap: no interface named ${iface}: the plane has ${[...interfaces.keys()].join(", ")}`);
    }
    files.set(iface, file);
  }
  return files;
}
