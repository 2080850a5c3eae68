/** Map helpers: thin doors to the map runtime. Source: kernel/bpf/helpers.c 6.18. */
import { layout } from "../../maps/index.ts";
import { MapType } from "../../object/index.ts";
import { type Env, type HelperImpl, helper } from "../env.ts";

/** Flags as the runtime takes them, for the common ones without making a BigInt. */
const FLAGS = [0n, 1n, 2n, 3n, 4n, 5n, 6n, 7n];

export function flags64(low: number, high: number): bigint {
  if (high === 0 && low >= 0 && low < FLAGS.length) return FLAGS[low]!;
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}

export const MAP_HELPERS: readonly (readonly [number, HelperImpl])[] = [
  /* map_lookup_elem */ [
    1,
    { ...helper("ii", "u", (env, map, key) => env.runtime.exports.map_lookup(map, key)), runtime: "map_lookup" },
  ],
  /* map_update_elem */ [2, helper("iiiw", "i", update)],
  /* map_delete_elem */ [
    3,
    { ...helper("ii", "i", (env, map, key) => env.runtime.exports.map_delete(map, key)), runtime: "map_delete" },
  ],
  /* map_lookup_percpu_elem */ [
    195,
    helper("iii", "u", (env, map, key, cpu) =>
      cpu >>> 0 >= env.runtime.cpus ? 0 : env.runtime.exports.map_lookup_percpu(map, key, cpu),
    ),
  ],
];

/** The common types by their own function, which takes flags of 32 bits: a BigInt a call would cost more than the rest. */
function update(env: Env, map: number, key: number, value: number, flags: number, high: number): number {
  const { exports } = env.runtime;
  if (high === 0) {
    switch (env.memory.view.getUint32((map >>> 0) + layout.MAP_TYPE, true)) {
      case MapType.BPF_MAP_TYPE_HASH:
        return exports.hash_update(map, key, value, flags);
      case MapType.BPF_MAP_TYPE_ARRAY:
        return exports.array_update(map, key, value, flags);
      case MapType.BPF_MAP_TYPE_LRU_HASH:
        return exports.lru_update(map, key, value, flags);
    }
  }
  return exports.map_update(map, key, value, flags64(flags, high));
}
