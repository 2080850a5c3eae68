/** Programs that keep a list in an arena: the same on both engines and on the kernel. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readElf } from "@ebplane/core/elf";
import type { CollectionSpec, Target } from "@ebplane/core/object";
import { SimTarget } from "@ebplane/core/sim";
import { linuxTarget } from "@ebplane/linux";
import { kernelSkipReason } from "@ebplane/linux/testing";
import { expect, test } from "vitest";
import { compileWith, NEWEST_CLANG } from "../../packages/core/test/objects/tools.ts";

// The default clang of Debian 12 does not know address spaces.
const skip = NEWEST_CLANG ? kernelSkipReason() : "there is no clang beside the default one";
const SOURCE = join(import.meta.dirname, "arena.c");

/** struct args: count, result, sum. */
function args(count: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(count, 0, 0, 0).buffer);
}

function outcome(target: Target, spec: CollectionSpec): string[] {
  using live = target.load(spec);
  return (["fill", "sum", "fill", "sum", "exhaust"] as const).map((name, i) => {
    const { verdict, ctx } = live.programs.get(name)!.testRun({ packet: new Uint8Array(0), ctx: args(40 * (i + 1)) });
    return `${name} ${verdict} ${new Uint32Array(ctx!.slice().buffer).join(" ")}`;
  });
}

test.skipIf(skip)(`a list in an arena is as the kernel's${skip ? ` (skipped: ${skip})` : ""}`, () => {
  const spec = readElf(compileWith(NEWEST_CLANG!, readFileSync(SOURCE, "utf8"), "-mcpu=v4", "-g"));
  const kernel = outcome(linuxTarget(), spec);
  expect(kernel[0]).toBe("fill 0 40 0 0 0");
  for (const engine of ["interp", "jit"] as const) {
    expect(outcome(new SimTarget({ engine }), spec), engine).toEqual(kernel);
  }
});
