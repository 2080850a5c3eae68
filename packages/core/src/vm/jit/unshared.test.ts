import { expect, test } from "vitest";
import { assemble } from "../../asm/index.ts";
import { imageBytes } from "../../maps/index.ts";
import { type MapSpec, MapType, ProgType } from "../../object/index.ts";
import { rawProgram } from "../exec.ts";
import { Machine } from "../machine.ts";
import { countCode } from "../testing/wasm-code.ts";
import type { JitRunner } from "./index.ts";
import { RANDOM_MAPS, randomProgram } from "./random-programs.ts";

const SEED = Number(process.env.EBPLANE_SEED ?? 20261125);

const machineOf = (shared: boolean) => new Machine({ memory: { shared, maximum: 16 << 20 } });

/** What the module is made of that the JIT links for a program over these maps. */
function linked(shared: boolean, code: Uint8Array, maps: readonly { pc: number; spec: MapSpec }[]) {
  const machine = machineOf(shared);
  const live = new Map(maps.map(({ spec }) => [spec.name, spec]));
  const made = new Map([...live].map(([name, spec]) => [name, machine.createMap({ ...spec })]));
  const relocs = maps.map(({ pc, spec }) => ({ pc, kind: "map" as const, name: spec.name }));
  const spec = { ...rawProgram(code, ProgType.BPF_PROG_TYPE_XDP), relocs };
  return [false, true].map((verified) => {
    const loaded = machine.load(spec, { engine: "jit", verified, maps: made });
    return countCode((loaded.runner as JitRunner).wasm);
  });
}

test("the runtime of a machine without threads has no atomic instruction, that of one with threads has", () => {
  const [plain, threads] = [false, true].map((shared) => countCode(imageBytes(machineOf(shared).runtime.image)));
  expect(plain!.all).toBeGreaterThan(1000);
  expect(plain!.atomic).toBe(0);
  expect(threads!.atomic).toBeGreaterThan(0);
});

test(`what the JIT links for random programs has atomic instructions with threads only (seed ${SEED})`, () => {
  let withThreads = 0;
  for (let i = 0; i < 40; i++) {
    const { code, maps } = randomProgram(SEED + i);
    const uses = maps.map(({ pc, map }) => ({ pc, spec: RANDOM_MAPS[map]! }));
    for (const { all, atomic } of linked(false, code, uses)) {
      expect(all).toBeGreaterThan(10);
      expect(atomic, `program ${SEED + i}`).toBe(0);
    }
    for (const { atomic } of linked(true, code, uses)) withThreads += atomic;
  }
  expect(withThreads).toBeGreaterThan(0);
});

const ATOMICS = ["lock *(u64 *)(r10 - 8) += r1", "r1 = atomic_fetch_or((u64 *)(r10 - 8), r1)"];
const MAPS = [
  { type: MapType.BPF_MAP_TYPE_HASH, flags: 0 },
  { type: MapType.BPF_MAP_TYPE_HASH, flags: 1 },
  { type: MapType.BPF_MAP_TYPE_LRU_HASH, flags: 0 },
];

test.each(ATOMICS)("an atomic insn is a plain one without threads: %s", (insn) => {
  const { code } = assemble(`r1 = 1\n*(u64 *)(r10 - 8) = r1\n${insn}\nr0 = 0\nexit`);
  for (const { atomic } of linked(false, code, [])) expect(atomic).toBe(0);
  for (const { atomic } of linked(true, code, [])) expect(atomic).toBeGreaterThan(0);
});

test.each(MAPS)("an update of a map of type $type flags $flags takes its lock with threads only", ({ type, flags }) => {
  const { code, relocs } = assemble(`
    *(u64 *)(r10 - 8) = 1
    r2 = r10
    r2 += -8
    r3 = r2
    r1 = map[m] ll
    r4 = 0
    call 2
    exit`);
  const spec: MapSpec = { name: "m", type, keySize: 8, valueSize: 8, maxEntries: 16, flags };
  const uses = relocs.map(({ pc }) => ({ pc, spec }));
  for (const { atomic } of linked(false, code, uses)) expect(atomic).toBe(0);
  for (const { atomic } of linked(true, code, uses)) expect(atomic).toBeGreaterThan(0);
});
