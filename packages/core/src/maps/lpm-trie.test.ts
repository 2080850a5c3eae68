import { expect, test } from "vitest";
import { Memory } from "../mem/index.ts";
import { MapType } from "../object/index.ts";
import { createMap, createRuntime, layout } from "./index.ts";

const SEED = 4711;

/** A Lehmer generator: reproducible. */
function generator(seed: number): (below: number) => number {
  let a = seed;
  return (below) => (a = (a * 48271) % 2147483647) % below;
}

const key = (length: number, address: readonly number[]) => {
  const k = new Uint8Array(4 + address.length);
  new DataView(k.buffer).setUint32(0, length, true);
  k.set(address, 4);
  return k;
};

const bit = (address: readonly number[], i: number) => (address[i >> 3]! >> (7 - (i & 7))) & 1;

/** The longest of `prefixes` that covers the address: every bit compared. */
function naive(prefixes: Iterable<{ length: number; address: number[]; value: number }>, address: number[]) {
  let best: { length: number; value: number } | undefined;
  for (const p of prefixes) {
    if (best && p.length < best.length) continue;
    let covers = true;
    for (let i = 0; covers && i < p.length; i++) covers = bit(p.address, i) === bit(address, i);
    if (covers) best = p;
  }
  return best?.value;
}

test.each([4, 16])(
  "lookups of %i-byte addresses find the longest prefix, by table and by trie, while prefixes come and go",
  (bytes) => {
    const rnd = generator(SEED);
    const rt = createRuntime(new Memory());
    const m = createMap(rt, {
      name: "r",
      type: MapType.BPF_MAP_TYPE_LPM_TRIE,
      keySize: 4 + bytes,
      valueSize: 4,
      maxEntries: 4000,
      flags: 1,
    });
    const { u32, u8 } = rt.memory;
    const model = new Map<string, { length: number; address: number[]; value: number }>();
    const address = () => Array.from({ length: bytes }, (_, i) => (i === 0 ? 10 : rnd(i === 1 ? 3 : rnd(2) ? 256 : 4)));
    let nodes = 0;
    for (let step = 0; step < 6000; step++) {
      const length = rnd(8 * bytes + 1);
      const a = address().map((b, i) =>
        8 * i + 8 <= length ? b : 8 * i >= length ? 0 : b & (0xff00 >> (length - 8 * i)) & 255,
      );
      const k = key(length, a);
      if (rnd(3) && model.size < 1500) {
        m.update(k, new Uint8Array(new Uint32Array([step]).buffer));
        model.set(k.join(), { length, address: a, value: step });
      } else expect(m.delete(k), `seed ${SEED} step ${step}`).toBe(model.delete(k.join()));
      if (step % 5) continue;
      const to = address();
      const want = naive(model.values(), to);
      u8.set(key(8 * bytes, to), m.keyAddr);
      const at = [rt.exports.lpm_lookup(m.addr, m.keyAddr), rt.exports.lpm_lookup_full(m.addr, m.keyAddr + 4)];
      if (bytes === 4) at.push(rt.exports.lpm_lookup_v4(m.addr, u32[(m.keyAddr + 4) >>> 2]! | 0));
      for (const v of at) expect(v ? u32[v >>> 2] : undefined, `seed ${SEED} step ${step}`).toBe(want);
      nodes = Math.max(nodes, 256 + 2000 - u32[(m.addr + layout.LPM_BUDGET) >>> 2]!);
    }
    expect(nodes, "the stride table was in use").toBeGreaterThan(10);
    for (const p of model.values()) m.delete(key(p.length, p.address));
    expect(u32[(m.addr + layout.LPM_BUDGET) >>> 2], "all nodes but the root came back").toBe(256 + 2000 - 1);
    m.close();
  },
);

test("prefixes that would need too many table nodes are found by the trie", () => {
  const rt = createRuntime(new Memory());
  const m = createMap(rt, {
    name: "r",
    type: MapType.BPF_MAP_TYPE_LPM_TRIE,
    keySize: 36,
    valueSize: 4,
    maxEntries: 90,
    flags: 1,
  });
  for (let group = 0; group < 15; group++) {
    for (let i = 0; i < 6; i++) {
      const a = new Array<number>(32).fill(group);
      a[31] = i;
      m.update(key(256, a), new Uint8Array([group, i, 0, 0]));
    }
  }
  expect(rt.memory.u32[(m.addr + layout.LPM_BUDGET) >>> 2]).toBe(0xffffffff);
  for (let group = 0; group < 15; group++) {
    const a = new Array<number>(32).fill(group);
    a[31] = 3;
    expect(m.lookup(key(256, a))).toEqual(new Uint8Array([group, 3, 0, 0]));
    a[31] = 9;
    expect(m.lookup(key(256, a))).toBeUndefined();
  }
  expect([...m.entries()].length).toBe(90);
});
