/**
 * What compiled programs do, feature by feature: `testdata/run/*.bpf.ts`. `//! run PACKET -> VERDICT [PACKET AFTER]` on
 * interpreter, JIT and kernel; `//! constants JSON` before it gives the configuration.
 */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { compile } from "@ebplane/compiler";
import { fromHex, toHex } from "@ebplane/core/bytes";
import type { CollectionSpec, Target } from "@ebplane/core/object";
import { SimTarget } from "@ebplane/core/sim";
import { linuxTarget } from "@ebplane/linux";
import { kernelSkipReason } from "@ebplane/linux/testing";
import { describe, expect, test } from "vitest";
import { kernelBtf } from "./kernel-btf.ts";

const DIR = fileURLToPath(new URL("../testdata/run/", import.meta.url));
const skip = kernelSkipReason();

interface Case {
  readonly spec: () => CollectionSpec;
  readonly runs: readonly {
    readonly packet: Uint8Array;
    readonly verdict: number;
    readonly after: string | undefined;
  }[];
}

function readCase(file: string): Case {
  const text = readFileSync(DIR + file, "utf8");
  const constants = JSON.parse(/^\/\/! constants (.*)$/m.exec(text)?.[1] ?? "{}");
  const runs = [...text.matchAll(/^\/\/! run ([0-9a-f ]+) -> (\d+)([0-9a-f ]*)$/gm)].map((m) => ({
    packet: fromHex(m[1]!),
    verdict: Number(m[2]),
    after: m[3]!.trim() ? toHex(fromHex(m[3]!)) : undefined,
  }));
  return { runs, spec: () => compile({ entry: file, files: new Map([[file, text]]), constants }).spec };
}

const FILES = readdirSync(DIR).filter((f) => f.endsWith(".bpf.ts"));
/** `//! kernel only: WHY` keeps a case off the simulator. */
const ON_SIM = FILES.filter((f) => !/^\/\/! kernel only: \S/m.test(readFileSync(DIR + f, "utf8")));

function check(file: string, target: Target): void {
  const c = readCase(file);
  expect(c.runs.length, `${file} has no run line`).toBeGreaterThan(0);
  const loaded = target.load(c.spec());
  try {
    for (const run of c.runs) {
      const got = loaded.programs.get("main")!.testRun({ packet: run.packet });
      expect(got.verdict).toBe(run.verdict);
      if (run.after !== undefined) expect(toHex(got.packet)).toBe(run.after);
    }
  } finally {
    loaded.close();
  }
}

describe("on the interpreter", () => {
  test.each(ON_SIM)("%s", (file) => check(file, new SimTarget({ engine: "interp", kernelBtf })));
});
describe("on the JIT", () => {
  test.each(ON_SIM)("%s", (file) => check(file, new SimTarget({ engine: "jit", kernelBtf })));
});
describe.skipIf(skip)("on the kernel", () => {
  test.each(FILES)("%s", (file) => check(file, linuxTarget()));
});

const EXAMPLES = fileURLToPath(new URL("../../../examples/programs/", import.meta.url));

test.each(readdirSync(EXAMPLES).filter((f) => f.endsWith(".bpf.ts")))(
  "the example %s is accepted by the verifier",
  (file) => {
    const { spec } = compile({ entry: file, files: new Map([[file, readFileSync(EXAMPLES + file, "utf8")]]) });
    const target = new SimTarget();
    const loaded = target.load(spec);
    expect(loaded.programs.size).toBe(1);
    loaded.close();
  },
);

test("what a constant rules out is in the receipt and not in the object", () => {
  const text = readFileSync(`${DIR}config.bpf.ts`, "utf8");
  const files = new Map([["config.bpf.ts", text]]);
  const folded = compile({ entry: "config.bpf.ts", files, constants: { STRICT: false } });
  expect(folded.receipt.branches.map((b) => text.split("\n")[b.line - 1]!.trim())).toContain(
    "if (STRICT) return onlyWhenStrict();",
  );
  expect(folded.receipt.maps).toEqual(["strict"]);
  expect([...folded.spec.maps.keys()]).toEqual([]);
  const kept = compile({ entry: "config.bpf.ts", files, constants: { STRICT: true, NONE: 1 } });
  expect([...kept.spec.maps.keys()]).toEqual(["strict"]);
  expect(kept.receipt.unusedConstants).toEqual(["NONE"]);
});
