import { describe, expect, test } from "vitest";
import { toHex } from "../../bytes/index.ts";
import type { VmMap } from "../../maps/index.ts";
import { ProgType } from "../../object/index.ts";
import { XdpRing } from "../ctx/xdp.ts";
import { rawProgram } from "../exec.ts";
import { Machine, type ProgramLoad } from "../machine.ts";
import { PACKET_BYTES, RANDOM_MAPS, type RandomProgram, randomProgram } from "./random-programs.ts";

const PROGRAMS = Number(process.env.EBPLANE_PROGRAMS ?? 120);
const SEED = Number(process.env.EBPLANE_SEED ?? 20261121);

/** Everything that two runs on the same packet leave behind: both r0, the packet, the maps. */
function outcome(program: RandomProgram, options: ProgramLoad, how: "run" | "batch", shared = false): string {
  const machine = new Machine({ memory: { shared, maximum: 16 << 20 } });
  const maps: VmMap[] = RANDOM_MAPS.map((spec) => machine.createMap({ ...spec }));
  const relocs = program.maps.map(({ pc, map }) => ({ pc, kind: "map" as const, name: RANDOM_MAPS[map]!.name }));
  const spec = { ...rawProgram(program.code, ProgType.BPF_PROG_TYPE_XDP), relocs };
  const byName = new Map(maps.map((map) => [map.spec.name, map]));
  const loaded = machine.load(spec, { ...options, maps: byName });
  const ring = new XdpRing(machine.memory, 1);
  const ctx = ring.write(
    0,
    Uint8Array.from({ length: PACKET_BYTES }, (_, i) => i * 37 + 11),
  );
  const results: string[] = [];
  for (let turn = 0; turn < 2; turn++) {
    if (how === "run") results.push(machine.r0(loaded.run(ctx)).toString(16));
    else {
      loaded.runner.batch(ctx, 0, 1, ring.verdicts);
      results.push(machine.memory.view.getUint32(ring.verdicts, true).toString(16));
    }
  }
  const contents = maps.map((map) =>
    [...map.entries()]
      .map(([key, value]) => `${toHex(key)}=${toHex(value)}`)
      .sort()
      .join(" "),
  );
  return [...results, toHex(ring.packet(0)), ...contents].join("\n");
}

/** Only the low half of r0 comes out of a batch. */
function lowHalves(text: string): string {
  const lines = text.split("\n");
  return [...lines.slice(0, 2).map((hex) => hex.slice(-8).replace(/^0+(?=.)/, "")), ...lines.slice(2)].join("\n");
}

describe("random programs end alike on the interpreter and on the jit", () => {
  test(`${PROGRAMS} programs from seed ${SEED}`, () => {
    for (let n = 0; n < PROGRAMS; n++) {
      const seed = SEED + n;
      const program = randomProgram(seed, 5 + (n % 60));
      const what = `seed ${seed}, size ${5 + (n % 60)}`;
      const expected = outcome(program, { engine: "interp" }, "run");
      expect(outcome(program, { engine: "jit" }, "run"), `${what}, unverified`).toBe(expected);
      expect(outcome(program, { engine: "jit", verified: true }, "run"), `${what}, verified`).toBe(expected);
      if (n % 4 === 1) {
        const shared = outcome(program, { engine: "jit", verified: true }, "run", true);
        expect(shared, `${what}, shared memory`).toBe(expected);
      }
      if (n % 4 === 0)
        expect(outcome(program, { engine: "jit", verified: true, blind: true }, "run"), `${what}, blinded`).toBe(
          expected,
        );
      expect(outcome(program, { engine: "jit", verified: true }, "batch"), `${what}, batch`).toBe(lowHalves(expected));
    }
  });
});
