import { expect, test } from "vitest";
import { Memory } from "../mem/index.ts";
import { type MapSpec, MapType } from "../object/index.ts";
import { createMap, createRuntime, layout, type VmMap } from "./index.ts";

const spec = (over: Partial<MapSpec>): MapSpec => ({
  name: "m",
  type: MapType.BPF_MAP_TYPE_HASH,
  keySize: 4,
  valueSize: 8,
  maxEntries: 16,
  flags: 0,
  ...over,
});
const u32 = (n: number) => new Uint8Array(new Uint32Array([n]).buffer);
const u64 = (n: number) => new Uint8Array(new BigUint64Array([BigInt(n)]).buffer);

const addressOf = (m: VmMap, key: Uint8Array) => {
  m.lookup(key);
  return m.lookupAt(m.keyAddr);
};

for (const shared of [false, true]) {
  const rt = () => createRuntime(new Memory({ shared }), { cpus: 2 });

  test(`a hash answers what was put in (shared: ${shared})`, () => {
    const m = createMap(rt(), spec({}));
    expect(m.lookup(u32(1))).toBeUndefined();
    m.update(u32(1), u64(10));
    m.update(u32(2), u64(20), 1);
    m.update(u32(1), u64(11), 2);
    expect(m.lookup(u32(1))).toEqual(u64(11));
    expect(() => m.update(u32(2), u64(0), 1)).toThrow("EEXIST");
    expect(() => m.update(u32(3), u64(0), 2)).toThrow("ENOENT");
    expect(() => m.update(u32(3), u64(0), 3)).toThrow("EINVAL");
    expect(() => m.update(u32(3), u64(0), 4)).toThrow("EINVAL");
    expect(m.delete(u32(1))).toBe(true);
    expect(m.delete(u32(1))).toBe(false);
    expect([...m.entries()]).toEqual([[u32(2), u64(20)]]);
  });

  test.each([0, 1, 64])(
    `a full hash answers E2BIG and takes a key again after a delete (flags %i, shared: ${shared})`,
    (flags) => {
      const m = createMap(rt(), spec({ flags, maxEntries: 5 }));
      for (let i = 0; i < 5; i++) m.update(u32(i), u64(i));
      expect(() => m.update(u32(5), u64(5))).toThrow("E2BIG");
      m.update(u32(3), u64(33));
      m.delete(u32(0));
      m.update(u32(5), u64(5));
      expect(new Map([...m.entries()].map(([k, v]) => [k[0], v[0]]))).toEqual(
        new Map([
          [1, 1],
          [2, 2],
          [3, 33],
          [4, 4],
          [5, 5],
        ]),
      );
    },
  );

  test.each([1, 2, 3, 4, 5, 7, 8, 12, 13, 16, 17, 33, 40, 64, 100])(
    `keys of %i bytes are all told apart (shared: ${shared})`,
    (keySize) => {
      for (const flags of [0, 64]) {
        const m = createMap(rt(), spec({ keySize, maxEntries: 8 * keySize, valueSize: 3, flags }));
        for (let bit = 0; bit < 8 * keySize; bit++) {
          const key = new Uint8Array(keySize);
          key[bit >> 3] = 1 << (bit & 7);
          m.update(key, new Uint8Array([bit, bit >> 8, 7]), 1);
        }
        for (let bit = 0; bit < 8 * keySize; bit++) {
          const key = new Uint8Array(keySize);
          key[bit >> 3] = 1 << (bit & 7);
          expect(m.lookup(key)).toEqual(new Uint8Array([bit, bit >> 8, 7]));
        }
      }
    },
  );

  test(`replacing leaves the old value readable at its address (shared: ${shared})`, () => {
    const r = rt();
    const m = createMap(r, spec({}));
    m.update(u32(1), u64(10));
    const old = m.lookupAt(m.keyAddr);
    m.update(u32(1), u64(11));
    expect(r.memory.view.getBigUint64(old, true)).toBe(10n);
    expect(m.lookupAt(m.keyAddr)).not.toBe(old);
  });

  test(`per-CPU values: a program writes its own, bpf(2) all (shared: ${shared})`, () => {
    const r = rt();
    for (const type of [MapType.BPF_MAP_TYPE_PERCPU_HASH, MapType.BPF_MAP_TYPE_PERCPU_ARRAY]) {
      const m = createMap(r, spec({ type, valueSize: 4 }));
      m.update(u32(1), new Uint8Array([1, 0, 0, 0, 9, 9, 9, 9, 2, 0, 0, 0, 8, 8, 8, 8]));
      r.cpu.value = 1;
      const at = r.exports.map_lookup(m.addr, m.keyAddr) >>> 0;
      expect(r.memory.view.getUint32(at, true)).toBe(2);
      r.memory.view.setUint32(m.scratchAddr, 77, true);
      expect(r.exports.map_update(m.addr, m.keyAddr, m.scratchAddr, 0n)).toBe(0);
      r.cpu.value = 0;
      expect([...m.lookup(u32(1))!.filter((_, i) => i % 8 === 0)]).toEqual([1, 77]);
      r.memory.view.setUint32(m.keyAddr, 5, true);
      r.cpu.value = 1;
      expect(r.exports.map_update(m.addr, m.keyAddr, m.scratchAddr, 0n)).toBe(0);
      r.cpu.value = 0;
      expect(m.lookup(u32(5))).toEqual(new Uint8Array([0, 0, 0, 0, 0, 0, 0, 0, 77, 0, 0, 0, 0, 0, 0, 0]));
    }
  });
}

test("the specialised lookups agree with the general one", () => {
  const r = createRuntime(new Memory());
  const m4 = createMap(r, spec({ maxEntries: 1000 }));
  const m8 = createMap(r, spec({ maxEntries: 1000, keySize: 8 }));
  const m16 = createMap(r, spec({ maxEntries: 1000, keySize: 16 }));
  for (let i = 0; i < 1000; i++) {
    const k16 = new Uint8Array(16);
    k16.set(u32(i * 7919), i % 13);
    m4.update(u32(i * 7919), u64(i));
    m8.update(u64(i * 7919), u64(i));
    m16.update(k16, u64(i));
    expect(r.exports.hash_lookup4(m4.addr, i * 7919) >>> 0).toBe(addressOf(m4, u32(i * 7919)));
    expect(r.exports.hash_lookup8(m8.addr, BigInt(i * 7919)) >>> 0).toBe(addressOf(m8, u64(i * 7919)));
    r.memory.u8.set(k16, m16.keyAddr);
    expect(r.exports.hash_lookup16(m16.addr, m16.keyAddr) >>> 0).toBe(m16.lookupAt(m16.keyAddr));
    expect(m16.lookupAt(m16.keyAddr)).toBeGreaterThan(0);
  }
  expect(r.exports.hash_lookup4(m4.addr, 1) >>> 0).toBe(0);
});

test("lookups of one key and of many answer the same, for every size of key", () => {
  const r = createRuntime(new Memory());
  for (const [keySize, valueSize, flags] of [
    [4, 8, 0],
    [8, 3, 1],
    [16, 40, 0],
    [16, 8, 64],
    [13, 1, 0],
    [5, 200_000, 1],
  ] as const) {
    const max = valueSize > 1000 ? 5 : 3000;
    using m = createMap(r, spec({ keySize, valueSize, maxEntries: max, flags }));
    const keyOf = (i: number): Uint8Array => {
      const key = new Uint8Array(keySize).fill(i % 251);
      new DataView(key.buffer).setUint32(keySize - 4, i * 7919, true);
      return key;
    };
    const valueOfKey = (i: number): Uint8Array => new Uint8Array(valueSize).fill(i % 255 || 1);
    for (let i = 0; i < max; i += 2) m.update(keyOf(i), valueOfKey(i));
    const keys = new Uint8Array(max * keySize);
    for (let i = 0; i < max; i++) keys.set(keyOf(i), i * keySize);
    const values = new Uint8Array(max * valueSize).fill(0xa5);
    const found = new Uint8Array(max).fill(0xa5);
    expect(m.lookupMany(keys, values, found)).toBe(Math.ceil(max / 2));
    const out = new Uint8Array(valueSize);
    for (let i = 0; i < max; i++) {
      const expected = i % 2 ? undefined : valueOfKey(i);
      expect(m.lookup(keyOf(i)), `key ${i} of ${keySize}`).toEqual(expected);
      expect(m.lookupInto(keyOf(i), out)).toBe(expected !== undefined);
      if (expected) expect(out).toEqual(expected);
      expect(found[i]).toBe(expected ? 1 : 0);
      expect(values.subarray(i * valueSize, (i + 1) * valueSize)).toEqual(expected ?? new Uint8Array(valueSize));
    }
    expect(() => m.lookupMany(keys.subarray(1), values)).toThrow(/expected whole keys/);
    expect(() => m.lookupMany(keys, values.subarray(1))).toThrow(/room for their values/);
    expect(() => m.lookup(keys)).toThrow(/expected a key of/);
  }
});

test("lookups of many keys work on every type that has lookups", () => {
  const r = createRuntime(new Memory(), { cpus: 2 });
  for (const type of [MapType.BPF_MAP_TYPE_ARRAY, MapType.BPF_MAP_TYPE_PERCPU_HASH, MapType.BPF_MAP_TYPE_LRU_HASH]) {
    using m = createMap(r, spec({ type, maxEntries: 8 }));
    const size = m.lookup(u32(1))?.length ?? (type === MapType.BPF_MAP_TYPE_PERCPU_HASH ? 16 : 8);
    m.update(u32(1), new Uint8Array(size).fill(7));
    const values = new Uint8Array(2 * size);
    const found = new Uint8Array(2);
    m.lookupMany(new Uint8Array([...u32(1), ...u32(100)]), values, found);
    expect([...found]).toEqual([1, 0]);
    expect(values.subarray(0, size)).toEqual(new Uint8Array(size).fill(7));
    expect(values.subarray(size)).toEqual(new Uint8Array(size));
  }
});

test("an array holds zeroes, refuses deletes and says where its only value lies", () => {
  const r = createRuntime(new Memory());
  const m = createMap(r, spec({ type: MapType.BPF_MAP_TYPE_ARRAY, maxEntries: 3, valueSize: 5 }));
  expect(m.lookup(u32(2))).toEqual(new Uint8Array(5));
  expect(m.lookup(u32(3))).toBeUndefined();
  expect(() => m.update(u32(0), new Uint8Array(5), 1)).toThrow("EEXIST");
  expect(() => m.update(u32(3), new Uint8Array(5))).toThrow("E2BIG");
  expect(() => m.delete(u32(0))).toThrow("EINVAL");
  expect(() => m.valueAddr(0)).toThrow("ENOTSUPP");
  expect([...m.entries()].map(([k]) => k[0])).toEqual([0, 1, 2]);
  const one = createMap(r, spec({ type: MapType.BPF_MAP_TYPE_ARRAY, maxEntries: 1, valueSize: 16 }));
  one.update(u32(0), new Uint8Array(16).fill(3));
  expect(r.memory.u8[one.valueAddr(15)]).toBe(3);
  expect(() => one.valueAddr(16)).toThrow("EINVAL");
  expect(r.memory.allows(one.valueAddr(8), 8, true)).toBe(true);
  one.freeze();
  expect(() => one.update(u32(0), new Uint8Array(16))).toThrow("EPERM");
});

test("closing gives all memory back", () => {
  const r = createRuntime(new Memory());
  const probe = r.memory.alloc(1 << 16);
  r.memory.free(probe);
  for (const type of [1, 2, 5, 6]) {
    for (const flags of type === 1 || type === 5 ? [0, 1] : [0]) {
      const m = createMap(r, spec({ type, flags, maxEntries: 4000 }));
      for (let i = 0; i < 4000; i++) m.update(u32(i), new Uint8Array(8));
      expect(r.memory.regions.length).toBeGreaterThan(0);
      m.close();
      expect(r.memory.regions).toEqual([]);
    }
  }
  expect(r.memory.alloc(1 << 16)).toBe(probe);
  expect(layout.MAP_HEADER_SIZE).toBe(256);
});

test.each([4, 8])("keys of %i bytes in arithmetic progression make no long chains, whatever the seed", (keySize) => {
  const N = 512;
  let state = 99;
  // A Lehmer generator: the seeds are reproducible.
  const random = () => (state = (state * 48271) % 2147483647) * 2;
  const longest: number[] = [];
  for (let round = 0; round < 250; round++) {
    const r = createRuntime(new Memory(), { random });
    const m = createMap(r, spec({ keySize, maxEntries: N }));
    const words = r.memory.u32;
    for (let i = 0; i < N; i++) {
      // Counting in another byte each round.
      const key = BigInt.asUintN(8 * keySize, BigInt(i) << BigInt(8 * (round % keySize)));
      words[m.keyAddr >>> 2] = Number(key & 0xffffffffn);
      words[(m.keyAddr + 4) >>> 2] = Number(key >> 32n);
      m.updateAt(m.keyAddr, m.scratchAddr, 0);
    }
    const heads = words[(m.addr + layout.MAP_BUCKETS) >>> 2]!;
    let chain = 0;
    for (let b = 0; b < N; b++) {
      let n = 0;
      for (let e = words[(heads >>> 2) + b]!; !(e & 1); e = words[e >>> 2]!) n++;
      chain = Math.max(chain, n);
    }
    longest.push(chain);
  }
  // Some 7 would be the longest among 512 random keys.
  expect(Math.max(...longest)).toBeLessThanOrEqual(12);
});
