/**
 * Programs written twice, in C and in the language: instructions and nanoseconds a run, `clang -O2 -mcpu=v3` against
 * ours, after both have given the same verdicts and packets on a corpus. `npx tsx -C source bench/compiler/compare.ts [NAME…]`, as root.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromHex, toHex } from "@ebplane/core/bytes";
import { SysError } from "@ebplane/core/errors";
import type { Collection, Program } from "@ebplane/core/object";
import { linuxTarget } from "@ebplane/linux";
import { CASES, type Case, CORPUS, PLAIN } from "./cases.ts";
import { clang, NAMES, ours } from "./twice.ts";

const ROUNDS = 7;
/** Rounds where a round is one run: its clock is coarse. */
const SINGLE_ROUNDS = 1500;
const REPEAT = 200_000;

const wanted = process.argv.slice(2);
const names = NAMES.filter((n) => !wanted.length || wanted.includes(n));
const tmp = mkdtempSync(join(tmpdir(), "ebplane-bench-"));
const target = linuxTarget();
let logInsns = 0;
let logTime = 0;

/** Fills the maps that the case names. */
function fill(collection: Collection, maps: Case["maps"]): void {
  for (const [name, entries] of Object.entries(maps ?? {})) {
    for (const [key, value] of entries) collection.maps.get(name)!.update(fromHex(key), fromHex(value));
  }
}

/** @throws where the two versions give different verdicts or packets. */
function requireSame(name: string, [c, ts]: readonly Program[]): void {
  for (const [k, packet] of CORPUS.entries()) {
    const [a, b] = [outcome(c!, packet), outcome(ts!, packet)];
    if (a !== b) throw new Error(`${name}: packet ${k} (${toHex(packet)}): C gives ${a}, ours ${b}`);
  }
}

/** Verdict and packet; the kernel takes no packet below a header's length for some program types. */
function outcome(program: Program, packet: Uint8Array): string {
  try {
    const { verdict, packet: after } = program.testRun({ packet });
    return `${verdict} ${toHex(after)}`;
  } catch (e) {
    if (!(e instanceof SysError) || e.code !== "EINVAL") throw e;
    return e.code;
  }
}

/** The one program that each object has. */
function only<T>({ programs }: { readonly programs: ReadonlyMap<string, T> }): T {
  const [program] = programs.values();
  if (!program || programs.size > 1) throw new Error(`expected one program, got ${programs.size}`);
  return program;
}

try {
  console.log(
    `${"program".padEnd(14)}${"clang".padStart(7)}${"ours".padStart(7)}${"ratio".padStart(7)}${"ns".padStart(8)}${"ns".padStart(8)}${"ratio".padStart(7)}`,
  );
  for (const name of names) {
    const specs = [clang(name, tmp), ours(name)];
    const loaded = specs.map((s) => target.load(s));
    const programs = loaded.map(only);
    for (const c of loaded) fill(c, CASES[name]?.maps);
    requireSame(name, programs);
    const reached = programs[0]!.testRun({ packet: CASES[name]?.packet ?? PLAIN }).verdict;
    if (reached !== (CASES[name]?.verdict ?? reached)) throw new Error(`${name}: its own packet gives ${reached}`);
    const times = [Infinity, Infinity];
    for (let r = 0; r < (CASES[name]?.once ? SINGLE_ROUNDS : ROUNDS); r++) {
      // Each goes first in turn: the second may find warmer or colder caches.
      for (const k of r & 1 ? [1, 0] : [0, 1]) {
        const p = programs[k]!;
        times[k] = Math.min(
          times[k]!,
          p.testRun({ packet: CASES[name]?.packet ?? PLAIN, repeat: CASES[name]?.once ? 1 : REPEAT }).durationNs,
        );
      }
    }
    for (const c of loaded) c.close();
    const [a, b] = specs.map((s) => only(s).code.length / 8) as [number, number];
    logInsns += Math.log(b / a);
    logTime += Math.log(Math.max(1, times[1]!) / Math.max(1, times[0]!));
    const cells = [a, b, (b / a).toFixed(2)].map((x) => String(x).padStart(7)).join("");
    console.log(
      `${name.padEnd(14)}${cells}${String(times[0]).padStart(8)}${String(times[1]).padStart(8)}${(times[1]! / Math.max(1, times[0]!)).toFixed(2).padStart(7)}`,
    );
  }
  const mean = (log: number) => Math.exp(log / names.length).toFixed(3);
  console.log(`geometric mean: insns ${mean(logInsns)}, ns ${mean(logTime)}`);
} finally {
  rmSync(tmp, { recursive: true });
}
