/** Map helpers: thin doors to the map runtime. Source: kernel/bpf/helpers.c 6.18. */
import { type HelperImpl, helper } from "../env.ts";

/** Flags as the runtime takes them, for the common ones without making a BigInt. */
const FLAGS = [0n, 1n, 2n, 3n, 4n, 5n, 6n, 7n];

export function flags64(low: number, high: number): bigint {
  if (high === 0 && low >= 0 && low < FLAGS.length) return FLAGS[low]!;
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}

export const MAP_HELPERS: readonly (readonly [number, HelperImpl])[] = [
  /* map_lookup_elem */ [1, helper("ii", "u", (env, map, key) => env.runtime.exports.map_lookup(map, key))],
  /* map_update_elem */ [
    2,
    helper("iiiw", "i", (env, map, key, value, low, high) =>
      env.runtime.exports.map_update(map, key, value, flags64(low, high)),
    ),
  ],
  /* map_delete_elem */ [3, helper("ii", "i", (env, map, key) => env.runtime.exports.map_delete(map, key))],
  /* map_lookup_percpu_elem */ [
    195,
    helper("iii", "u", (env, map, key, cpu) =>
      cpu >>> 0 >= env.runtime.cpus ? 0 : env.runtime.exports.map_lookup_percpu(map, key, cpu),
    ),
  ],
];
