/**
 * The programs of `rules/*.txt`, each at the edge of one rule. UPDATE=1 rewrites the verdicts, from ours; the running
 * kernel must agree with each of them, ours by the profile of its version.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { PROFILE_NAMES } from "@ebplane/core/verifier";
import { kernelSkipReason } from "@ebplane/linux/testing";
import { beforeAll, describe, expect, test } from "vitest";
import { missingTool } from "../../packages/core/test/objects/tools.ts";
import { build, type Case, cases, DIR, inC, specOf } from "./rules-cases.ts";
import { ours, RUNNING_PROFILE, theirs } from "./verdicts.ts";

const noKernel = kernelSkipReason();
const noClang = missingTool("clang");
const verdicts = new Map<Case, string>();

function judge(c: Case): void {
  const spec = specOf(c);
  const program = spec.programs.get("prog")!;
  const own = ours(spec, program);
  const said = own.verdict === "accept" ? "accept" : `${own.verdict} ${/\[(.*?)\]/.exec(own.message)?.[1]}`;
  verdicts.set(c, said);
  if (!noKernel) {
    const kernel = theirs(spec, program);
    // What the kernel refuses before its verifier begins is refused all the same.
    const verdict = kernel.verdict === "error" ? "reject" : kernel.verdict;
    expect(verdict, `ours: ${own.message}\nkernel: ${kernel.message}`).toBe(own.verdict);
  }
  // What is written in the files is said of the newest profile.
  if (process.env.UPDATE === "1" || RUNNING_PROFILE !== PROFILE_NAMES.at(-1)) return;
  expect(said, own.message).toBe(c.expected);
}

describe("in assembly", () => {
  test.each(cases.filter((c) => !inC(c)))("$title", judge);
});

describe.skipIf(noClang)("in C", () => {
  beforeAll(build, 120_000);
  test.each(cases.filter(inC))("$title", judge);
});

describe.runIf(process.env.UPDATE === "1")("the files", () => {
  test("are written", () => {
    for (const file of new Set(cases.map((c) => c.file))) {
      const text = cases
        .filter((c) => c.file === file)
        .map((c) => {
          const head = `== ${c.title} | ${c.options} | ${verdicts.get(c) ?? c.expected}`;
          return `${head}\n${c.source.trimEnd()}\n`;
        });
      writeFileSync(join(DIR, file), text.join("\n"));
    }
  });
});
