/** Objects that programs make, in lists and trees: the same on both engines and on the kernel, and nothing left over. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { toHex } from "@ebplane/core/bytes";
import { readElf } from "@ebplane/core/elf";
import type { CollectionSpec, Target } from "@ebplane/core/object";
import { SimTarget } from "@ebplane/core/sim";
import { linuxTarget } from "@ebplane/linux";
import { kernelSkipReason } from "@ebplane/linux/testing";
import { expect, test } from "vitest";
import { clang, missingTool } from "../../packages/core/test/objects/tools.ts";

const skip = missingTool("clang") ?? kernelSkipReason();
const SOURCE = join(import.meta.dirname, "objects.c");

function object(): CollectionSpec {
  return readElf(clang(readFileSync(SOURCE, "utf8"), "-g"));
}

function outcome(target: Target, spec: CollectionSpec): string[] {
  using live = target.load(spec);
  const lines: string[] = [];
  // Twice: the second time lists and trees are not empty.
  for (const turn of [1, 2]) {
    for (const name of ["lists", "trees", "shared"]) {
      const { verdict } = live.programs.get(name)!.testRun({ packet: new Uint8Array(64) });
      lines.push(`${turn} ${name} ${verdict}`);
    }
    for (const [key, value] of live.maps.get("out")!.entries()) lines.push(`${toHex(key)} ${toHex(value)}`);
  }
  return lines;
}

test.skipIf(skip)(`lists, trees and counts are as the kernel's${skip ? ` (skipped: ${skip})` : ""}`, () => {
  const spec = object();
  const kernel = outcome(linuxTarget(), spec);
  expect(kernel[0]).toBe("1 lists 0");
  for (const engine of ["interp", "jit"] as const) {
    const sim = new SimTarget({ engine });
    expect(outcome(sim, spec), engine).toEqual(kernel);
    // Closing the maps ended what their lists and trees held.
    expect(sim.machine.objects.count, engine).toBe(0);
  }
});
