import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { writeElf } from "@ebplane/core/elf";
import { ProgType } from "@ebplane/core/object";
import { arrayMap, asmProgram, collectionOf } from "@ebplane/linux/testing";
import { expect, test } from "vitest";
import { ebplane, ebplaneJson, scratchFolder } from "./ebplane.ts";

interface Answer {
  readonly programs: {
    readonly name: string;
    readonly ns: Record<string, { readonly min: number; readonly median: number }>;
    readonly errors?: Record<string, string>;
  }[];
}

/** An object with an XDP, a tc and a tracing program, and one that no verifier takes. */
function object(): string {
  const programs = [
    asmProgram("first", ProgType.BPF_PROG_TYPE_XDP, "r1 = map[hits]\nr0 = 2\nexit", { section: "xdp" }),
    asmProgram("second", ProgType.BPF_PROG_TYPE_SCHED_CLS, "r0 = *(u32 *)(r1 + 0)\nexit", { section: "tc" }),
    asmProgram("third", ProgType.BPF_PROG_TYPE_TRACEPOINT, "r0 = 0\nexit", { section: "tracepoint/a/b" }),
    asmProgram("wrong", ProgType.BPF_PROG_TYPE_XDP, "r0 = r5\nexit", { section: "xdp" }),
  ];
  const path = join(scratchFolder(), "four.o");
  writeFileSync(path, writeElf(collectionOf(programs, [arrayMap("hits")])));
  return path;
}

test("every program that can be run by packets is timed, the others say why not", () => {
  const path = object();
  const hits = `${path}.json`;
  writeFileSync(hits, '[{"key": "00000000", "value": "0700000000000000"}]');
  const args = ["bench", path, "--rounds", "1", "--packet", "00".repeat(64)];
  const { code, json } = ebplaneJson<Answer>(args);
  expect(code).toBe(0);
  const programs = json.programs.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  expect(programs.map((p) => [p.name, Object.keys(p.ns), Object.keys(p.errors ?? {})])).toEqual([
    ["first", ["jit", "interp"], []],
    ["second", ["jit", "interp"], []],
    ["third", [], ["jit", "interp"]],
    ["wrong", [], ["jit", "interp"]],
  ]);
  expect(programs[0]!.ns.jit!.min).toBeGreaterThan(0);
  expect(programs[2]!.errors!.jit).toBe("tracepoint programs are run by no packet");
  const one = ebplaneJson<Answer>([...args, "--prog", "first", "--map", `hits=${hits}`]);
  expect(one.json.programs.length).toBe(1);
});

test("a program that is refused everywhere, and a frame that no engine takes, are one line", () => {
  const path = object();
  const refused = ebplane(["bench", path, "--prog", "wrong"]);
  expect([refused.code, refused.stderr.trim().split("\n").length]).toEqual([1, 1]);
  const short = ebplane(["bench", path, "--prog", "first", "--packet", "0011"]);
  expect([short.code, short.stderr]).toEqual([2, expect.stringMatching(/at least 14 bytes, got 2\n$/)]);
});
