import { type MapSpec, MapType, ProgType } from "@ebplane/core/object";
import { describe, expect, test } from "vitest";
import { linuxTarget } from "../target/target.ts";
import { arrayMap, asmProgram, collectionOf, kernelSkipReason } from "../testing.ts";
import { deleteBatch, LinuxMap, mapCreate, possibleCpus, updateBatch } from "./index.ts";

const skip = kernelSkipReason();

function make(type: number, more: Partial<MapSpec> = {}): LinuxMap {
  const spec: MapSpec = { name: "m", type, keySize: 4, valueSize: 8, maxEntries: 1000, flags: 0, ...more };
  return new LinuxMap(mapCreate(spec), spec);
}

const u32 = (n: number) => new Uint8Array(Uint32Array.of(n).buffer);
const u64 = (n: number) => new Uint8Array(BigUint64Array.of(BigInt(n)).buffer);
const of = (bytes: Uint8Array) => new DataView(bytes.buffer).getUint32(0, true);

describe.skipIf(skip)(`maps of the kernel${skip ? ` (skipped: ${skip})` : ""}`, () => {
  test("an entry is written, read, replaced and deleted", () => {
    using map = make(MapType.BPF_MAP_TYPE_HASH);
    expect(map.lookup(u32(1))).toBeUndefined();
    map.update(u32(1), u64(10));
    map.update(u32(1), u64(11));
    expect(map.lookup(u32(1))).toEqual(u64(11));
    expect(() => map.update(u32(1), u64(0), 1)).toThrow("bpf(MAP_UPDATE_ELEM): EEXIST: map m (hash)");
    expect(() => map.update(u32(2), u64(0), 2)).toThrow("ENOENT");
    expect(map.delete(u32(1))).toBe(true);
    expect(map.delete(u32(1))).toBe(false);
    expect(() => map.lookup(new Uint8Array(3))).toThrow(new RangeError("map m: need a key of 4 bytes, have 3"));
    expect(() => map.update(u32(1), new Uint8Array(7))).toThrow(RangeError);
  });

  test("a per-CPU map shows one value a possible CPU", () => {
    using map = make(MapType.BPF_MAP_TYPE_PERCPU_HASH, { valueSize: 4 });
    const value = new Uint8Array(8 * possibleCpus());
    for (let cpu = 0; cpu < possibleCpus(); cpu++) value[cpu * 8] = cpu + 1;
    map.update(u32(5), value);
    expect(map.lookup(u32(5))).toEqual(value);
    expect([...map.entries()]).toEqual([[u32(5), value]]);
  });

  test("a queue takes and gives without keys", () => {
    using map = make(MapType.BPF_MAP_TYPE_QUEUE, { keySize: 0 });
    const none = new Uint8Array(0);
    map.update(none, u64(1));
    map.update(none, u64(2));
    expect(map.lookup(none)).toEqual(u64(1));
    expect(map.lookupAndDelete(none)).toEqual(u64(1));
    expect(map.lookupAndDelete(none)).toEqual(u64(2));
    expect(map.lookupAndDelete(none)).toBeUndefined();
    expect([...map.entries()]).toEqual([]);
  });

  test.each(["HASH", "LRU_HASH", "PERCPU_HASH", "LPM_TRIE", "ARRAY"] as const)(
    "walking a %s gives every entry once, also while each is deleted",
    (name) => {
      const type = MapType[`BPF_MAP_TYPE_${name}`];
      const lpm = name === "LPM_TRIE";
      using map = make(type, { flags: lpm ? 1 : 0, keySize: lpm ? 8 : 4 });
      const keyOf = (i: number) => (lpm ? new Uint8Array(Uint32Array.of(32, i).buffer) : u32(i));
      for (let i = 0; i < 500; i++) map.update(keyOf(i), new Uint8Array(map.userValueSize).fill(i));
      const seen = new Set<string>();
      for (const [key, value] of map.entries()) {
        const i = new DataView(key.buffer).getUint32(lpm ? 4 : 0, true);
        expect(seen.has(String(i))).toBe(false);
        seen.add(String(i));
        if (i < 500) expect(value[0]).toBe(i & 255);
        if (name !== "ARRAY") expect(map.delete(key)).toBe(true);
      }
      expect(seen.size).toBe(name === "ARRAY" ? 1000 : 500);
      if (name !== "ARRAY") expect([...map.entries()]).toEqual([]);
    },
  );

  test("a walk survives others' deletes: no entry twice, and those that stay are all seen", () => {
    using map = make(MapType.BPF_MAP_TYPE_LPM_TRIE, { flags: 1, keySize: 8 });
    const keyOf = (i: number) => new Uint8Array(Uint32Array.of(32, i).buffer);
    for (let i = 0; i < 300; i++) map.update(keyOf(i), u64(i));
    const seen: number[] = [];
    for (const key of map.keys()) {
      const i = new DataView(key.buffer).getUint32(4, true);
      seen.push(i);
      // Takes away the entry that the walk would come to next.
      if (i % 2 === 0) map.delete(keyOf(i + 1));
    }
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen.filter((i) => i % 2 === 0).length).toBe(150);
  });

  test.each(["HASH", "LRU_HASH", "LPM_TRIE", "ARRAY", "PERCPU_ARRAY"] as const)("a batch fills a %s", (name) => {
    const lpm = name === "LPM_TRIE";
    // An LRU evicts before it is full.
    const maxEntries = name === "LRU_HASH" ? 8000 : 1000;
    using map = make(MapType[`BPF_MAP_TYPE_${name}`], { flags: lpm ? 1 : 0, keySize: lpm ? 8 : 4, maxEntries });
    const n = 1000;
    const keys = lpm
      ? new Uint8Array(Uint32Array.from({ length: 2 * n }, (_, i) => (i % 2 ? i >> 1 : 32)).buffer)
      : new Uint8Array(Uint32Array.from({ length: n }, (_, i) => i).buffer);
    const values = new Uint8Array(n * map.userValueSize).map((_, i) => i >> 3);
    expect(updateBatch(map, keys, values)).toBe(n);
    for (const i of [0, 1, 499, 999]) {
      const key = keys.slice(i * map.spec.keySize, (i + 1) * map.spec.keySize);
      const size = map.userValueSize;
      expect(map.lookup(key)).toEqual(values.slice(i * size, (i + 1) * size));
    }
    if (name === "HASH" || lpm) {
      const half = keys.subarray(0, (n / 2) * map.spec.keySize);
      expect(deleteBatch(map, half)).toBe(n / 2);
      expect(deleteBatch(map, keys)).toBe(n / 2);
      expect([...map.entries()]).toEqual([]);
    }
  });

  test("a batch that fails says at which entry", () => {
    using map = make(MapType.BPF_MAP_TYPE_HASH, { maxEntries: 10 });
    const keys = new Uint8Array(Uint32Array.from({ length: 20 }, (_, i) => i).buffer);
    expect(() => updateBatch(map, keys, new Uint8Array(160))).toThrow(
      /^bpf\(MAP_UPDATE_BATCH\): E2BIG: map m \(hash\): entry 10$/,
    );
    expect([...map.keys()].map(of).sort((a, b) => a - b)).toEqual(Array.from({ length: 10 }, (_, i) => i));
  });

  test("a map of maps holds them by fd and tells them by id; another takes a place while programs look", () => {
    const inner = (name: string, maxEntries = 1) => arrayMap(name, maxEntries);
    const text = `
      *(u32 *)(r10 - 4) = 0
      r2 = r10
      r2 += -4
      r1 = map[outer]
      call bpf_map_lookup_elem
      if r0 == 0 goto out
      r1 = r0
      *(u32 *)(r10 - 4) = 0
      r2 = r10
      r2 += -4
      call bpf_map_lookup_elem
      if r0 == 0 goto out
      r1 = 1
      lock *(u64 *)(r0 + 0) += r1
    out:
      r0 = 2
      exit`;
    const outer = {
      ...arrayMap("outer", 2),
      type: MapType.BPF_MAP_TYPE_ARRAY_OF_MAPS,
      valueSize: 4,
      inner: inner("template"),
    };
    const contents = [{ key: new Uint8Array(4), value: { map: "a" } }];
    using loaded = linuxTarget().load(
      collectionOf(
        [asmProgram("p", ProgType.BPF_PROG_TYPE_XDP, text)],
        [inner("a"), inner("b"), { ...outer, contents }],
      ),
    );
    const [outerMap, a, b] = ["outer", "a", "b"].map((name) => loaded.maps.get(name) as LinuxMap);
    const word = (n: number) => new Uint8Array(Uint32Array.of(n).buffer);
    const hits = (map: LinuxMap) => Number(new BigUint64Array(map.lookup(word(0))!.buffer)[0]);
    const run = () => loaded.programs.get("p")!.testRun({ packet: new Uint8Array(64) });
    expect(outerMap!.lookup(word(0))).toEqual(word(a!.id));
    expect(outerMap!.lookup(word(1))).toBeUndefined();
    run();
    outerMap!.update(word(0), word(b!.fd));
    run();
    run();
    expect([hits(a!), hits(b!)]).toEqual([1, 2]);
    expect([...outerMap!.entries()]).toEqual([[word(0), word(b!.id)]]);
    expect(outerMap!.delete(word(0))).toBe(true);
    run();
    expect(hits(b!)).toBe(2);
    using other = linuxTarget().load(collectionOf([], [inner("wide", 9)]));
    const wide = other.maps.get("wide") as LinuxMap;
    expect(() => outerMap!.update(word(0), word(wide.fd))).toThrow("EINVAL: map outer (array_of_maps)");
    expect(() => outerMap!.update(word(0), word(1_000_000))).toThrow("EBADF: map outer (array_of_maps)");
  });
});
