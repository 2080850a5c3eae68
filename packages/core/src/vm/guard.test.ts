import { describe, expect, test } from "vitest";
import { assemble } from "../asm/index.ts";
import { MapType, ProgType } from "../object/index.ts";
import { rawProgram } from "./exec.ts";
import { type GuardedResult, GuardedRun, runGuarded } from "./guard.ts";
import { HookCtx, type HookInput, Machine, SocketBuffer, XdpRing } from "./index.ts";
import { hostilePrograms } from "./testing/hostile.ts";

const XDP_TYPE = ProgType.BPF_PROG_TYPE_XDP;
const PACKET = new Uint8Array(60).fill(0xee);

function guard(text: string, budget?: number): GuardedResult {
  const machine = new Machine();
  const map = machine.createMap({
    name: "counts",
    type: MapType.BPF_MAP_TYPE_ARRAY,
    keySize: 4,
    valueSize: 12,
    maxEntries: 4,
    flags: 0,
  });
  const { code, relocs } = assemble(text);
  const program = machine.load({ ...rawProgram(code, XDP_TYPE, "p"), relocs }, { maps: new Map([["counts", map]]) });
  const ring = new XdpRing(machine.memory);
  return runGuarded(machine, program, [ring.write(0, PACKET)], { budget });
}

const LOOKUP = `
  *(u32 *)(r10 - 4) = 1
  r1 = map[counts]
  r2 = r10
  r2 += -4
  call bpf_map_lookup_elem`;

describe("a guarded run", () => {
  test("ends like any run when nothing is wrong", () => {
    const text = `
      r6 = *(u32 *)(r1 + 0)
      r7 = *(u8 *)(r6 + 59)
      ${LOOKUP}
      if r0 == 0 goto out
      *(u32 *)(r0 + 8) = 5
      r0 = r7
      out: exit`;
    expect(guard(text)).toEqual({ r0: 0xeen, fault: undefined, executed: 11 });
  });

  test.each([
    ["a null pointer", "r1 = 0\nr0 = *(u8 *)(r1 + 8)\nexit", "slot 1: read of 1 bytes at 0x8 (r1+8): in no region"],
    [
      "the byte after the packet",
      "r6 = *(u32 *)(r1 + 0)\nr0 = *(u8 *)(r6 + 60)\nexit",
      /slot 1: read of 1 bytes .* packet/,
    ],
    [
      "an access that straddles its end",
      "r6 = *(u32 *)(r1 + 4)\nr0 = *(u16 *)(r6 - 1)\nexit",
      /slot 1: read of 2 bytes .* packet/,
    ],
    ["stack below the frame", "*(u8 *)(r10 - 513) = 1\nr0 = 0\nexit", /slot 0: write of 1 bytes .*r10-513/],
    ["stack above the frame", "r0 = *(u8 *)(r10 + 0)\nexit", /slot 0: read of 1 bytes .* stack of frame 0/],
    ["a write to the ctx", "*(u32 *)(r1 + 0) = 0\nr0 = 0\nexit", /slot 0: write of 4 bytes .* ctx/],
    ["ctx beyond the kernel's struct", "r0 = *(u32 *)(r1 + 24)\nexit", /slot 0: read of 4 bytes .* ctx/],
    [
      "a 64-bit address whose low half would do",
      "r2 = 1\nr2 <<= 32\nr1 += r2\nr0 = *(u32 *)(r1 + 0)\nexit",
      /slot 3: read/,
    ],
    ["a map value's padding", `${LOOKUP}\nr0 = *(u64 *)(r0 + 8)\nexit`, /read of 8 bytes .* map counts/],
    [
      "a key below the stack",
      "r1 = map[counts]\nr2 = r10\nr2 += -516\ncall 1\nr0 = 0\nexit",
      /slot 4: read of 4 bytes .*argument r2 of bpf_map_lookup_elem/,
    ],
    [
      "something that is no map",
      "r1 = 4096\nr2 = r10\nr2 += -4\ncall 1\nexit",
      "slot 3: bpf_map_lookup_elem: expected a map's address in r1, got 0x1000",
    ],
    [
      "something that is no ctx",
      "r1 = 4096\nr2 = 0\ncall bpf_xdp_adjust_head\nexit",
      "slot 2: bpf_xdp_adjust_head: expected the ctx in r1, got 0x1000",
    ],
    ["endless recursion", "call f\nexit\nf: call f\nexit", "slot 2: call depth: expected at most 8 frames"],
  ])("catches %s", (_, text, message) => {
    const { fault, r0 } = guard(text);
    expect(r0).toBeUndefined();
    expect(fault?.message).toMatch(message);
  });

  test("packet pointers move with the head", () => {
    const text = "r6 = r1\nr2 = 8\ncall bpf_xdp_adjust_head\nr1 = *(u32 *)(r6 + 0)\nr0 = *(u8 *)(r1 - 1)\nexit";
    expect(guard(text).fault?.message).toMatch(/slot 4: read of 1 bytes .* packet/);
  });

  test("the budget ends a loop, and the fault has the registers", () => {
    const { fault, executed } = guard("r3 = 0\na: r3 += 1\ngoto a\nexit", 1000);
    expect(fault).toMatchObject({ kind: "budget", pc: 2 });
    expect(fault!.registers[3]).toBe(500n);
    expect(executed).toBe(1000);
  });

  test("an exception ends it with its cookie", () => {
    expect(guard("r1 = 5\ncall kfunc[bpf_throw]\nr0 = 0\nexit")).toMatchObject({ r0: 5n, fault: undefined });
  });

  test("steps tell what each insn wrote, across calls", () => {
    const machine = new Machine();
    const text = "r1 = 7\ncall f\nexit\nf: *(u32 *)(r10 - 4) = 0x11223344\nr0 = r1\nexit";
    const program = machine.load(rawProgram(assemble(text).code));
    const run = new GuardedRun(machine, program, [], { watch: true });
    const seen: string[] = [];
    for (let step = run.step(); step; step = run.step()) {
      seen.push(`${step.frame}:${step.pc}${step.writes.map((w) => ` ${w.before}>${w.after}`).join("")}`);
    }
    expect(seen).toEqual(["0:0", "0:1", "1:3 0,0,0,0>68,51,34,17", "1:4", "1:5", "0:2"]);
    expect(run.result).toMatchObject({ r0: 7n, executed: 6 });
  });
});

// EBPLANE_HOSTILE=1000000 runs the long form.
const HOSTILE = Number(process.env.EBPLANE_HOSTILE ?? 20_000);

test("no byte string harms the host", { timeout: 20_000 + HOSTILE }, () => {
  const { seed, ran, refused, faults, ended } = hostilePrograms(Date.now() >>> 0, HOSTILE);
  console.log(`hostile programs: seed ${seed}, refused ${refused}, faults ${faults}, ended ${ended}`);
  expect(ran + refused).toBe(HOSTILE);
  expect(faults).toBeGreaterThan(HOSTILE / 20);
  expect(ended).toBeGreaterThan(HOSTILE / 200);
});

describe("the ctx of other hooks", () => {
  const T = ProgType;
  function guardHook(text: string, type: number, input: HookInput, attachType = 0): GuardedResult {
    const machine = new Machine();
    const { code, relocs } = assemble(text);
    const program = machine.load({ ...rawProgram(code, type, "p"), relocs, attachType });
    const hook = new HookCtx(machine.memory, type, attachType);
    const socket = new SocketBuffer(machine.memory, { fields: { state: 10, protocol: 6 } });
    return runGuarded(machine, program, [hook.write({ socket: socket.address, ...input })]);
  }
  const message = "r2 = *(u64 *)(r1 + 0)\nr0 = *(u8 *)(r2 + OFF)\nexit";
  const data = Uint8Array.of(1, 2, 3, 4);

  test("fields, data and socket may be touched as the kernel's table says", () => {
    expect(guardHook(message.replace("OFF", "3"), T.BPF_PROG_TYPE_SK_MSG, { data })).toMatchObject({ r0: 4n });
    const state = "r2 = *(u64 *)(r1 + 72)\nr0 = *(u32 *)(r2 + 72)\nexit";
    expect(guardHook(state, T.BPF_PROG_TYPE_SK_MSG, {})).toMatchObject({ r0: 10n });
    const reply = "*(u32 *)(r1 + 4) = 7\nr0 = *(u32 *)(r1 + 4)\nexit";
    expect(guardHook(reply, T.BPF_PROG_TYPE_SOCK_OPS, {})).toMatchObject({ r0: 7n });
  });

  test.each([
    ["the byte after the data", message.replace("OFF", "4"), T.BPF_PROG_TYPE_SK_MSG, /slot 1: read of 1 bytes/],
    [
      "a field that is read only",
      "*(u32 *)(r1 + 0) = 1\nr0 = 0\nexit",
      T.BPF_PROG_TYPE_SOCK_OPS,
      /slot 0: write of 4 bytes/,
    ],
    ["beyond the struct", "r0 = *(u64 *)(r1 + 256)\nexit", T.BPF_PROG_TYPE_SOCK_OPS, /slot 0: read of 8 bytes/],
    [
      "a socket that is written",
      "r2 = *(u64 *)(r1 + 184)\n*(u32 *)(r2 + 16) = 1\nr0 = 0\nexit",
      T.BPF_PROG_TYPE_SOCK_OPS,
      /slot 1: write of 4 bytes/,
    ],
  ])("%s is a fault", (_, text, type, expected) => {
    expect(guardHook(text, type, { data }).fault?.message).toMatch(expected);
  });
});
