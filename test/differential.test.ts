/** Generated programs behave alike on the interpreter, the JIT and the kernel. */
import { disassemble } from "@ebplane/core/asm";
import { kernelSkipReason } from "@ebplane/linux/testing";
import { expect, test } from "vitest";
import { build } from "../packages/core/src/vm/testing/generate.ts";
import { type Difference, differential, engineRunner, kernelRunner } from "./differential.ts";

const SEED = Number(process.env.EBPLANE_SEED ?? Date.now() % 1_000_000_000);
const COUNT = Number(process.env.EBPLANE_PROGRAMS ?? 800);
const skip = kernelSkipReason();

function explain({ seed, between, program, outcomes }: Difference): string {
  const text = disassemble(build(program).code)
    .map((line) => `${line.pc}: ${line.text}`)
    .join("\n");
  const results = Object.entries(outcomes).map(([name, o]) => `${name}: ${JSON.stringify(o)}`);
  return [`seed ${seed}: ${between}`, text, ...results].join("\n");
}

test("interpreter and JIT agree", { timeout: 60_000 + 5 * COUNT }, () => {
  const report = differential([engineRunner("interp"), engineRunner("jit")], SEED, COUNT);
  expect(report.differences.map(explain).join("\n\n")).toBe("");
  expect(report.accepted).toBe(COUNT);
});

test.skipIf(skip)(`the kernel agrees${skip ? ` (skipped: ${skip})` : ""}`, { timeout: 60_000 + 10 * COUNT }, () => {
  const kernel = kernelRunner();
  try {
    const report = differential([kernel, engineRunner("interp"), engineRunner("jit")], SEED, COUNT);
    const { accepted, refused, insns, reasons } = report;
    const mean = Math.round(insns / Math.max(1, accepted));
    console.log(`seed ${SEED}: kernel accepted ${accepted}, refused ${refused}, mean ${mean} insns`, reasons);
    expect(report.differences.map(explain).join("\n\n")).toBe("");
    expect(accepted).toBeGreaterThan(COUNT / 2);
  } finally {
    kernel.close();
  }
});
