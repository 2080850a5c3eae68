/** The atomic variant of the map runtime under load from real threads. */
import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import { createMap, createRuntime, layout, type RingbufMap } from "../src/maps/index.ts";
import { Memory } from "../src/mem/index.ts";
import { type MapSpec, MapType } from "../src/object/index.ts";

const CPUS = 3;
const ROUNDS = 1500;
/** How a worker starts: plain Node reads no TypeScript. */
const BOOT = `import("tsx/esm/api").then(({ register }) => {
  register();
  return import(${JSON.stringify(new URL("./maps-threads.worker.ts", import.meta.url).href)});
});`;

test("three CPUs on shared maps lose no update, no element and no record", async () => {
  const memory = new Memory({ shared: true, maximum: 256 << 20 });
  const rt = createRuntime(memory, { cpus: CPUS });
  const make = (type: number, over: Partial<MapSpec> = {}) =>
    createMap(rt, { name: "m", type, keySize: 4, valueSize: 8, maxEntries: 512, flags: 0, ...over });
  const maps = {
    // Few buckets: the CPUs meet in all of them.
    hash: make(MapType.BPF_MAP_TYPE_HASH, { maxEntries: 64 * CPUS + CPUS + 1 }),
    noPrealloc: make(MapType.BPF_MAP_TYPE_HASH, { flags: 1 }),
    lru: make(MapType.BPF_MAP_TYPE_LRU_HASH, { maxEntries: 300 }),
    percpu: make(MapType.BPF_MAP_TYPE_PERCPU_HASH),
    queue: make(MapType.BPF_MAP_TYPE_QUEUE, { keySize: 0, maxEntries: ROUNDS * CPUS }),
    ring: make(MapType.BPF_MAP_TYPE_RINGBUF, { keySize: 0, valueSize: 0, maxEntries: 1 << 20 }),
    lpm: make(MapType.BPF_MAP_TYPE_LPM_TRIE, { keySize: 8, flags: 1, maxEntries: 5000 }),
  };
  const u32 = (n: number) => new Uint8Array(new Uint32Array([n]).buffer);
  maps.hash.update(u32(0xfffe), new Uint8Array(8));
  maps.percpu.update(u32(7), new Uint8Array(8 * CPUS));
  const addresses = Object.fromEntries(Object.entries(maps).map(([name, m]) => [name, m.addr]));

  const done = await Promise.all(
    Array.from(
      { length: CPUS },
      (_, cpu) =>
        new Promise<{ wrong: number; pushed: number; sent: number }>((resolve, reject) => {
          const worker = new Worker(BOOT, {
            eval: true,
            workerData: { memory: memory.wasm, cpu, cpus: CPUS, maps: addresses, rounds: ROUNDS },
          });
          worker.on("message", resolve);
          worker.on("error", reject);
        }),
    ),
  );
  memory.refresh();

  expect(done.map((d) => d.wrong)).toEqual(new Array(CPUS).fill(0));
  expect(new DataView(maps.hash.lookup(u32(0xfffe))!.buffer).getUint32(0, true)).toBe(CPUS * ROUNDS);
  const counters = new Uint32Array(maps.percpu.lookup(u32(7))!.buffer);
  expect([...counters].filter((_, i) => i % 2 === 0)).toEqual(new Array(CPUS).fill(ROUNDS));

  for (const m of [maps.hash, maps.noPrealloc, maps.lru, maps.lpm]) {
    const found = [...m.entries()];
    expect(new Set(found.map(([k]) => k.join())).size).toBe(found.length);
    if (m !== maps.lru) expect(memory.u32[(m.addr + layout.MAP_COUNT) >>> 2]).toBe(found.length);
  }
  for (const [, v] of maps.lru.entries()) {
    const [a, b] = new Uint32Array(v.buffer);
    expect(b).toBe(~a! >>> 0);
  }
  let queued = 0;
  while (maps.queue.lookupAndDelete(new Uint8Array(0))) queued++;
  expect(queued).toBe(done.reduce((sum, d) => sum + d.pushed, 0));
  let records = 0;
  (maps.ring as RingbufMap).consume(() => records++);
  expect(records).toBe(done.reduce((sum, d) => sum + d.sent, 0));
  expect(records).toBeGreaterThan(1000);
});
