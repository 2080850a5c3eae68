/**
 * Filling a map with 1,000,000 entries: `updateBatch` beside the same in C on libbpf's batch call, rounds interleaved.
 * As root: npx tsx --conditions=source bench/linux/map-batch.ts [hash|lpm]
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MapType } from "@ebplane/core/object";
import { LinuxMap, mapCreate, updateBatch } from "@ebplane/linux/bpf";

const N = 1_000_000;
const ROUNDS = 3;

const directory = mkdtempSync(join(tmpdir(), "ebplane-bench-"));
try {
  const binary = join(directory, "map-batch");
  execFileSync("gcc", ["-O2", "-o", binary, join(import.meta.dirname, "map-batch.c"), "-lbpf"]);
  for (const kind of process.argv[2] === undefined ? ["hash", "lpm"] : [process.argv[2]]) {
    const ours: number[] = [];
    const theirs: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      theirs.push(...execFileSync(binary, [kind], { encoding: "utf8" }).trim().split("\n").map(Number));
      ours.push(...fill(kind === "lpm"));
    }
    // The first fill of each map allocates; both sides are compared by the best round.
    const [a, b] = [Math.min(...ours), Math.min(...theirs)];
    console.log(
      `${kind}: ebplane ${a.toFixed(0)} ns, C on libbpf ${b.toFixed(0)} ns an entry: ${(b / a).toFixed(2)} of C's speed`,
    );
  }
} finally {
  rmSync(directory, { recursive: true });
}

function fill(lpm: boolean): number[] {
  const words = lpm ? 2 : 1;
  const keys = new Uint32Array(N * words);
  const values = new BigUint64Array(N);
  for (let i = 0; i < N; i++) {
    if (lpm) {
      keys[2 * i] = 32;
      keys[2 * i + 1] = Math.imul(i, 0x9e3779b1);
    } else keys[i] = i;
    values[i] = BigInt(i);
  }
  const type = lpm ? MapType.BPF_MAP_TYPE_LPM_TRIE : MapType.BPF_MAP_TYPE_HASH;
  const spec = { name: "bench", type, keySize: 4 * words, valueSize: 8, maxEntries: N, flags: lpm ? 1 : 0 };
  using map = new LinuxMap(mapCreate(spec), spec);
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const start = process.hrtime.bigint();
    updateBatch(map, new Uint8Array(keys.buffer), new Uint8Array(values.buffer));
    times.push(Number(process.hrtime.bigint() - start) / N);
  }
  return times;
}
