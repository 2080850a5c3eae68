/** Objects in map values: the same on both engines and on the kernel, and gone with their entries. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { toHex } from "@ebplane/core/bytes";
import { readElf } from "@ebplane/core/elf";
import type { CollectionSpec, Target } from "@ebplane/core/object";
import { SimTarget } from "@ebplane/core/sim";
import { linuxTarget } from "@ebplane/linux";
import { kernelSkipReason } from "@ebplane/linux/testing";
import { expect, test } from "vitest";
import { compileWith, NEWEST_CLANG } from "../../packages/core/test/objects/tools.ts";
import { kernelBtf } from "../../packages/linux/src/target/kernel-btf.ts";

// The default clang of Debian 12 drops type tags.
const skip = NEWEST_CLANG ? kernelSkipReason() : "there is no clang beside the default one";

function outcome(target: Target, spec: CollectionSpec, after: () => void = () => {}): string[] {
  using live = target.load(spec);
  const lines: string[] = [];
  for (const name of ["fill", "take", "fill"]) {
    const { verdict } = live.programs.get(name)!.testRun({ packet: new Uint8Array(64) });
    lines.push(`${name} ${verdict}`);
    for (const [key, value] of live.maps.get("out")!.entries()) lines.push(`${toHex(key)} ${toHex(value)}`);
    const slots = [...live.maps.get("slots")!.entries()].map(([key, value]) => `${toHex(key)} ${toHex(value)}`);
    lines.push(...slots.sort());
  }
  after();
  return lines;
}

test.skipIf(skip)(`kptrs are as the kernel's${skip ? ` (skipped: ${skip})` : ""}`, () => {
  const source = readFileSync(join(import.meta.dirname, "kptrs.c"), "utf8");
  const spec = readElf(compileWith(NEWEST_CLANG!, source, "-mcpu=v3", "-g"));
  const kernel = outcome(linuxTarget(), spec);
  expect(kernel).toContain("take 0");
  for (const engine of ["interp", "jit"] as const) {
    // Whether a struct is the program's own is asked of the kernel's types.
    const sim = new SimTarget({ engine, kernelBtf });
    // Four entries are full: each keeps one object.
    const held = (): void => expect(sim.machine.objects.count, engine).toBe(4);
    expect(outcome(sim, spec, held), engine).toEqual(kernel);
    expect(sim.machine.objects.count, engine).toBe(0);
  }
});
