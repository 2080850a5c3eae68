/**
 * Timers in map values, by the clock of the machine: `machine.runTimers` fires what is due.
 * Source: kernel/bpf/helpers.c 6.18 `bpf_timer_*`.
 */
import { Errno } from "../../errors/index.ts";
import { type HelperFactory, type HelperImpl, helper } from "../env.ts";

const ABSOLUTE = 1;
const CPU_PIN = 2;
/** CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME. */
const CLOCKS = [0, 1, 7];

export const TIMER_HELPERS: readonly (readonly [number, HelperImpl | HelperFactory])[] = [
  /* timer_init(timer, map, flags) */ [
    169,
    helper("iiw", "i", (env, timer, map, flags, high) => {
      if (high || !CLOCKS.includes(flags)) return -Errno.EINVAL;
      if (env.timers.has(timer >>> 0)) return -Errno.EBUSY;
      env.timers.set(timer >>> 0, { map: map >>> 0, due: undefined, call: undefined, running: false });
      return 0;
    }),
  ],
  /* timer_set_callback(timer, fn) */ [
    170,
    (self) =>
      helper("ii", "i", (env, at, fn) => {
        const timer = env.timers.get(at >>> 0);
        if (!timer) return -Errno.EINVAL;
        timer.call = (args) => void self.runner?.call(fn, args);
        return 0;
      }),
  ],
  /* timer_start(timer, nsecs, flags) */ [
    171,
    helper("iww", "i", (env, at, low, high, flags, flagsHi) => {
      if (flags & ~(ABSOLUTE | CPU_PIN) || flagsHi) return -Errno.EINVAL;
      const timer = env.timers.get(at >>> 0);
      if (!timer?.call) return -Errno.EINVAL;
      const ns = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
      timer.due = flags & ABSOLUTE ? ns : env.host.monotonicNs() + ns;
      return 0;
    }),
  ],
  /* timer_cancel(timer): 1 when it was armed */ [
    172,
    helper("i", "i", (env, at) => {
      const timer = env.timers.get(at >>> 0);
      if (!timer) return -Errno.EINVAL;
      if (timer.running) return -Errno.EDEADLK;
      const wasArmed = timer.due !== undefined;
      timer.due = undefined;
      timer.call = undefined;
      return wasArmed ? 1 : 0;
    }),
  ],
];
