/** What constants make dead; the kernel's verifier, which visits live code only, agrees. */
import { pruneReport, readElf, setVariables } from "@ebplane/core/elf";
import { type LinuxProgram, linuxTarget } from "@ebplane/linux";
import { expect, test } from "vitest";
import { build, CORPUS } from "./corpus.ts";
import { missingKernel, missingTool } from "./tools.ts";

const skip = missingTool("clang");

function report(variables: Record<string, number | boolean>) {
  const spec = setVariables(readElf(build("constants")), variables);
  const { ranges, decided } = pruneReport(spec, spec.programs.get("switched")!);
  return {
    texts: ranges.flatMap((r) => r.lines.map((l) => l.text.trim())).sort(),
    variables: [...new Set(decided.flatMap((d) => d.variables))].sort(),
    slots: ranges.reduce((n, r) => n + r.end - r.start, 0),
  };
}

test.skipIf(skip)("the lines that a constant switches off are named with the constant", () => {
  const on = report({ count_bytes: true, mode: 2 });
  expect(on.texts.join("\n")).toContain("bpf_get_prandom_u32");
  expect(on.texts.join("\n")).not.toContain("bytes +=");
  expect(on.variables).toEqual(["count_bytes", "mode"]);
  const off = report({ count_bytes: false, mode: 1 });
  expect(off.texts.join("\n")).toContain("bytes += ctx->data_end - ctx->data;");
  expect(off.texts.join("\n")).not.toContain("bpf_get_prandom_u32");
  expect(off.slots).toBeGreaterThan(5);
});

test.skipIf(skip ?? missingKernel())("no instruction that the kernel's verifier visits is called dead", () => {
  let dead = 0;
  for (const name of [
    "constants",
    "globals",
    "custom_data",
    "subprogs",
    "callbacks",
    "nested_callback",
    "xdp_parse",
    "deep_calls",
  ]) {
    expect(CORPUS).toContain(name);
    const spec = readElf(build(name));
    const collection = linuxTarget().load(spec, { logLevel: 2 });
    try {
      for (const [n, program] of collection.programs) {
        const visited = new Set([...(program as LinuxProgram).log.matchAll(/^(\d+): \(/gm)].map((m) => Number(m[1])));
        expect(visited.size).toBeGreaterThan(0);
        for (const { start, end } of pruneReport(spec, spec.programs.get(n)!).ranges) {
          dead += end - start;
          for (let pc = start; pc < end; pc++) expect(visited.has(pc), `${name} ${n} slot ${pc}`).toBe(false);
        }
      }
    } finally {
      collection.close();
    }
  }
  expect(dead).toBeGreaterThan(0);
});
