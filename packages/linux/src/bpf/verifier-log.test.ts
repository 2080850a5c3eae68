import { MapType, ProgType } from "@ebplane/core/object";
import { describe, expect, test } from "vitest";
import { linuxTarget } from "../target/target.ts";
import { arrayMap, asmProgram, collectionOf, kernelSkipReason } from "../testing.ts";
import { parseVerifierLog, summarizeLog } from "./index.ts";

const skip = kernelSkipReason();

test("steps carry their instruction, state, source line and branch", () => {
  const log = `func#0 @0
0: R1=ctx() R10=fp0
; int x = ctx->data; @ prog.c:12
0: (61) r2 = *(u32 *)(r1 +0)          ; R1=ctx() R2=pkt(r=0)
1: (55) if r2 != 0x0 goto pc+1        ; R2=pkt(off=4,r=0,imm=0)
2: (b7) r0 = 1                        ; R0_w=1 fp-8=????mmmm
3: (95) exit

from 1 to 3: R0=scalar(umin=1,umax=7,var_off=(0x0; 0x7)) R10=fp0
3: (95) exit
R0 !read_ok
processed 5 insns (limit 1000000) max_states_per_insn 1 total_states 2 peak_states 3 mark_read 1
`;
  const { steps, verdict, stats } = parseVerifierLog(log);
  expect(steps.map((s) => s.pc)).toEqual([0, 1, 2, 3, 3]);
  expect(steps[0]).toEqual({
    pc: 0,
    insn: "r2 = *(u32 *)(r1 +0)",
    state: new Map([
      ["R1", "ctx()"],
      ["R2", "pkt(r=0)"],
    ]),
    source: "int x = ctx->data; @ prog.c:12",
    from: undefined,
  });
  expect(steps[2]!.state.get("R0")).toBe("1");
  expect(steps[2]!.state.get("fp-8")).toBe("????mmmm");
  expect(steps[4]!.from).toBe(1);
  expect(verdict).toEqual({
    message: "R0 !read_ok",
    pc: 3,
    rule: "a program returns a value: write r0 before exit",
  });
  expect(stats).toEqual({ processed: 5, limit: 1000000, maxStatesPerInsn: 1, totalStates: 2, peakStates: 3 });
});

test("a state's value may hold brackets and blanks", () => {
  const { steps } = parseVerifierLog("7: (0f) r1 += r2 ; R1=scalar(umax=7,var_off=(0x0; 0x7)) R2_w=4 refs=2");
  expect([...steps[0]!.state]).toEqual([
    ["R1", "scalar(umax=7,var_off=(0x0; 0x7))"],
    ["R2", "4"],
  ]);
});

test("an empty log says nothing", () => {
  expect(summarizeLog("")).toEqual({ message: "", pc: undefined, rule: undefined });
});

/** Programs that the kernel refuses, with the slot and the rule that must be named. */
const REFUSED: readonly (readonly [name: string, text: string, pc: number | undefined, rule: RegExp])[] = [
  ["a read before the bounds check", "r2 = *(u32 *)(r1 + 0)\nr0 = *(u8 *)(r2 + 0)\nexit", 1, /data_end/],
  [
    "a value without NULL check",
    "r2 = r10\nr2 += -4\n*(u32 *)(r10 - 4) = 0\nr1 = map[h]\ncall 1\nr0 = *(u64 *)(r0 + 0)\nexit",
    6,
    /looked-up value/,
  ],
  ["no return value", "exit", 0, /write r0/],
  ["a register that was never written", "r0 = r5\nexit", 0, /written before it is read/],
  ["a field that is not there", "r0 = *(u64 *)(r1 + 0)\nexit", 0, /fields of this program type/],
  ["the stack's wrong side", "r0 = *(u64 *)(r10 + 8)\nexit", 0, /512 bytes below r10/],
  ["a number for a pointer", "r1 = map[m]\nr2 = 5\ncall 1\nr0 = 0\nexit", 3, /another type/],
  ["an access past the value", "r1 = map[m][0]+0\nr0 = *(u64 *)(r1 + 8)\nexit", 2, /map's value/],
  ["an unbounded offset", "r1 = map[m][0]+0\nr2 = *(u64 *)(r1 + 0)\nr1 += r2\nr0 = *(u8 *)(r1 + 0)\nexit", 3, /bound/],
  ["an endless loop", "r0 = 0\nif r0 == 0 goto -1\nexit", 1, /condition/],
  ["a helper of another type", "call 26\nr0 = 0\nexit", 0, /helper is not for/],
  ["arithmetic on ctx", "r1 *= 2\nr0 = 0\nexit", 0, /pointer/],
  ["a write to r10", "r10 = 1\nr0 = 0\nexit", 0, /r10/],
  ["code that nothing reaches", "r0 = 0\nexit\nr0 = 1\nexit", 2, /reachable/],
  ["a path without end", "r0 = 0\nr0 += 1", undefined, /ends in exit/],
];

describe.skipIf(skip)(`the kernel's own words${skip ? ` (skipped: ${skip})` : ""}`, () => {
  test.each(REFUSED)("%s is understood", (_, text, pc, rule) => {
    let error: unknown;
    try {
      linuxTarget()
        .load(
          collectionOf(
            [asmProgram("p", ProgType.BPF_PROG_TYPE_XDP, text)],
            [arrayMap("m"), arrayMap("h", 1, { type: MapType.BPF_MAP_TYPE_HASH })],
          ),
        )
        .close();
    } catch (e) {
      error = e;
    }
    const { log } = error as { log: string };
    const verdict = summarizeLog(log);
    expect({ log, ...verdict }).toMatchObject({ pc: pc as number, rule: expect.stringMatching(rule) });
    expect((error as Error).message).toContain(verdict.message);
    expect((error as Error).message).toContain(verdict.rule);
  });

  test("an accepted program's steps are all there", () => {
    using loaded = linuxTarget({ logLevel: 2 }).load(
      collectionOf([asmProgram("p", ProgType.BPF_PROG_TYPE_XDP, "r0 = 1\nif r1 == 0 goto +1\nr0 += 1\nexit")]),
    );
    const { log } = loaded.programs.get("p") as unknown as { log: string };
    const { steps, verdict, stats } = parseVerifierLog(log);
    expect(verdict.message).toBe("");
    expect(steps.map((s) => s.pc)).toContain(2);
    expect(stats!.processed).toBe(steps.length);
  });
});
