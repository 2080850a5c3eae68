/**
 * The verifier beside the running kernel's, on generated programs: of what the kernel refuses nothing may be accepted,
 * of what it accepts at least 99.5 %. More programs: `scripts/verifier-differential.mjs`.
 */
import type { ProgramSpec } from "@ebplane/core/object";
import { kernelSkipReason } from "@ebplane/linux/testing";
import { expect, test } from "vitest";
import { disassemble } from "../packages/core/src/asm/index.ts";
import { boundaryProgram, MAPS, mutate, Rng, toSpec } from "./verifier/boundary.ts";
import { compare, kernelMaps } from "./verifier/compare.ts";
import { Bench } from "./verifier/concrete.ts";

const SEED = 20261;
const PROGRAMS = 800;
const skip = kernelSkipReason();

test.skipIf(skip)(
  `verdicts agree with the kernel's on ${PROGRAMS} programs (seed ${SEED})`,
  () => {
    const maps = new Map(MAPS.map((map) => [map.name, map]));
    const kernel = kernelMaps(MAPS);
    let accepted = 0;
    const refused: string[] = [];
    try {
      for (let i = 0; i < PROGRAMS; i++) {
        const rng = new Rng(SEED * 1_000_003 + i);
        let program = boundaryProgram(rng);
        for (let n = rng.below(4); n > 0; n--) program = mutate(rng, program);
        const spec = toSpec(program);
        const result = compare(spec, maps, kernel);
        if (result.kernel === "reject") {
          if (result.report.verdict === "accept")
            expect.fail(`program ${i}: only the kernel refuses\n${listing(spec)}\n${result.log}`);
          continue;
        }
        accepted++;
        if (result.report.verdict !== "accept")
          refused.push(`program ${i}: ${result.report.pc}: ${result.report.message}\n${listing(spec)}`);
      }
    } finally {
      kernel.close();
    }
    expect(accepted).toBeGreaterThan(PROGRAMS / 10);
    if (refused.length > accepted * 0.005)
      expect.fail(`${refused.length} of ${accepted} refused:\n${refused.slice(0, 3).join("\n\n")}`);
  },
  60_000,
);

test(`concrete runs stay inside the abstract states (seed ${SEED})`, () => {
  const bench = new Bench();
  for (let i = 0; i < 800; i++) {
    const rng = new Rng(SEED * 7_000_003 + i);
    let program = boundaryProgram(rng);
    for (let n = rng.below(3); n > 0; n--) program = mutate(rng, program);
    const spec = toSpec(program);
    const lengths = [14, 20, 60, 15 + rng.below(60), 300];
    const packets = lengths.map((length) => Uint8Array.from({ length }, () => rng.next()));
    for (const exhaustive of [false, true]) {
      const problem = bench.check(spec, packets, exhaustive);
      if (problem) expect.fail(`program ${i}, exhaustive ${exhaustive}: ${problem}\n${listing(spec)}`);
    }
  }
  expect(bench.checked).toBeGreaterThan(10_000);
}, 60_000);

function listing(spec: ProgramSpec): string {
  return disassemble(spec.code)
    .map((line) => `${line.pc}: ${line.text}`)
    .join("\n");
}
