/** Spin locks in map values. Source: kernel/bpf/helpers.c 6.18 `bpf_spin_lock`: a word, 1 while held. */
import { type HelperImpl, helper } from "../env.ts";

export const LOCK_HELPERS: readonly (readonly [number, HelperImpl])[] = [
  /* spin_lock */ [
    93,
    helper("i", "v", (env, lock) => {
      // Without other threads nobody can hold it: the verifier forbids a second lock and calls in between.
      if (env.memory.shared) while (Atomics.exchange(env.memory.i32, lock >>> 2, 1) !== 0);
      else env.memory.u32[lock >>> 2] = 1;
      return 0;
    }),
  ],
  /* spin_unlock */ [
    94,
    helper("i", "v", (env, lock) => {
      if (env.memory.shared) Atomics.store(env.memory.i32, lock >>> 2, 0);
      else env.memory.u32[lock >>> 2] = 0;
      return 0;
    }),
  ],
];
