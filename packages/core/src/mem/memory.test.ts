import { expect, test } from "vitest";
import { Memory, NULL_GUARD } from "./index.ts";

/** A small reproducible generator (mulberry32). */
function random(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

test("the first 64 KiB are never handed out", () => {
  const m = new Memory();
  expect(m.alloc(1)).toBeGreaterThan(NULL_GUARD);
});

test("what is freed is handed out again, zeroed", () => {
  const m = new Memory();
  const a = m.alloc(100);
  m.alloc(16);
  m.u8.fill(0xa5, a, a + 100);
  m.free(a);
  expect(m.alloc(100)).toBe(a);
  expect(m.u8.subarray(a, a + 100)).toEqual(new Uint8Array(100));
});

test("it grows on demand and its views follow", () => {
  const m = new Memory({ initial: 1 << 20 });
  const a = m.alloc(16);
  m.u8[a] = 7;
  const b = m.alloc(5 << 20, 4096);
  expect(b % 4096).toBe(0);
  expect(m.u8[a]).toBe(7);
  m.view.setUint8(b + (5 << 20) - 1, 9);
  expect(m.u8[b + (5 << 20) - 1]).toBe(9);
});

test("a full memory says so and stays usable", () => {
  const m = new Memory({ initial: 1 << 20, maximum: 2 << 20 });
  expect(m.tryAlloc(3 << 20)).toBe(0);
  expect(m.tryAlloc(2 ** 32 + 64)).toBe(0);
  expect(() => m.alloc(3 << 20)).toThrow("no room for 3145728 bytes");
  expect(m.tryAlloc(1 << 20)).toBeGreaterThan(0);
});

test("freeing anything that was not allocated is refused", () => {
  const m = new Memory();
  const a = m.alloc(64);
  expect(() => m.free(a + 16)).toThrow(RangeError);
  expect(() => m.free(0)).toThrow(RangeError);
  m.free(a);
  expect(() => m.free(a)).toThrow(RangeError);
});

test.each([false, true])("random allocations never overlap and are zeroed (shared: %s)", (shared) => {
  const seed = 20261121;
  const rnd = random(seed);
  const m = new Memory({ initial: 1 << 20, maximum: 64 << 20, shared });
  const live = new Map<number, { size: number; tag: number }>();
  const start = m.alloc(16);
  m.free(start);
  for (let step = 0; step < 6_000; step++) {
    if (live.size < 200 && rnd() < 0.55) {
      const size = rnd() < 0.9 ? Math.floor(rnd() * 500) : Math.floor(rnd() * 60_000);
      const align = rnd() < 0.2 ? 4096 : 16;
      const a = m.alloc(size, align);
      expect(a % align, `seed ${seed} step ${step}`).toBe(0);
      expect(
        m.u8.subarray(a, a + size).every((b) => b === 0),
        `seed ${seed} step ${step}: zeroed`,
      ).toBe(true);
      const tag = 1 + Math.floor(rnd() * 255);
      m.u8.fill(tag, a, a + size);
      live.set(a, { size, tag });
    } else if (live.size) {
      const a = [...live.keys()][Math.floor(rnd() * live.size)]!;
      const { size, tag } = live.get(a)!;
      expect(
        m.u8.subarray(a, a + size).every((b) => b === tag),
        `seed ${seed} step ${step}: kept`,
      ).toBe(true);
      live.delete(a);
      m.free(a);
    }
  }
  for (const a of live.keys()) m.free(a);
  // All merged again: the first address comes back for a large block.
  expect(m.alloc(1 << 19)).toBe(start);
});

test("a joined shared memory shares the heap", () => {
  const one = new Memory({ shared: true, maximum: 16 << 20 });
  const two = new Memory({ shared: true, maximum: 16 << 20 }, one.wasm);
  const a = one.alloc(64);
  const b = two.alloc(64);
  expect(a).not.toBe(b);
  one.u8[a] = 5;
  expect(two.u8[a]).toBe(5);
  one.free(b);
});

test("regions answer who owns an address and what may be done to it", () => {
  const m = new Memory();
  const a = m.alloc(256);
  const drop = m.addRegion({ name: "values", start: a, end: a + 96, writable: true, slots: { stride: 24, size: 20 } });
  m.addRegion({ name: "ro", start: a + 96, end: a + 128, writable: false });
  expect(m.regionAt(a + 95)?.name).toBe("values");
  expect(m.regionAt(a + 128)).toBeUndefined();
  expect(m.allows(a + 12, 8, true)).toBe(true);
  expect(m.allows(a + 16, 8, true)).toBe(false);
  expect(m.allows(a + 20, 4, false)).toBe(false);
  expect(m.allows(a + 100, 8, false)).toBe(true);
  expect(m.allows(a + 100, 8, true)).toBe(false);
  expect(m.allows(4, 4, false)).toBe(false);
  expect(() => m.addRegion({ name: "x", start: a + 90, end: a + 97, writable: true })).toThrow("overlaps");
  drop();
  expect(m.regionAt(a)).toBeUndefined();
});
