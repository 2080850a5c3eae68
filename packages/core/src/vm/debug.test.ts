import { expect, test } from "vitest";
import { assemble } from "../asm/index.ts";
import { type MapSpec, MapType } from "../object/index.ts";
import { type Breakpoint, Debugger } from "./debug.ts";
import { rawProgram } from "./exec.ts";
import { Machine } from "./machine.ts";

const COUNTS: MapSpec = {
  name: "counts",
  type: MapType.BPF_MAP_TYPE_ARRAY,
  keySize: 4,
  valueSize: 8,
  maxEntries: 4,
  flags: 0,
};

/** Counts in a map and draws random numbers: state in registers, stack, map and host. */
const LOOP = `
  r6 = ROUNDS
again:
  call bpf_get_prandom_u32
  *(u64 *)(r10 - 16) = r0
  r7 = r6
  r7 &= 3
  *(u32 *)(r10 - 4) = r7
  r1 = map[counts]
  r2 = r10
  r2 += -4
  call bpf_map_lookup_elem
  if r0 == 0 goto out
  r1 = *(u64 *)(r10 - 16)
  lock *(u64 *)(r0 + 0) += r1
  r6 -= 1
  if r6 != 0 goto again
out:
  r0 = r6
  exit`;

function debug(text: string, checkpointEvery?: number): { debugger: Debugger; machine: Machine; map: number } {
  const machine = new Machine();
  const map = machine.createMap(COUNTS);
  const { code, relocs, lineInfo } = assemble(text, { file: "loop.s" });
  const program = machine.load({ ...rawProgram(code), relocs, lineInfo }, { maps: new Map([["counts", map]]) });
  return { debugger: new Debugger(machine, program, [], { checkpointEvery }), machine, map: map.addr };
}

/** Everything a position is made of. */
function snapshot(d: Debugger, machine: Machine): string {
  const map = machine.mapAt(machine.runtime.byAddress.keys().next().value!)!;
  const values = [...map.entries()].map(([, v]) => v.join());
  return [d.position, d.run.pc, ...d.run.registers(), ...values, JSON.stringify(machine.host.save?.(), big)].join(" ");
}
const big = (_: string, v: unknown): unknown => (typeof v === "bigint" ? `${v}` : v);

test("stepping back undoes registers, map values and random numbers, and forward repeats them", () => {
  const { debugger: d, machine } = debug(LOOP.replace("ROUNDS", "40"), 50);
  const history: string[] = [];
  do history.push(snapshot(d, machine));
  while (d.step());
  history.pop();
  expect(d.run.result?.r0).toBe(0n);
  const end = d.position;
  for (let position = end - 1; position >= 0; position -= 7) {
    d.seek(position);
    expect(snapshot(d, machine)).toBe(history[position]);
  }
  expect(d.stepBack()).toBe(true);
  d.seek(0);
  expect(d.stepBack()).toBe(false);
  d.seek(end);
  expect(d.run.result?.r0).toBe(0n);
});

test("ten million insns can be walked backwards", () => {
  const { debugger: d, machine } = debug(
    "r0 = 0\na: r0 += 3\n*(u64 *)(r10 - 8) = r0\nr1 = *(u64 *)(r10 - 8)\nif r0 < 7500000 goto a\nexit",
  );
  d.seek(Number.POSITIVE_INFINITY);
  expect(d.run.result?.r0).toBe(7_500_000n);
  const end = d.position;
  expect(end).toBeGreaterThan(9_999_999);
  const started = performance.now();
  for (let i = 1; i <= 20; i++) {
    d.stepBack();
    expect(d.position).toBe(end - i);
  }
  expect(performance.now() - started).toBeLessThan(3000);
  d.seek(5_000_001);
  expect(d.run.register(0)).toBe(3_750_000n);
  expect(machine.memory.view.getBigUint64(Number(d.run.register(10)) - 8, true)).toBe(3_750_000n);
});

test("breakpoints stop on pc, line, register value and map key, forwards and backwards", () => {
  const stops = (breakpoint: (map: number) => Breakpoint): [forward: number[], backward: number[]] => {
    const { debugger: d, map } = debug(LOOP.replace("ROUNDS", "8"), 20);
    d.breakpoints.add(breakpoint(map));
    const forward: number[] = [];
    while (d.resume()) forward.push(d.position);
    const backward: number[] = [];
    while (d.resumeBack()) backward.unshift(d.position);
    expect(d.position).toBe(0);
    return [forward, backward];
  };
  const round = 14;
  const [byPc, back] = stops(() => ({ kind: "pc", pc: 1 }));
  expect(byPc).toEqual(Array.from({ length: 8 }, (_, i) => 1 + i * round));
  expect(back).toEqual(byPc);
  // Line 14 of the text is the atomic add.
  const [byLine] = stops(() => ({ kind: "line", line: 14, file: "loop.s" }));
  expect(byLine).toHaveLength(8);
  const [byValue] = stops(() => ({ kind: "register", register: 6, value: 5n }));
  expect(byValue[0]).toBe(1 + 3 * round - 1);
  const [byKey, keyBack] = stops((map) => ({ kind: "mapKey", map, key: Uint8Array.of(2, 0, 0, 0) }));
  expect(byKey).toHaveLength(2);
  expect(keyBack).toEqual(byKey);
});

test("coverage counts insns, branches and lines, as lcov too", () => {
  const { debugger: d } = debug("r0 = 1\nif r0 == 0 goto no\nr0 = 2\ngoto out\nno: r0 = 3\nout: exit");
  d.resume();
  expect([...d.coverage.insns]).toEqual([1, 1, 1, 1, 0, 1]);
  expect(d.coverage.notTaken[1]).toBe(1);
  expect(d.coverage.taken[1]).toBe(0);
  const program = {
    ...rawProgram(d.program.code),
    lineInfo: assemble("r0 = 1\nif r0 == 0 goto no\nr0 = 2\ngoto out\nno: r0 = 3\nout: exit", { file: "a.s" }).lineInfo,
  };
  expect(d.coverage.lcov(program)).toBe(
    "TN:raw\nSF:a.s\nBRDA:2,1,0,0\nBRDA:2,1,1,1\nBRF:2\nBRH:1\nDA:1,1\nDA:2,1\nDA:3,1\nDA:4,1\nDA:5,0\nDA:6,1\nLF:6\nLH:5\nend_of_record\n",
  );
});

test("stepping back undoes connections that a program made and references that it gave back", () => {
  const ask = (name: string): string => `
    *(u32 *)(r10 - 16) = 0x0100000a
    *(u32 *)(r10 - 12) = 0x0200000a
    *(u32 *)(r10 - 8) = 0x5000391b
    *(u32 *)(r10 - 40) = -1
    *(u32 *)(r10 - 36) = 0
    *(u64 *)(r10 - 32) = 6
    r1 = 0
    r2 = r10
    r2 += -16
    r3 = 12
    r4 = r10
    r4 += -40
    r5 = 16
    call kfunc[${name}]`;
  const text = `
    ${ask("bpf_xdp_ct_alloc")}
    r1 = r0
    call kfunc[bpf_ct_insert_entry]
    r6 = r0
    r1 = r6
    r2 = 2
    call kfunc[bpf_ct_change_status]
    r1 = r6
    call kfunc[bpf_ct_release]
    ${ask("bpf_xdp_ct_lookup")}
    r6 = r0
    r1 = r0
    call kfunc[bpf_ct_release]
    r0 = r6
    exit`;
  const { debugger: d, machine } = debug(text, 5);
  const held = (): number => machine.objects.connections.size;
  const states: string[] = [];
  const state = (): string => `${snapshot(d, machine)} holds ${held()}`;
  do states.push(state());
  while (d.step());
  expect(held()).toBe(0);
  expect(d.run.result?.r0).not.toBe(0n);
  for (let position = d.position - 1; position >= 0; position -= 3) {
    d.seek(position);
    expect(state()).toBe(states[position]);
  }
  d.seek(Number.POSITIVE_INFINITY);
  expect(held()).toBe(0);
});
