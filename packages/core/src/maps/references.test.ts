import { expect, test } from "vitest";
import { Memory } from "../mem/index.ts";
import { type MapSpec, MapType } from "../object/index.ts";
import {
  type ArenaMap,
  type CgroupStorageMap,
  createMap,
  createRuntime,
  type PerfEventArrayMap,
  type RuntimeOptions,
  type StackTraceMap,
  socketClosed,
  supportsMapType,
} from "./index.ts";

const u32 = (...n: number[]) => new Uint8Array(new Uint32Array(n).buffer);
const spec = (type: number, over: Partial<MapSpec> = {}): MapSpec => ({
  name: "m",
  type,
  keySize: 4,
  valueSize: 4,
  maxEntries: 4,
  flags: 0,
  ...over,
});

function machine(options: RuntimeOptions = {}) {
  const rt = createRuntime(new Memory(), options);
  const at = rt.memory.alloc(64);
  const key = (bytes: Uint8Array) => {
    rt.memory.u8.set(bytes, at);
    return at;
  };
  return { rt, x: rt.exports, key };
}

test("every map type but struct_ops can be made", () => {
  const missing = Object.entries(MapType).filter(([, type]) => !supportsMapType(type));
  expect(missing.map(([name]) => name)).toEqual(["BPF_MAP_TYPE_UNSPEC", "BPF_MAP_TYPE_STRUCT_OPS"]);
});

test("a program array holds the programs that exist, for tail calls only", () => {
  const { rt, x, key } = machine({ host: { program: (id) => id === 7 } });
  const m = createMap(rt, spec(MapType.BPF_MAP_TYPE_PROG_ARRAY));
  m.update(u32(1), u32(7));
  expect(() => m.update(u32(1), u32(8))).toThrow("EBADF");
  expect(m.lookup(u32(1))).toEqual(u32(7));
  expect(x.map_lookup(m.addr, key(u32(1)))).toBe(0);
  expect(rt.memory.u32[x.slot_lookup(m.addr, key(u32(1))) >>> 2]).toBe(7);
  expect(x.slot_lookup(m.addr, key(u32(2)))).toBe(0);
  expect(m.delete(u32(1))).toBe(true);
  expect(m.delete(u32(1))).toBe(false);
});

test.each([MapType.BPF_MAP_TYPE_ARRAY_OF_MAPS, MapType.BPF_MAP_TYPE_HASH_OF_MAPS])(
  "a map in a map lives until it is in none and closed (type %i)",
  (type) => {
    const { rt, x, key } = machine();
    const template = spec(MapType.BPF_MAP_TYPE_HASH, { name: "inner" });
    const outer = createMap(rt, spec(type, { inner: template }));
    const inner = createMap(rt, template);
    outer.update(u32(2), u32(inner.id));
    expect(outer.lookup(u32(2))).toEqual(u32(inner.id));
    expect(x.map_lookup(outer.addr, key(u32(2))) >>> 0).toBe(inner.addr);
    inner.close();
    expect(x.map_update(x.map_lookup(outer.addr, key(u32(2))), key(u32(2)), key(u32(2)), 0n)).toBe(0);
    expect(rt.byId.has(inner.id)).toBe(true);
    outer.delete(u32(2));
    expect(rt.byId.has(inner.id)).toBe(false);
    const other = createMap(rt, spec(MapType.BPF_MAP_TYPE_ARRAY));
    expect(() => outer.update(u32(2), u32(other.id))).toThrow("EINVAL");
    const second = createMap(rt, template);
    outer.update(u32(1), u32(second.id));
    second.close();
    outer.close();
    expect(rt.byId.has(second.id)).toBe(false);
    other.close();
    expect(rt.memory.regions).toEqual([]);
  },
);

test("programs read devices and their programs, and may not write them", () => {
  const { rt, x, key } = machine({ host: { netdev: (ifindex) => ifindex < 10, program: (id) => id === 3 } });
  for (const type of [MapType.BPF_MAP_TYPE_DEVMAP, MapType.BPF_MAP_TYPE_DEVMAP_HASH]) {
    const m = createMap(rt, spec(type, { valueSize: 8 }));
    m.update(u32(1), u32(5, 3));
    expect(() => m.update(u32(2), u32(50, 0))).toThrow("EINVAL");
    expect(() => m.update(u32(2), u32(5, 4))).toThrow("EINVAL");
    const at = x.map_lookup(m.addr, key(u32(1))) >>> 0;
    expect([rt.memory.u32[at >>> 2], rt.memory.u32[(at >>> 2) + 1]]).toEqual([5, 3]);
    expect(rt.memory.allows(at, 8, false)).toBe(true);
    expect(rt.memory.allows(at, 4, true)).toBe(false);
    m.close();
  }
});

test("a perf event array hands records to the reader of a slot and counts what it lost", () => {
  const { rt } = machine();
  const m = createMap(rt, spec(MapType.BPF_MAP_TYPE_PERF_EVENT_ARRAY)) as PerfEventArrayMap;
  const output = (index: number, record: Uint8Array) => m.output(index, record.length, (to) => to.set(record));
  expect(output(9, u32(1))).toBe(-7);
  expect(output(1, u32(1))).toBe(-2);
  const reader = m.openReader(1, 40);
  expect([output(1, u32(1)), output(1, u32(2)), output(1, u32(3))]).toEqual([0, 0, -28]);
  expect([reader.read(), reader.read(), reader.read()]).toEqual([u32(1), u32(2), undefined]);
  expect(reader.lost).toBe(1);
  reader.close();
  expect(output(1, u32(1))).toBe(-2);
});

test("a frozen perf event array takes no more readers", () => {
  const m = createMap(machine().rt, spec(MapType.BPF_MAP_TYPE_PERF_EVENT_ARRAY)) as PerfEventArrayMap;
  m.freeze();
  expect(() => m.openReader(1, 40)).toThrow("EPERM");
});

test("a socket stands in one slot of one reuseport array; whether it fits is asked after the flags", () => {
  const unbound = 5;
  const { rt } = machine({ host: { socket: (handle) => (handle === unbound ? 22 : 0) } });
  const type = MapType.BPF_MAP_TYPE_REUSEPORT_SOCKARRAY;
  const [a, b] = [createMap(rt, spec(type)), createMap(rt, spec(type))];
  a.update(u32(0), u32(7));
  expect(() => a.update(u32(0), u32(7))).toThrow("EBUSY");
  expect(() => b.update(u32(0), u32(7))).toThrow("EBUSY");
  expect(() => b.update(u32(0), u32(unbound))).toThrow("EINVAL");
  expect(() => b.update(u32(0), u32(unbound), 2)).toThrow("ENOENT");
  expect(() => b.update(u32(0), u32(0x80000000))).toThrow("EBADF");
  a.update(u32(0), u32(8));
  b.update(u32(0), u32(7));
  b.close();
  a.update(u32(1), u32(7));
});

test("a socket that is closed leaves the maps of sockets and reuseport arrays that it is in", () => {
  const { rt } = machine();
  const maps = (["REUSEPORT_SOCKARRAY", "SOCKMAP", "SOCKHASH"] as const).map((name) =>
    createMap(rt, spec(MapType[`BPF_MAP_TYPE_${name}`], { valueSize: 8 })),
  );
  const socket = (handle: number) => u32(handle, 0);
  const [group, map, hash] = maps as [(typeof maps)[0], (typeof maps)[0], (typeof maps)[0]];
  for (const m of maps) {
    m.update(u32(1), socket(7));
    m.update(u32(2), socket(8));
  }
  for (const m of [map, hash]) m.update(u32(3), socket(7));
  socketClosed(rt, 7);
  for (const m of maps) expect([...m.entries()].map(([key]) => key[0])).toEqual([2]);
  // Its number is another socket's now, with room in one array.
  group.update(u32(0), socket(7));
  hash.close();
  socketClosed(rt, 8);
  expect([...map.entries()]).toEqual([]);
  expect([...group.entries()].map(([key]) => key[0])).toEqual([0]);
});

test("what is mapped and not addressed by key refuses BPF_F_LOCK first", () => {
  const { rt } = machine();
  const none = new Uint8Array(0);
  const ring = createMap(rt, spec(MapType.BPF_MAP_TYPE_RINGBUF, { keySize: 0, valueSize: 0, maxEntries: 4096 }));
  expect(() => ring.update(none, none, 4)).toThrow("EINVAL");
  expect(() => ring.update(none, none, 1)).toThrow("ENOTSUPP");
});

test("a hash of maps is read in batches of whole buckets, as other hashes are, and may be emptied so", () => {
  const { rt } = machine();
  const template = spec(MapType.BPF_MAP_TYPE_HASH, { name: "inner" });
  const outer = createMap(rt, spec(MapType.BPF_MAP_TYPE_HASH_OF_MAPS, { inner: template }));
  const inner = createMap(rt, template);
  outer.update(u32(2), u32(inner.id));
  expect(outer.lookupBatch(0)).toMatchObject({ result: 0, count: 0 });
  const taken = outer.lookupAndDeleteBatch(4);
  expect(taken).toMatchObject({ result: -2, count: 1, keys: u32(2), values: u32(inner.id), cursor: u32(4) });
  expect(outer.nextKey()).toBeUndefined();
  inner.close();
  expect(rt.byId.has(inner.id)).toBe(false);
});

test("a socket's storage is made on request, zeroed or from a value, and goes with the socket", () => {
  const { rt, x, key } = machine({ host: { owner: (handle) => handle < 100 } });
  const storage = { flags: 1, maxEntries: 0, keyTypeId: 1, valueTypeId: 2, valueSize: 8 };
  const m = createMap(rt, spec(MapType.BPF_MAP_TYPE_SK_STORAGE, storage));
  expect(x.storage_get(m.addr, 5, 0, 0n)).toBe(0);
  expect(x.storage_get(m.addr, 5, 0, 2n)).toBe(0);
  const at = x.storage_get(m.addr, 5, 0, 1n) >>> 0;
  expect(rt.memory.u32[at >>> 2]).toBe(0);
  rt.memory.u32[at >>> 2] = 77;
  expect(m.lookup(u32(5))).toEqual(u32(77, 0));
  const from = x.storage_get(m.addr, 6, key(u32(8, 9)), 1n) >>> 0;
  expect([rt.memory.u32[from >>> 2], rt.memory.u32[(from >>> 2) + 1]]).toEqual([8, 9]);
  expect(x.storage_delete(m.addr, 5)).toBe(0);
  expect(x.storage_delete(m.addr, 5)).toBe(-2);
  expect(() => m.update(u32(100), u32(0, 0))).toThrow("EBADF");
  expect(() => m.nextKey()).toThrow("ENOTSUPP");
});

test("a program sees the storage of the cgroup it runs for", () => {
  const { rt, x } = machine({ cpus: 2 });
  const one = spec(MapType.BPF_MAP_TYPE_CGROUP_STORAGE, { keySize: 8, valueSize: 8, maxEntries: 0 });
  for (const s of [one, { ...one, type: MapType.BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE }]) {
    const m = createMap(rt, s) as CgroupStorageMap;
    const values = m.type === MapType.BPF_MAP_TYPE_CGROUP_STORAGE ? u32(1, 2) : u32(1, 2, 3, 4);
    expect(() => m.update(u32(9, 0), values)).toThrow("ENOENT");
    m.setCurrent(m.attach(u32(9, 0)));
    m.attach(u32(8, 0));
    m.update(u32(9, 0), values);
    rt.cpu.value = 1;
    const at = x.cgroup_storage_current(m.addr) >>> 0;
    rt.cpu.value = 0;
    expect(rt.memory.u32[at >>> 2]).toBe(values.length === 8 ? 1 : 3);
    expect([m.nextKey(), m.nextKey(u32(8, 0)), m.nextKey(u32(9, 0)), m.nextKey(u32(7, 0))]).toEqual([
      u32(8, 0),
      u32(9, 0),
      undefined,
      undefined,
    ]);
    expect(() => m.delete(u32(9, 0))).toThrow("EINVAL");
    m.detach(u32(9, 0));
    expect(m.lookup(u32(9, 0))).toBeUndefined();
    m.close();
  }
});

test("a stack keeps its id, and another one with the same bucket is refused unless it may replace it", () => {
  const { rt } = machine();
  const m = createMap(rt, spec(MapType.BPF_MAP_TYPE_STACK_TRACE, { valueSize: 32, maxEntries: 1 })) as StackTraceMap;
  expect(m.record(new BigUint64Array([1n, 2n, 3n, 4n, 5n]), 1)).toBe(0);
  expect(m.record(new BigUint64Array([2n, 3n, 4n, 5n]), 0)).toBe(0);
  expect(m.lookup(u32(0))).toEqual(new Uint8Array(new BigUint64Array([2n, 3n, 4n, 5n]).buffer));
  expect(m.record(new BigUint64Array([9n]), 0)).toBe(-17);
  expect(m.record(new BigUint64Array([9n]), 1 << 10)).toBe(0);
  expect(m.lookup(u32(0))).toEqual(new Uint8Array(new BigUint64Array([9n, 0n, 0n, 0n]).buffer));
  expect([...m.entries()].length).toBe(1);
  expect(() => m.update(u32(0), new Uint8Array(32))).toThrow("EINVAL");
  expect(m.lookupAndDelete(u32(0))).toEqual(new Uint8Array(new BigUint64Array([9n, 0n, 0n, 0n]).buffer));
  expect(m.delete(u32(0))).toBe(false);
});

test("arena pages are handed out in a row, zeroed, and only those may be touched", () => {
  const { rt } = machine();
  const arena = { keySize: 0, valueSize: 0, maxEntries: 8, flags: 1 << 10, mapExtra: 0x7f00_0000_0000n };
  const m = createMap(rt, spec(MapType.BPF_MAP_TYPE_ARENA, arena)) as ArenaMap;
  const first = m.allocPages(0n, 3);
  expect(first).toBe(0x7f00_0000_0000n);
  const at = m.wasmAddress(first + 4096n);
  rt.memory.u8[at] = 9;
  expect(rt.memory.allows(at, 4096, true)).toBe(true);
  expect(rt.memory.allows(m.base + 3 * 4096, 1, false)).toBe(false);
  expect(m.allocPages(first + 4096n, 1)).toBe(0n);
  expect(m.allocPages(0n, 6)).toBe(0n);
  m.freePages(first + 4096n, 1);
  expect(rt.memory.allows(at, 1, false)).toBe(false);
  expect(m.allocPages(0n, 1)).toBe(first + 4096n);
  expect(rt.memory.u8[at]).toBe(0);
  expect(m.wasmAddress(first + 8n * 4096n)).toBe(0);
});

test("owned fields are released once and zeroed when their value ends; locks stay as they are", () => {
  const released: number[] = [];
  const { rt } = machine({ releaseFields: (_, value) => released.push(value) });
  for (const type of [MapType.BPF_MAP_TYPE_HASH, MapType.BPF_MAP_TYPE_ARRAY]) {
    released.length = 0;
    const m = createMap(rt, spec(type, { valueSize: 32 }), [
      { offset: 0, size: 4, kind: "spin_lock" },
      { offset: 8, size: 16, kind: "timer" },
    ]);
    m.update(u32(1), new Uint8Array(32).fill(5));
    released.length = 0;
    const at = m.lookupAt(m.keyAddr);
    expect([...rt.memory.u8.subarray(at, at + 32)]).toEqual([
      0,
      0,
      0,
      0,
      5,
      5,
      5,
      5,
      ...Array(16).fill(0),
      ...Array(8).fill(5),
    ]);
    rt.memory.u8.fill(7, at, at + 24);
    expect([...m.lookup(u32(1))!.subarray(8, 24)]).toEqual(Array(16).fill(0));
    m.update(u32(1), new Uint8Array(32).fill(6));
    expect(released).toEqual([at]);
    expect([...rt.memory.u8.subarray(at + 8, at + 24)]).toEqual(Array(16).fill(0));
    expect(rt.memory.u8[at]).toBe(7);
    m.close();
  }
});

test("a map too large for the memory is refused and leaves nothing behind", () => {
  const rt = createRuntime(new Memory({ maximum: 64 << 20 }), { cpus: 4 });
  const probe = rt.memory.alloc(1 << 16);
  rt.memory.free(probe);
  const { BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_PERCPU_HASH, BPF_MAP_TYPE_PERCPU_ARRAY } = MapType;
  const { BPF_MAP_TYPE_LRU_HASH, BPF_MAP_TYPE_LRU_PERCPU_HASH, BPF_MAP_TYPE_QUEUE, BPF_MAP_TYPE_DEVMAP } = MapType;
  const types = [BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_PERCPU_HASH, BPF_MAP_TYPE_PERCPU_ARRAY];
  for (const type of [...types, BPF_MAP_TYPE_LRU_HASH, BPF_MAP_TYPE_LRU_PERCPU_HASH]) {
    for (const maxEntries of [4_000_000, 150_000_000, 1_073_741_824, 2 ** 31]) {
      for (const flags of type === BPF_MAP_TYPE_HASH && maxEntries > 1e8 ? [0, 1] : [0]) {
        expect(() => createMap(rt, spec(type, { valueSize: 32, maxEntries, flags }))).toThrow("ENOMEM");
      }
    }
  }
  expect(() => createMap(rt, spec(BPF_MAP_TYPE_QUEUE, { keySize: 0, maxEntries: 0xffff_ffff }))).toThrow("ENOMEM");
  expect(() => createMap(rt, spec(BPF_MAP_TYPE_DEVMAP, { maxEntries: 0xffff_ffff }))).toThrow("ENOMEM");
  const inner = spec(BPF_MAP_TYPE_HASH);
  expect(() => createMap(rt, spec(MapType.BPF_MAP_TYPE_HASH_OF_MAPS, { inner, maxEntries: 1_073_741_824 }))).toThrow(
    "ENOMEM",
  );
  expect([rt.byId.size, rt.byAddress.size, rt.memory.regions.length]).toEqual([0, 0, 0]);
  expect(rt.memory.alloc(1 << 16)).toBe(probe);
});
