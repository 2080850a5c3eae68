/** Random programs: what the compiled code does on both engines and on the kernel is what evaluating them says. */
import { compile } from "@ebplane/compiler";
import { bytesEqual, toHex } from "@ebplane/core/bytes";
import type { Target } from "@ebplane/core/object";
import { SimTarget } from "@ebplane/core/sim";
import { linuxTarget } from "@ebplane/linux";
import { kernelSkipReason } from "@ebplane/linux/testing";
import { expect, test } from "vitest";
import { MAP_ENTRIES, PACKET_SIZE, randomProgram, seeded, VALUE_SIZE } from "./random-program.ts";

const COUNT = Number(process.env.EBPLANE_RANDOM_PROGRAMS ?? 60);
const FIRST = Number(process.env.EBPLANE_RANDOM_SEED ?? 1);
const skip = kernelSkipReason();

function u32(n: number): Uint8Array {
  const out = new Uint8Array(4);
  new DataView(out.buffer).setUint32(0, n, true);
  return out;
}

/** The first difference, or undefined. */
function check(seed: number, targets: readonly Target[]): string | undefined {
  const program = randomProgram(seed);
  const { spec } = compile({ entry: "random.bpf.ts", files: new Map([["random.bpf.ts", program.source]]) });
  const rand = seeded(seed ^ 0x5eed);
  const random = (n: number) => Uint8Array.from({ length: n }, () => Math.floor(rand() * 256));
  const inputs = Array.from({ length: 2 }, () => ({
    packet: random(PACKET_SIZE),
    map: Array.from({ length: MAP_ENTRIES }, () => random(VALUE_SIZE)),
  }));
  for (const target of targets) {
    using loaded = target.load(spec);
    const values = loaded.maps.get("values");
    for (const input of inputs) {
      for (const [k, v] of input.map.entries()) values?.update(u32(k), v);
      const world = { packet: input.packet.slice(), map: input.map.map((v) => v.slice()) };
      const verdict = program.run(world);
      const got = loaded.programs.get("main")!.testRun({ packet: input.packet });
      const where = `seed ${seed} on ${target.name}`;
      if (got.verdict !== verdict) return `${where}: verdict ${got.verdict}, expected ${verdict}`;
      if (!bytesEqual(got.packet, world.packet)) {
        return `${where}: packet ${toHex(got.packet)}, expected ${toHex(world.packet)}`;
      }
      for (let k = 0; values && k < MAP_ENTRIES; k++) {
        const now = values.lookup(u32(k))!;
        if (!bytesEqual(now, world.map[k]!))
          return `${where}: value ${k} ${toHex(now)}, expected ${toHex(world.map[k]!)}`;
      }
    }
  }
  return undefined;
}

test(`${COUNT} random programs do on interpreter and JIT what evaluating them says`, { timeout: 600_000 }, () => {
  const targets = [new SimTarget({ engine: "interp" }), new SimTarget({ engine: "jit" })];
  for (let seed = FIRST; seed < FIRST + COUNT; seed++) expect(check(seed, targets)).toBeUndefined();
});

test.skipIf(skip)(`${COUNT} random programs do on the kernel what evaluating them says`, { timeout: 600_000 }, () => {
  const target = linuxTarget();
  for (let seed = FIRST; seed < FIRST + COUNT; seed++) expect(check(seed, [target])).toBeUndefined();
});
