/**
 * Map operations from JavaScript (control plane) and inside wasm: cost an operation at 1,000 to 1,000,000 entries.
 * Run: `npx tsx --conditions=source bench/maps.ts`. Keys come in random order, so large maps pay for cache misses.
 * Each figure is the minimum of rounds; the ratio is against 1,000 entries.
 */
import { createMap, createRuntime, type VmMap } from "@ebplane/core/maps";
import { Memory } from "@ebplane/core/mem";
import { MapType } from "@ebplane/core/object";

const OPS = 400_000;
const ROUNDS = 5;
const SIZES = [1_000, 10_000, 100_000, 1_000_000];

interface Row {
  readonly name: string;
  /** Runs `OPS` operations. */
  run(map: VmMap, order: Uint32Array): void;
}

const key = new Uint8Array(4);
const key32 = new Uint32Array(key.buffer);
const value = new Uint8Array(8);

const rows: readonly Row[] = [
  {
    name: "lookup(key): bytes",
    run(map, order) {
      for (let i = 0; i < OPS; i++) {
        key32[0] = order[i]!;
        if (!map.lookup(key)) throw new Error("missing");
      }
    },
  },
  {
    name: "lookupAt(address)",
    run(map, order) {
      const at = map.keyAddr;
      const u32 = memory.u32;
      for (let i = 0; i < OPS; i++) {
        u32[at >>> 2] = order[i]!;
        if (!map.lookupAt(at)) throw new Error("missing");
      }
    },
  },
  {
    name: "update(key, value)",
    run(map, order) {
      for (let i = 0; i < OPS; i++) {
        key32[0] = order[i]!;
        map.update(key, value);
      }
    },
  },
  {
    name: "updateAt(address)",
    run(map, order) {
      const at = map.keyAddr;
      const from = map.scratchAddr;
      const u32 = memory.u32;
      for (let i = 0; i < OPS; i++) {
        u32[at >>> 2] = order[i]!;
        if (map.updateAt(at, from, 0)) throw new Error("refused");
      }
    },
  },
  {
    name: "deleteAt + updateAt",
    run(map, order) {
      const at = map.keyAddr;
      const from = map.scratchAddr;
      const u32 = memory.u32;
      for (let i = 0; i < OPS; i++) {
        u32[at >>> 2] = order[i]!;
        if (map.deleteAt(at) || map.updateAt(at, from, 1)) throw new Error("refused");
      }
    },
  },
];

const memory = new Memory({ initial: 64 << 20 });
const rt = createRuntime(memory);
const figures = rows.map((row) => ({ row, ns: [] as number[] }));
for (const size of SIZES) {
  const map = createMap(rt, {
    name: "flows",
    type: MapType.BPF_MAP_TYPE_HASH,
    keySize: 4,
    valueSize: 8,
    maxEntries: size,
    flags: 0,
  });
  for (let i = 0; i < size; i++) {
    memory.u32[map.keyAddr >>> 2] = spread(i);
    map.updateAt(map.keyAddr, map.scratchAddr, 0);
  }
  const order = Uint32Array.from({ length: OPS }, () => spread(Math.floor(Math.random() * size)));
  for (const { row, ns } of figures) {
    let best = Number.POSITIVE_INFINITY;
    for (let round = 0; round < ROUNDS; round++) {
      const start = performance.now();
      row.run(map, order);
      best = Math.min(best, performance.now() - start);
    }
    ns.push((best * 1e6) / OPS);
  }
  map.close();
}

console.log(
  `${"hash, 4-byte key, 8-byte value".padEnd(32)}${SIZES.map((n) => n.toLocaleString("en").padStart(16)).join("")}`,
);
for (const { row, ns } of figures) {
  const cells = ns.map((t) => `${t.toFixed(0)} ns ${(1e3 / t).toFixed(1)} M/s`.padStart(16));
  console.log(`${row.name.padEnd(32)}${cells.join("")}   ×${(ns.at(-1)! / ns[0]!).toFixed(2)}`);
}

/** The same keys every time, spread over 32 bits. */
function spread(i: number): number {
  return Math.imul(i, 0x9e3779b1) >>> 0;
}
