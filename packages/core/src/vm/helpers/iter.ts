/** Kernel functions without state outside of the program: iterators, exceptions, read-side locks. */
import { Errno } from "../../errors/index.ts";
import { type HelperFactory, type HelperImpl, helper, type Self } from "../env.ts";
import { flags64 } from "./map.ts";

/** What bpf_throw throws through an engine; the machine turns it into the program's result. */
export class ProgramException extends Error {
  readonly cookie: bigint;
  /** Whose callback it is for: after a tail call another program than the one that began. */
  readonly thrower: Self;
  constructor(cookie: bigint, thrower: Self) {
    super(`bpf_throw(${cookie})`);
    this.cookie = cookie;
    this.thrower = thrower;
  }
}

const MAX_NUMBERS = 8 * 1024 * 1024;
const nothing = helper("", "v", () => 0);

/** Source: kernel/bpf/bpf_iter.c `bpf_iter_num_*`: {cur, end}, cur one before the next number. */
export const ITER_KFUNCS: readonly (readonly [string, HelperImpl | HelperFactory])[] = [
  [
    "bpf_iter_num_new",
    helper("iii", "i", (env, it, start, end) => {
      const { view } = env.memory;
      const error = start > end ? -Errno.EINVAL : end - start > MAX_NUMBERS ? -Errno.E2BIG : 0;
      view.setInt32(it >>> 0, error ? 0 : start - 1, true);
      view.setInt32((it >>> 0) + 4, error ? 0 : end, true);
      return error;
    }),
  ],
  [
    "bpf_iter_num_next",
    helper("i", "u", (env, it) => {
      const { view } = env.memory;
      const next = view.getInt32(it >>> 0, true) + 1;
      if (next >= view.getInt32((it >>> 0) + 4, true)) {
        view.setInt32(it >>> 0, 0, true);
        view.setInt32((it >>> 0) + 4, 0, true);
        return 0;
      }
      view.setInt32(it >>> 0, next, true);
      return it;
    }),
  ],
  [
    "bpf_iter_num_destroy",
    helper("i", "v", (env, it) => {
      env.memory.u8.fill(0, it >>> 0, (it >>> 0) + 8);
      return 0;
    }),
  ],
  [
    "bpf_throw",
    (self) =>
      helper("w", "v", (_env, low, high) => {
        throw new ProgramException(flags64(low, high), self);
      }),
  ],
  ["bpf_rcu_read_lock", nothing],
  ["bpf_rcu_read_unlock", nothing],
  ["bpf_preempt_disable", nothing],
  ["bpf_preempt_enable", nothing],
];
