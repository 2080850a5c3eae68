/** Prints what was measured: a table of nanoseconds, then each target with its geometric mean and worst program. */
import type { Timed } from "./engines.ts";
import type { Footprint, Latency } from "./latency.ts";

export interface Measured {
  readonly program: string;
  readonly engine: string;
  /** Runs a round. */
  readonly count: number;
  /** Nanoseconds a run, one a round. */
  readonly ns: number[];
  readonly timed: Timed;
}

interface Target {
  readonly title: string;
  /** Engine whose time is divided by ours. */
  readonly peer: string;
  readonly ours: string;
  readonly geomean: number;
  /** No program may be below. */
  readonly worst: number;
  /** Only this program. */
  readonly only?: string;
  /** Takes the empty program's time off both. */
  readonly net?: boolean;
}

const TARGETS: readonly Target[] = [
  { title: "uBPF JIT / jit inlined", peer: "ubpf jit", ours: "jit inlined", geomean: 2.5, worst: 1 },
  { title: "uBPF JIT / jit inlined, LPM", peer: "ubpf jit", ours: "jit inlined", geomean: 15, worst: 15, only: "lpm" },
  { title: "uBPF JIT / jit call", peer: "ubpf jit", ours: "jit call", geomean: 1.8, worst: 0 },
  { title: "kernel TEST_RUN / jit inlined", peer: "kernel", ours: "jit inlined", geomean: 1, worst: 1 },
  {
    title: "kernel / jit inlined, net of drop",
    peer: "kernel",
    ours: "jit inlined",
    geomean: 1.5,
    worst: 0,
    net: true,
  },
  { title: "gcc, maps out of line / jit inlined", peer: "gcc", ours: "jit inlined", geomean: 1, worst: 0 },
  { title: "gcc, maps inlined / jit inlined", peer: "gcc inlined", ours: "jit inlined", geomean: 0.8, worst: 0.5 },
  { title: "uBPF interpreter / interp", peer: "ubpf interp", ours: "interp", geomean: 1, worst: 0 },
];

const minimum = (m: Measured) => Math.min(...m.ns);
function median(m: Measured): number {
  const sorted = [...m.ns].sort((a, b) => a - b);
  return sorted[sorted.length >> 1]!;
}

export function printTables(measured: readonly Measured[], load: readonly Latency[], memory?: Footprint): void {
  const programs = [...new Set(measured.map((m) => m.program))];
  const engines = [...new Set(measured.map((m) => m.engine))];
  const cell = (engine: string, program: string): string => {
    const m = measured.find((x) => x.engine === engine && x.program === program);
    return m ? format(minimum(m)) : "-";
  };
  console.log("ns a run, minimum (median of all rounds is at most a few percent above unless said)\n");
  table([
    ["engine", ...programs],
    ...engines.map((engine) => [engine, ...programs.map((program) => cell(engine, program))]),
  ]);
  const shaky = measured.filter((m) => median(m) > 1.15 * minimum(m));
  for (const m of shaky) console.log(`  median of ${m.program} on ${m.engine}: ${format(median(m))}`);

  console.log("\ntimes faster; targets from issue 3, Speed\n");
  const rows = TARGETS.flatMap((target) => {
    const row = ratios(measured, target);
    return row ? [row] : [];
  });
  table([["target", "geomean", "wanted", "worst", "wanted", "holds"], ...rows]);

  if (!load.length) return;
  console.log("\nbytecode to first packet, ms\n");
  table([
    ["insns", "first ever", "warm", "wanted", "holds"],
    ...load.map((l) => [
      `${l.insns}`,
      l.coldMs.toFixed(2),
      l.warmMs.toFixed(2),
      `${l.targetMs}`,
      yes(l.warmMs <= l.targetMs),
    ]),
  ]);
  if (!memory) return;
  console.log("\nmemory of a loaded program, MB\n");
  const { insns, residentMb, heapMb, targetMb } = memory;
  table([
    ["insns", "resident", "of it heap", "wanted", "holds"],
    [`${insns}`, residentMb.toFixed(2), heapMb.toFixed(2), `${targetMb}`, yes(residentMb <= targetMb)],
  ]);
}

function ratios(measured: readonly Measured[], target: Target): string[] | undefined {
  const time = (engine: string, program: string): number | undefined => {
    const m = measured.find((x) => x.engine === engine && x.program === program);
    if (!m) return undefined;
    if (!target.net) return minimum(m);
    const floor = measured.find((x) => x.engine === engine && x.program === "drop");
    return floor && program !== "drop" ? Math.max(minimum(m) - minimum(floor), 0.1) : undefined;
  };
  const all: { program: string; ratio: number }[] = [];
  for (const program of new Set(measured.map((m) => m.program))) {
    if (target.only && program !== target.only) continue;
    const peer = time(target.peer, program);
    const ours = time(target.ours, program);
    if (peer !== undefined && ours !== undefined) all.push({ program, ratio: peer / ours });
  }
  if (!all.length) return undefined;
  const geomean = Math.exp(all.reduce((sum, { ratio }) => sum + Math.log(ratio), 0) / all.length);
  const worst = all.reduce((a, b) => (b.ratio < a.ratio ? b : a));
  const holds = geomean >= target.geomean && worst.ratio >= target.worst;
  return [
    target.title,
    geomean.toFixed(2),
    `${target.geomean}`,
    `${worst.ratio.toFixed(2)} ${worst.program}`,
    target.worst ? `${target.worst}` : "",
    yes(holds),
  ];
}

export function printJson(measured: readonly Measured[], load: readonly Latency[], memory?: Footprint): void {
  const programs = [...new Set(measured.map((m) => m.program))].map((name) => ({
    name,
    ns: Object.fromEntries(
      measured
        .filter((m) => m.program === name)
        .map((m) => [m.engine, { min: minimum(m), median: median(m), runs: m.count * m.ns.length }]),
    ),
  }));
  console.log(JSON.stringify({ programs, latency: load, memory }, undefined, 2));
}

function yes(holds: boolean): string {
  return holds ? "yes" : "NO";
}

function format(ns: number): string {
  return ns < 10 ? ns.toFixed(2) : ns < 1000 ? ns.toFixed(1) : ns.toFixed(0);
}

function table(rows: readonly (readonly string[])[]): void {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  for (const row of rows) {
    console.log(`  ${row.map((text, i) => (i ? text.padStart(widths[i]!) : text.padEnd(widths[i]!))).join("  ")}`);
  }
}
