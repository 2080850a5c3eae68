/**
 * The long form of verifier-differential.test.ts:
 *
 *     npx tsx --conditions=source test/verifier/long-run.ts [COUNT] [SEED]
 *
 * Compares verdicts with the running kernel's and runs what is accepted under guard. Prints each difference with its
 * number, which with the seed names the program, and the totals.
 */
import { kernelAvailable } from "@ebplane/linux";
import { disassemble } from "../../packages/core/src/asm/index.ts";
import { boundaryProgram, MAPS, mutate, Rng, toSpec } from "./boundary.ts";
import { compare, kernelMaps } from "./compare.ts";
import { Bench } from "./concrete.ts";

const count = Number(process.argv[2] ?? 500_000);
const seed = Number(process.argv[3] ?? 1);
const available = kernelAvailable();
if (!available.ok) console.log(`without the kernel: ${available.reason}`);
const kernel = available.ok ? kernelMaps(MAPS) : undefined;
const maps = new Map(MAPS.map((map) => [map.name, map]));
const bench = new Bench();
const totals = new Map<string, number>();

for (let i = 0; i < count; i++) {
  const rng = new Rng(Math.imul(seed, 0x9e3779b1) + i);
  let program = boundaryProgram(rng);
  for (let n = rng.below(4); n > 0; n--) program = mutate(rng, program);
  const spec = toSpec(program);
  const listing = () => disassemble(spec.code).map((line) => `${line.pc}: ${line.text}`);
  if (kernel) {
    const { kernel: theirs, report, log } = compare(spec, maps, kernel);
    const key = `kernel ${theirs}, ours ${report.verdict}`;
    totals.set(key, (totals.get(key) ?? 0) + 1);
    if (theirs !== report.verdict) {
      console.log([`program ${i}: ${key}: ${report.pc}: ${report.message}`, ...listing(), log.slice(-1000)].join("\n"));
    }
  }
  const packets = [14, 20, 60, 15 + rng.below(60)].map((length) => Uint8Array.from({ length }, () => rng.next()));
  const problem = bench.check(spec, packets, i % 2 === 0);
  if (problem) console.log([`program ${i}: UNSOUND: ${problem}`, ...listing()].join("\n"));
}
console.log(count, "programs, seed", seed, Object.fromEntries(totals), "insns held against states:", bench.checked);
kernel?.close();
