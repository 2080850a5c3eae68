/** The engine's cases with a program type, on the kernel too: same verdict, packet and map values. */
import { readFileSync } from "node:fs";
import { toHex } from "@ebplane/core/bytes";
import { linuxTarget } from "@ebplane/linux";
import { collectionOf, kernelSkipReason } from "@ebplane/linux/testing";
import { expect, test } from "vitest";
import { parseCases } from "../packages/core/src/vm/testing/cases.ts";
import { caseMaps, casePacket, caseProgram, runCase } from "../packages/core/src/vm/testing/run-case.ts";

const FILE = new URL("../packages/core/src/vm/testdata/helpers.case", import.meta.url);
const cases = parseCases(readFileSync(FILE, "utf8")).filter((c) => c.sections.has("type"));
const skip = kernelSkipReason();

test.skipIf(skip).each(cases)(`the kernel agrees: $name${skip ? ` (skipped: ${skip})` : ""}`, (c) => {
  using live = linuxTarget().load(collectionOf([caseProgram(c)], caseMaps(c)));
  const kernel = live.programs.get("case")!.testRun({ packet: casePacket(c) });
  const ours = runCase(c, "interp");
  expect(Number(BigInt.asUintN(32, ours.r0))).toBe(kernel.verdict);
  expect(toHex(ours.after)).toBe(toHex(kernel.packet));
  for (const [name, values] of ours.maps) {
    const theirs = [...live.maps.get(name)!.entries()].map(([, v]) => toHex(v));
    expect(
      values.map((v) => toHex(v)),
      name,
    ).toEqual(theirs);
  }
});
