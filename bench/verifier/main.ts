/**
 * Our verifier beside the running kernel's: the time of `verify` and of BPF_PROG_LOAD (verify and JIT) of the same
 * program, taken in turns in one process, and how many insns each walked. As root:
 *
 *     npx tsx --conditions=source bench/verifier/main.ts [--rounds N] [--min-insns N] [--all] [PATH…]
 *
 * PATH is an object, a `.bpf.ts`, a plane file, or a directory that is searched for objects; `PATH=TYPE` names the type
 * of programs whose section does not. Without one: the C
 * programs of our tests (clang), the examples and the programs of bench/compiler. Targets count programs of 500 to
 * 9,000 insns that both accept; `--all` lists the others too.
 */
import { closeSync } from "node:fs";
import type { CollectionSpec, ProgramSpec } from "@ebplane/core/object";
import { type VerifierReport, verify } from "@ebplane/core/verifier";
import { LinuxProgram, linuxTarget, parseVerifierLog } from "@ebplane/linux";
import { type ProgLoad, progLoad } from "@ebplane/linux/bpf";
import { corpus, kernelBtf, type Source } from "./corpus.ts";
import { type Measured, printReport } from "./report.ts";

const argv = process.argv.slice(2);
const rounds = numberOption("--rounds", 15);
const least = numberOption("--min-insns", 500);
const most = numberOption("--max-insns", 9000);
const all = argv.includes("--all");
const paths = argv.filter((a, i) => !a.startsWith("--") && !/^--(rounds|m..-insns)$/.test(argv[i - 1] ?? ""));

function numberOption(name: string, otherwise: number): number {
  const at = argv.indexOf(name);
  return at < 0 ? otherwise : Number(argv[at + 1]);
}

/** One program with what is needed to load it again and again; undefined when the kernel does not take it. */
interface Loaded {
  readonly request: ProgLoad;
  close(): void;
}

function loadOnce(spec: CollectionSpec, program: ProgramSpec): Loaded | undefined {
  try {
    const collection = linuxTarget().load(
      { ...spec, programs: new Map([[program.name, program]]) },
      { programs: [program.name] },
    );
    const live = collection.programs.get(program.name);
    if (live instanceof LinuxProgram && live.request) {
      return { request: live.request, close: () => collection.close() };
    }
    collection.close();
    return undefined;
  } catch {
    return undefined;
  }
}

function timeKernel(request: ProgLoad): number {
  const start = performance.now();
  const { fd } = progLoad(request);
  const ms = performance.now() - start;
  if (fd < 0) throw new Error(`the kernel answers ${fd} to a program that it took before`);
  closeSync(fd);
  return ms;
}

function timeOurs(run: () => VerifierReport): number {
  const start = performance.now();
  run();
  return performance.now() - start;
}

function measure({ name, spec }: Source, program: ProgramSpec): Measured | undefined {
  const insns = program.code.length / 8;
  const env = { maps: spec.maps, license: spec.license, btf: spec.btf, structOps: spec.structOps, kernelBtf };
  const run = () => verify(program, env);
  const report = run();
  const title = `${name} ${program.name}`;
  const loaded = loadOnce(spec, program);
  if (!loaded) return { title, insns, verdict: report.verdict, kernel: "reject", reason: report.message };
  try {
    const stats = processedByKernel(loaded.request);
    const base = { title, insns, verdict: report.verdict, kernel: "accept" as const, reason: report.message };
    if (report.verdict !== "accept") return base;
    const ours: number[] = [];
    const kernel: number[] = [];
    // Short programs need more rounds to be warm.
    const count = report.processed < 2000 ? rounds * 4 : rounds;
    for (let i = 0; i < 3 + count; i++) {
      const a = timeKernel(loaded.request);
      const b = timeOurs(run);
      if (i < 3) continue;
      kernel.push(a);
      ours.push(b);
    }
    return { ...base, times: { ours, kernel }, processed: { ours: report.processed, kernel: stats } };
  } finally {
    loaded.close();
  }
}

function processedByKernel(request: ProgLoad): number {
  const { fd, log } = progLoad({ ...request, logLevel: 4 });
  if (fd >= 0) closeSync(fd);
  return parseVerifierLog(log).stats?.processed ?? Number.NaN;
}

const measured: Measured[] = [];
for (const source of corpus(paths)) {
  for (const program of source.spec.programs.values()) {
    const insns = program.code.length / 8;
    if (!all && (insns < least || insns > most)) continue;
    const m = measure(source, program);
    if (m) measured.push(m);
  }
}
printReport(measured, least, most);
