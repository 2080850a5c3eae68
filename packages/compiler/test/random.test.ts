/** Random programs: what the compiled code does on both engines and on the kernel is what evaluating them says. */
import { SimTarget } from "@ebplane/core/sim";
import { linuxTarget } from "@ebplane/linux";
import { kernelSkipReason } from "@ebplane/linux/testing";
import { expect, test } from "vitest";
import { check, REFUSED } from "./random-check.ts";

const COUNT = Number(process.env.EBPLANE_RANDOM_PROGRAMS ?? 60);
const FIRST = Number(process.env.EBPLANE_RANDOM_SEED ?? 1);
const skip = kernelSkipReason();

test(`${COUNT} random programs do on interpreter and JIT what evaluating them says`, { timeout: 600_000 }, () => {
  const targets = [new SimTarget({ engine: "interp" }), new SimTarget({ engine: "jit" })];
  for (let seed = FIRST; seed < FIRST + COUNT; seed++) expect(check(seed, targets) ?? REFUSED).toBe(REFUSED);
});

test.skipIf(skip)(`${COUNT} random programs do on the kernel what evaluating them says`, { timeout: 600_000 }, () => {
  const target = linuxTarget();
  for (let seed = FIRST; seed < FIRST + COUNT; seed++) expect(check(seed, [target]) ?? REFUSED).toBe(REFUSED);
});
