/**
 * Hostile programs end within the limits, in time and in 1 GB, with the running kernel's verdict. They are walked in a
 * process of their own whose peak of memory is theirs.
 */
import { execFileSync } from "node:child_process";
import { closeSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { CollectionSpec, ProgramSpec } from "@ebplane/core/object";
import { kernelAvailable } from "@ebplane/linux";
import { progLoad } from "@ebplane/linux/bpf";
import { beforeAll, describe, expect, test } from "vitest";
import { missingTool } from "../../packages/core/test/objects/tools.ts";
import { build, HOSTILE, type Took } from "./hostile.ts";
import { theirs } from "./verdicts.ts";

const kernel = kernelAvailable();
const noClang = missingTool("clang");
const names = Object.keys(HOSTILE).filter((name) => !noClang || HOSTILE[name]!.c === undefined);
const took = new Map<string, Took>();

beforeAll(() => {
  const script = fileURLToPath(new URL("hostile.ts", import.meta.url));
  // What the heap keeps beyond what is alive is bounded, too, as in any process of that size.
  const args = ["--max-old-space-size=768", "--import", "tsx", "--conditions=source", script, ...names];
  for (const line of execFileSync(process.execPath, args, { encoding: "utf8" }).trim().split("\n")) {
    const one: Took = JSON.parse(line);
    took.set(one.name, one);
  }
}, 300_000);

test("all end, in minutes at worst and in less than 1 GB", () => {
  expect([...took.keys()]).toEqual(names);
  for (const { name, ms } of took.values()) expect(ms, name).toBeLessThan(60_000);
  expect(Math.max(...[...took.values()].map(({ peak }) => peak))).toBeLessThan(1024);
});

test.each(names)("%s", (name) => {
  const { verdict, rule } = HOSTILE[name]!;
  expect(took.get(name)).toMatchObject(rule === undefined ? { verdict } : { verdict, rule });
});

/** Without BTF by one call, which asks for no log: a refusal that takes a kernel seconds is not to be had twice. */
function asked(spec: CollectionSpec, program: ProgramSpec): string {
  if (spec.btf) return theirs(spec, program).verdict;
  const { fd } = progLoad({ type: program.type, code: program.code, license: spec.license, logLevel: 0 });
  if (fd >= 0) closeSync(fd);
  return fd >= 0 ? "accept" : "reject";
}

describe.runIf(kernel.ok)("the kernel says the same", () => {
  test.each(names.filter((name) => !HOSTILE[name]!.oursOnly))("%s", { timeout: 120_000 }, (name) => {
    const { spec, program } = build(HOSTILE[name]!);
    expect(asked(spec, program)).toBe(HOSTILE[name]!.verdict);
  });
});
