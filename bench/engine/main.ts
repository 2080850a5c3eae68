/**
 * All engines on the same bytecode in one interleaved run: each round times every engine on every program, so that a
 * machine that slows down slows all of them. Prints nanoseconds a run (minimum and median), ratios and their geometric
 * means against the targets.
 *
 *     npx tsx --conditions=source bench/engine/main.ts [--ubpf LIBRARY] [--rounds N] [--programs a,b] [--json]
 *
 * LIBRARY is a uBPF shared library, built by whoever runs the bench; without it its columns are left out. The kernel
 * column needs bpf(2). Needs clang and gcc.
 */
import { rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { buildBpf, temporaryFolder } from "./build.ts";
import { batch, kernel, kernelAvailable, perCall, type Timed } from "./engines.ts";
import { footprint, latency } from "./latency.ts";
import { openNative } from "./native.ts";
import { PROGRAMS } from "./programs.ts";
import { type Measured, printJson, printTables } from "./report.ts";

const { values: args } = parseArgs({
  options: {
    ubpf: { type: "string" },
    rounds: { type: "string", default: "40" },
    programs: { type: "string" },
    json: { type: "boolean", default: false },
  },
});

/** Wall time of one measurement: below a scheduler slice, so that the minimum meets no other process. */
const TARGET_NS = 2e6;

const wanted = args.programs?.split(",");
const programs = PROGRAMS.filter((p) => !wanted || wanted.includes(p.name));
if (!programs.length) {
  console.error(`bench: no program named ${args.programs}, expected some of ${PROGRAMS.map((p) => p.name).join(",")}`);
  process.exit(2);
}

const folder = temporaryFolder();
try {
  const native = openNative(folder, programs, args.ubpf);
  const hasKernel = kernelAvailable();
  if (!hasKernel.ok) console.error(`bench: no kernel column: ${hasKernel.reason}`);
  const measured: Measured[] = [];
  for (const program of programs) {
    const spec = buildBpf(folder, program.name);
    const engines = new Map<string, Timed>([
      ["gcc", native.gcc(program, "out")],
      ["gcc inlined", native.gcc(program, "in")],
      ["jit batch", batch(program, spec, "jit", false)],
      ["jit inlined", batch(program, spec, "jit", true)],
      ["jit call", perCall(program, spec, false)],
      ["jit call+copy", perCall(program, spec, true)],
      ["interp", batch(program, spec, "interp", false)],
    ]);
    if (native.ubpf) {
      engines.set("ubpf jit", native.ubpf(program, spec, "jit"));
      engines.set("ubpf interp", native.ubpf(program, spec, "interp"));
    }
    if (hasKernel.ok) engines.set("kernel", kernel(program, spec));
    for (const [name, engine] of engines) {
      const counts = calibrate(engine);
      measured.push({ program: program.name, engine: name, count: counts, ns: [], timed: engine });
      if (engine.verdict() !== program.verdict) {
        throw new Error(`${program.name} on ${name}: verdict ${engine.verdict()}, expected ${program.verdict}`);
      }
    }
  }
  // V8 compiles hot wasm anew in the background, with whatever time other processes leave: run, wait, run.
  for (let pass = 0; pass < 3; pass++) {
    for (const m of measured) m.timed.time(4 * m.count);
    await sleep(500);
  }
  for (let round = 0; round < Number(args.rounds); round++) {
    for (const m of measured) m.ns.push(m.timed.time(m.count) / m.count);
  }
  const load = wanted ? [] : latency();
  const memory = wanted ? undefined : await footprint();
  if (args.json) printJson(measured, load, memory);
  else printTables(measured, load, memory);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** Warms up, then answers how many runs take about TARGET_NS. */
function calibrate(engine: Timed): number {
  let count = 256;
  for (;;) {
    const ns = engine.time(count);
    if (ns > TARGET_NS / 4) return Math.max(256, Math.ceil((count * TARGET_NS) / ns / 256) * 256);
    count *= 4;
  }
}
