import { describe, expect, test } from "vitest";
import { assemble } from "../../asm/index.ts";
import { seededRandom, toHex, viewOf } from "../../bytes/index.ts";
import type { VmMap } from "../../maps/index.ts";
import { BPF_F_NO_PREALLOC, type MapSpec, MapType, ProgType } from "../../object/index.ts";
import { rawProgram } from "../exec.ts";
import { Machine, type ProgramLoad } from "../machine.ts";

const SEED = Number(process.env.EBPLANE_SEED ?? 20261121);

function mapSpec(type: number, keySize: number, valueSize: number, maxEntries: number, flags = 0): MapSpec {
  return { name: "m", type, keySize, valueSize, maxEntries, flags };
}

/** Copies `size` bytes from r6 + `from` to the stack at r10 - `to`, in steps of `step`. */
function copy(size: number, from: number, to: number, step: 4 | 8): string {
  const type = step === 8 ? "u64" : "u32";
  const lines: string[] = [];
  for (let at = 0; at < size; at += step) {
    lines.push(`r1 = *(${type} *)(r6 + ${from + at})`, `*(${type} *)(r10 - ${to - at}) = r1`);
  }
  return lines.join("\n");
}

/** r1 points at key and value: looks the key up (r0 = first value word, or -1), or updates and answers r0. */
function lookupText(spec: MapSpec, step: 4 | 8): string {
  return `
    r6 = r1
    ${copy(spec.keySize, 0, 16, step)}
    r2 = r10
    r2 += -16
    r1 = map[m] ll
    call 1
    if r0 == 0 goto miss
    r0 = *(u64 *)(r0 + 0)
    exit
  miss:
    r0 = -1
    exit`;
}
function updateText(spec: MapSpec, flags: number): string {
  return `
    r6 = r1
    ${copy(spec.keySize, 0, 16, spec.keySize % 8 ? 4 : 8)}
    ${copy(spec.valueSize, 16, 48, 8)}
    r2 = r10
    r2 += -16
    r3 = r10
    r3 += -48
    r1 = map[m] ll
    r4 = ${flags}
    call 2
    exit`;
}
const deleteText = (spec: MapSpec) => `
    r6 = r1
    ${copy(spec.keySize, 0, 16, spec.keySize % 8 ? 4 : 8)}
    r2 = r10
    r2 += -16
    r1 = map[m] ll
    call 3
    exit`;

/** Programs over one map of a machine of its own; `run` puts bytes where r1 points. */
function bench(spec: MapSpec, options: ProgramLoad, cpus = 1) {
  const machine = new Machine({ cpus });
  const map: VmMap = machine.createMap(spec);
  const at = machine.memory.alloc(64);
  const load = (text: string) => {
    const { code, relocs } = assemble(text);
    const program = { ...rawProgram(code, ProgType.BPF_PROG_TYPE_XDP), relocs };
    return machine.load(program, { ...options, maps: new Map([["m", map]]) });
  };
  const lookup = load(lookupText(spec, spec.keySize % 8 ? 4 : 8));
  const lookupHalves = load(lookupText(spec, 4));
  const updates = [0, 1, 2, 3].map((flags) => load(updateText(spec, flags)));
  const remove = load(deleteText(spec));
  const run = (program: ReturnType<typeof load>, key: Uint8Array, value?: Uint8Array): bigint => {
    machine.memory.u8.set(key, at);
    if (value) machine.memory.u8.set(value, at + 16);
    return machine.r0(program.run(at));
  };
  return { machine, map, lookup, lookupHalves, updates, remove, run };
}

const SHAPES: readonly { readonly name: string; readonly spec: MapSpec; readonly cpus?: number }[] = [
  { name: "hash, u32 key", spec: mapSpec(MapType.BPF_MAP_TYPE_HASH, 4, 8, 16) },
  { name: "hash, u64 key", spec: mapSpec(MapType.BPF_MAP_TYPE_HASH, 8, 16, 16) },
  { name: "hash, 16-byte key", spec: mapSpec(MapType.BPF_MAP_TYPE_HASH, 16, 8, 16) },
  { name: "hash, 12-byte key", spec: mapSpec(MapType.BPF_MAP_TYPE_HASH, 12, 8, 16) },
  { name: "hash, 24-byte value", spec: mapSpec(MapType.BPF_MAP_TYPE_HASH, 4, 24, 16) },
  { name: "hash without preallocation", spec: mapSpec(MapType.BPF_MAP_TYPE_HASH, 4, 8, 16, BPF_F_NO_PREALLOC) },
  { name: "hash on two CPUs", spec: mapSpec(MapType.BPF_MAP_TYPE_HASH, 4, 8, 16), cpus: 2 },
  { name: "array", spec: mapSpec(MapType.BPF_MAP_TYPE_ARRAY, 4, 8, 16) },
  { name: "array, 24-byte value", spec: mapSpec(MapType.BPF_MAP_TYPE_ARRAY, 4, 24, 16) },
  { name: "per-CPU array", spec: mapSpec(MapType.BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 16) },
  { name: "per-CPU array on two CPUs", spec: mapSpec(MapType.BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 16), cpus: 2 },
  { name: "per-CPU hash", spec: mapSpec(MapType.BPF_MAP_TYPE_PERCPU_HASH, 4, 8, 16) },
  { name: "LRU hash", spec: mapSpec(MapType.BPF_MAP_TYPE_LRU_HASH, 4, 8, 16) },
];

describe("maps inlined by the jit answer as the interpreter's", () => {
  test.each(SHAPES)("$name", ({ spec, cpus = 1 }) => {
    const random = seededRandom(SEED);
    const options: ProgramLoad[] = [{ engine: "interp" }, { engine: "jit" }, { engine: "jit", verified: true }];
    const sides = options.map((o) => bench(spec, o, cpus));
    for (let step = 0; step < 1500; step++) {
      const key = new Uint8Array(spec.keySize);
      // Twice as many keys as there is room; in an array some beyond its end.
      viewOf(key).setUint32(spec.keySize === 4 ? 0 : 4, random.below(32), true);
      if (random.chance(0.05)) key.fill(255);
      const value = random.bytes(spec.valueSize);
      const what = random.below(8);
      const flags = random.pick([0, 0, 0, 0, 1, 2, 3]);
      const cpu = random.below(cpus);
      const answers = sides.map((side) => {
        side.machine.cpu = cpu;
        if (what < 3) return side.run(side.lookup, key);
        if (what === 3) return side.run(side.lookupHalves, key);
        if (what === 4) return side.run(side.remove, key);
        return side.run(side.updates[flags]!, key, value);
      });
      expect(answers, `seed ${SEED}, step ${step}`).toEqual(answers.map(() => answers[0]));
    }
    const contents = sides.map(({ map }) => [...map.entries()].map(([k, v]) => `${toHex(k)} ${toHex(v)}`));
    expect(contents[1]).toEqual(contents[0]);
    expect(contents[2]).toEqual(contents[0]);
  });

  test.each([20, 300, 3000])("LPM trie of %i IPv4 prefixes", (count) => {
    const random = seededRandom(SEED + count);
    const spec = mapSpec(MapType.BPF_MAP_TYPE_LPM_TRIE, 8, 8, 4096, BPF_F_NO_PREALLOC);
    const sides = [false, true].map((verified) => bench(spec, { engine: "jit", verified }));
    const address = (): number => {
      // Near each other, so that prefixes nest.
      const spread = random.pick([0xffffffff, 0xffff, 0xff, 0x0f0f0f0f]);
      return (0xc0a80000 ^ (random.u32() & spread)) >>> 0;
    };
    const keyOf = (prefix: number, addr: number): Uint8Array => {
      const key = new Uint8Array(8);
      viewOf(key).setUint32(0, prefix, true);
      viewOf(key).setUint32(4, addr);
      return key;
    };
    for (let i = 0; i < count; i++) {
      const prefix = random.chance(0.02) ? 0 : random.below(33);
      const masked = prefix === 0 ? 0 : (address() & (0xffffffff << (32 - prefix))) >>> 0;
      const value = random.bytes(8);
      for (const { map } of sides) map.update(keyOf(prefix, masked), value);
    }
    for (let i = 0; i < 2000; i++) {
      const prefix = random.chance(0.8) ? 32 : random.below(35);
      const key = keyOf(prefix, address());
      for (const { map, run, lookup, lookupHalves } of sides) {
        const wanted = prefix > 32 ? undefined : map.lookup(key);
        const value = wanted === undefined ? 2n ** 64n - 1n : viewOf(wanted).getBigUint64(0, true);
        expect(run(lookup, key), `seed ${SEED + count}, /${prefix} ${toHex(key)}`).toBe(value);
        expect(run(lookupHalves, key)).toBe(value);
      }
    }
  });
});
