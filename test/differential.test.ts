/** Generated programs behave alike on the interpreter, the JIT and the kernel. */
import { kernelSkipReason } from "@ebplane/linux/testing";
import { expect, test } from "vitest";
import { differential, engineRunner, explain, kernelRunner } from "./differential.ts";

const SEED = Number(process.env.EBPLANE_SEED ?? Date.now() % 1_000_000_000);
const COUNT = Number(process.env.EBPLANE_PROGRAMS ?? 800);
const skip = kernelSkipReason();

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
