/** Clocks, randomness, where a program runs. Source: kernel/bpf/helpers.c 6.18. */
import { type HelperImpl, helper } from "../env.ts";

export const BASE: readonly (readonly [number, HelperImpl])[] = [
  /* ktime_get_ns */ [5, helper("", "w", (env) => env.wide(env.host.monotonicNs()))],
  /* get_prandom_u32 */ [7, helper("", "u", (env) => env.host.random32() | 0)],
  /* get_smp_processor_id */ [8, helper("", "u", (env) => env.cpu)],
  /* get_numa_node_id */ [42, helper("", "u", () => 0)],
  /* jiffies64 */ [118, helper("", "w", (env) => env.wide(env.host.jiffies()))],
  /* ktime_get_boot_ns */ [125, helper("", "w", (env) => env.wide(env.host.bootNs()))],
  /* ktime_get_coarse_ns */ [160, helper("", "w", (env) => env.wide(env.host.monotonicNs()))],
  /* ktime_get_tai_ns */ [208, helper("", "w", (env) => env.wide(env.host.taiNs()))],
];
