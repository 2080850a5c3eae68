/** Programs that our verifier and the kernel's once parted over: ours says what is recorded, and so does Linux 6.18. */
import { readFileSync } from "node:fs";
import { encode } from "@ebplane/core/isa";
import { verify } from "@ebplane/core/verifier";
import { kernelSkipReason } from "@ebplane/linux/testing";
import { expect, test } from "vitest";
import { parseCases } from "../../packages/core/src/vm/testing/cases.ts";
import { MAPS } from "./boundary.ts";
import { compare, kernelMaps } from "./compare.ts";
import { verdictCase } from "./kernels/programs.ts";

const cases = parseCases(readFileSync(new URL("testdata/verdicts.case", import.meta.url), "utf8"));
const maps = new Map(MAPS.map((map) => [map.name, map]));
const skip = kernelSkipReason();

test.each(cases)("$name", ({ sections }) => {
  const { verdict, pc, message } = verify(verdictCase(sections), { maps, license: "GPL" });
  expect(verdict, `${pc}: ${message}`).toBe(sections.get("verdict"));
});

test.skipIf(skip)(`the kernel agrees with all of them${skip ? ` (skipped: ${skip})` : ""}`, () => {
  const kernel = kernelMaps(MAPS);
  try {
    const verdicts = cases.map(({ name, sections }) => {
      const { kernel: said, log } = compare(verdictCase(sections), maps, kernel);
      return said === sections.get("verdict") ? undefined : `${name}: ${said}\n${log}`;
    });
    expect(verdicts.filter((difference) => difference !== undefined)).toEqual([]);
  } finally {
    kernel.close();
  }
});

test.skipIf(skip)(`of dead code both know the same opcodes${skip ? ` (skipped: ${skip})` : ""}`, () => {
  // Wide, seed 3, programs 3663 and 5020: 0xdf was taken for an instruction with a field that should be 0.
  const kernel = kernelMaps([]);
  const differ: string[] = [];
  let unknown = 0;
  try {
    for (let opcode = 0; opcode < 256; opcode++) {
      // Two slots, and jumps, which must lead somewhere in dead code, too.
      if (opcode === 0x18 || (opcode & 7) === 5 || (opcode & 7) === 6) continue;
      const code = encode([{ opcode: 0xb7 }, { opcode: 0x05, off: 1 }, { opcode, imm: 0 }, { opcode: 0x95 }]);
      const spec = { ...verdictCase(new Map([["asm", "exit"]])), code, lineInfo: [] };
      const { kernel: said, report } = compare(spec, maps, kernel);
      if (said === "reject") unknown++;
      if (said !== report.verdict) differ.push(`0x${opcode.toString(16)}: kernel ${said}, ours ${report.message}`);
    }
  } finally {
    kernel.close();
  }
  expect(differ).toEqual([]);
  expect(unknown).toBeGreaterThan(50);
});
