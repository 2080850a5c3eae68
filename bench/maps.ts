/**
 * Map operations from JavaScript (control plane) and inside wasm: cost an operation at 1,000 to 1,000,000 entries.
 * Run: `npx tsx --conditions=source bench/maps.ts`. Keys come in random order, so large maps pay for cache misses.
 * Each figure is the least of many short windows, so that a busy machine disturbs less; the ratio is against 1,000
 * entries. Every window has keys of its own.
 */
import { createMap, createRuntime, type VmMap } from "@ebplane/core/maps";
import { Memory } from "@ebplane/core/mem";
import { MapType } from "@ebplane/core/object";

/** Operations measured at once. */
const WINDOW = 20_000;
const WINDOWS = 40;
const ROUNDS = 2;
const SIZES = [1_000, 10_000, 100_000, 1_000_000];

interface Row {
  readonly name: string;
  /** One operation a key of `order`. */
  run(map: VmMap, order: Uint32Array): void;
}

const key = new Uint8Array(4);
const key32 = new Uint32Array(key.buffer);
const value = new Uint8Array(8);
const many = new Uint8Array(8 * WINDOW);

const rows: readonly Row[] = [
  {
    name: "lookup(key): bytes",
    run(map, order) {
      for (let i = 0; i < order.length; i++) {
        key32[0] = order[i]!;
        if (!map.lookup(key)) throw new Error("missing");
      }
    },
  },
  {
    name: "lookupInto(key, out)",
    run(map, order) {
      for (let i = 0; i < order.length; i++) {
        key32[0] = order[i]!;
        if (!map.lookupInto(key, value)) throw new Error("missing");
      }
    },
  },
  {
    name: "lookupMany(keys, values)",
    run(map, order) {
      const keys = new Uint8Array(order.buffer, order.byteOffset, order.byteLength);
      if (map.lookupMany(keys, many) !== order.length) throw new Error("missing");
    },
  },
  {
    name: "lookupAt(address)",
    run(map, order) {
      const at = map.keyAddr;
      const u32 = memory.u32;
      for (let i = 0; i < order.length; i++) {
        u32[at >>> 2] = order[i]!;
        if (!map.lookupAt(at)) throw new Error("missing");
      }
    },
  },
  {
    name: "update(key, value)",
    run(map, order) {
      for (let i = 0; i < order.length; i++) {
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
      for (let i = 0; i < order.length; i++) {
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
      for (let i = 0; i < order.length; i++) {
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
  const order = Uint32Array.from({ length: WINDOW * WINDOWS }, () => spread(Math.floor(Math.random() * size)));
  for (const { row, ns } of figures) {
    let best = Number.POSITIVE_INFINITY;
    for (let i = 0; i < ROUNDS * WINDOWS; i++) {
      const from = (i % WINDOWS) * WINDOW;
      const keys = order.subarray(from, from + WINDOW);
      const start = performance.now();
      row.run(map, keys);
      best = Math.min(best, performance.now() - start);
    }
    ns.push((best * 1e6) / WINDOW);
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

// Longest-prefix lookups with full-length addresses.
console.log(
  `\n${"lpm_trie, random prefixes".padEnd(32)}${SIZES.map((n) => n.toLocaleString("en").padStart(16)).join("")}`,
);
for (const bytes of [4, 16]) {
  const random: number[] = [];
  const same: number[] = [];
  for (const size of SIZES) {
    const m = createMap(rt, {
      name: "routes",
      type: MapType.BPF_MAP_TYPE_LPM_TRIE,
      keySize: 4 + bytes,
      valueSize: 8,
      maxEntries: size,
      flags: 1,
    });
    for (let i = 0; i < size; i++) {
      memory.u32[m.keyAddr >>> 2] =
        bytes === 4 ? 8 + Math.floor(Math.random() * 25) : 32 + Math.floor(Math.random() * 33);
      for (let j = 0; j < bytes; j += 4) memory.u32[(m.keyAddr + 4 + j) >>> 2] = address(bytes, j);
      if (m.updateAt(m.keyAddr, m.scratchAddr, 0)) throw new Error("refused");
    }
    const at = memory.alloc(16 * WINDOW);
    let best = Number.POSITIVE_INFINITY;
    let hot = Number.POSITIVE_INFINITY;
    for (let round = 0; round < 60; round++) {
      for (let i = 0; i < 4 * WINDOW; i++) memory.u32[(at >>> 2) + i] = address(bytes, (4 * i) % 16);
      best = Math.min(best, lookups(m, bytes, at, 16));
      hot = Math.min(hot, lookups(m, bytes, at, 0));
    }
    random.push(best);
    same.push(hot);
    memory.free(at);
    m.close();
  }
  for (const [what, ns] of [
    ["random addresses", random],
    ["one address", same],
  ] as const) {
    console.log(
      `${`${8 * bytes} bits, ${what}`.padEnd(32)}${ns.map((t) => `${t.toFixed(1)} ns`.padStart(16)).join("")}`,
    );
  }
}

/** Nanoseconds a lookup over a window of addresses, `step` bytes apart. */
function lookups(m: VmMap, bytes: number, at: number, step: number): number {
  const { lpm_lookup_v4: v4, lpm_lookup_full: full } = rt.exports;
  const u32 = memory.u32;
  let found = 0;
  const start = performance.now();
  if (bytes === 4) for (let i = 0; i < WINDOW; i++) found += v4(m.addr, u32[(at + i * step) >>> 2]!) === 0 ? 0 : 1;
  else for (let i = 0; i < WINDOW; i++) found += full(m.addr, at + i * step) === 0 ? 0 : 1;
  const ns = ((performance.now() - start) * 1e6) / WINDOW;
  return found < 0 ? 0 : ns;
}

/** A random word of an address; IPv6 ones share their first two bytes. */
function address(bytes: number, offset: number): number {
  const word = Math.floor(Math.random() * 2 ** 32);
  return bytes === 16 && offset === 0 ? ((word & 0xffff0000) | 0x0120) >>> 0 : word;
}
