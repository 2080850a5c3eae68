import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ebplane, ebplaneJson, scratchFolder } from "./ebplane.ts";

const PROGRAM = "examples/programs/count.bpf.ts";
const CAPTURE = ["--pcap", "examples/edge/wan.pcap"];
/** A TCP packet from 10.0.0.1 to 10.0.0.2. */
const TCP = ["--packet", `${"00".repeat(12)}0800${"450000280000000040060000"}0a0000010a000002${"00".repeat(20)}`];

interface Session {
  readonly answers: { readonly command: string; readonly position?: number; readonly [name: string]: unknown }[];
}

function session(commands: readonly string[], args: readonly string[] = TCP) {
  return ebplane(["debug", PROGRAM, ...args, "--json"], commands.join("\n"));
}
const answers = (commands: readonly string[]) => (JSON.parse(session(commands).stdout) as Session).answers;

test("a session runs to breakpoints and back", () => {
  const [, line, , , key, , back, value, end] = answers([
    "break count.bpf.ts:12",
    "continue",
    "delete",
    "break counters 06000000",
    "continue",
    "break r0 0x8",
    "rcontinue",
    "print r0",
    "seek 0",
  ]);
  expect(line).toMatchObject({ breakpoint: "line", source: expect.stringContaining("count.bpf.ts:12: if (eth.proto") });
  expect(key).toMatchObject({ breakpoint: "mapKey", insn: expect.stringContaining("call") });
  expect(back).toMatchObject({ breakpoint: "register" });
  expect(back!.position!).toBeLessThan(key!.position!);
  expect(value).toMatchObject({ value: "0x8" });
  expect(end).toMatchObject({ position: 0, pc: 0 });
});

test("steps tell what they changed, and going back takes it back", () => {
  const [first, , map, again, empty] = answers(["step 2", "continue", "map counters", "back 5", "map counters"]);
  expect(first!.steps).toMatchObject([{ pc: 0, registers: { r7: expect.stringMatching(/packet\+0/) } }, { pc: 1 }]);
  const counted = ({ entries }: Record<string, unknown>): number =>
    (entries as { value: string }[]).filter(({ value }) => /[1-9a-f]/.test(value)).length;
  expect(counted(map!)).toBe(1);
  expect(again!.pc).toBeDefined();
  expect(counted(empty!)).toBeLessThanOrEqual(1);
  const [, , undone] = answers(["continue", "seek 0", "map counters"]);
  expect(counted(undone!)).toBe(0);
});

test("mistakes in a session are one line and exit code 2", () => {
  for (const [commands, message] of [
    [["jump"], /no command jump/],
    [["break 9999"], /expected a slot below/],
    [["break nothing.c:3"], /no file nothing.c/],
    [["break counters 01"], /a key of counters has 4 bytes, got 1/],
    [["map none"], /no map named none; there are counters/],
    [["print r11"], /expected r0 to r10/],
  ] as const) {
    const { code, stderr } = session(commands);
    expect([code, stderr.trim().split("\n").length]).toEqual([2, 1]);
    expect(stderr).toMatch(message);
  }
  expect(session([], [...CAPTURE, "--number", "100000"]).stderr).toMatch(/--number: expected 1 to 1343, got 100000/);
  expect(session([], []).stderr).toMatch(/--pcap FILE or --packet HEX/);
});

test("a trace has every insn, and a capture's coverage is lcov", () => {
  const { json } = ebplaneJson<{ steps: { insn: string }[]; r0: string }>(["trace", PROGRAM, ...TCP]);
  expect(json.r0).toBe("0x2");
  expect(json.steps.at(-1)!.insn).toMatch(/exit/);
  const file = join(scratchFolder(), "count.lcov");
  const { stdout } = ebplane(["trace", PROGRAM, ...CAPTURE, "--lcov", file]);
  expect(stdout).toMatch(/^count: (\d+) of \1 insns/);
  expect(readFileSync(file, "utf8")).toMatch(/^TN:count\nSF:.*count\.bpf\.ts\n(BRDA:|BRF:)/);
});
