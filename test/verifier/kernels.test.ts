/** Programs that kernels judge differently: ours by each profile, and the running kernel by its own. */
import { readFileSync } from "node:fs";
import { PROFILE_NAMES, verify } from "@ebplane/core/verifier";
import { kernelSkipReason } from "@ebplane/linux/testing";
import { expect, test } from "vitest";
import { parseCases } from "../../packages/core/src/vm/testing/cases.ts";
import { ask, kernelMaps } from "./compare.ts";
import { verdictCase } from "./kernels/programs.ts";
import { RUNNING_PROFILE } from "./verdicts.ts";

const cases = parseCases(readFileSync(new URL("testdata/kernels.case", import.meta.url), "utf8"));
const skip = kernelSkipReason();

test.each(cases)("$name", ({ sections }) => {
  const program = verdictCase(sections);
  const accepts = PROFILE_NAMES.filter(
    (profile) => verify(program, { maps: new Map(), license: "GPL", profile }).verdict === "accept",
  );
  expect(accepts.join(" ") || "none").toBe(sections.get("accepts"));
});

test.skipIf(skip)(`the running kernel is one of them: ${RUNNING_PROFILE}${skip ? ` (skipped: ${skip})` : ""}`, () => {
  const kernel = kernelMaps([]);
  const differ = cases.flatMap(({ name, sections }) => {
    const expected = sections.get("accepts")!.split(" ").includes(RUNNING_PROFILE) ? "accept" : "reject";
    const { kernel: said, log } = ask(verdictCase(sections), kernel);
    return said === expected ? [] : [`${name}: ${said}\n${log.slice(-300)}`];
  });
  expect(differ).toEqual([]);
});
