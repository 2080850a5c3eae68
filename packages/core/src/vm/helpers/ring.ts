/**
 * Ring buffers, queues and event arrays as programs use them; the data structures are the map runtime's.
 * Source: kernel/bpf/ringbuf.c, kernel/bpf/helpers.c 6.18.
 */
import { Errno } from "../../errors/index.ts";
import { type Env, type HelperImpl, helper, type LoopHelper, RINGBUF_RECORD } from "../env.ts";
import type { CallbackLoop } from "../interp.ts";
import { CPU } from "../layout.ts";
import { clearDynptr, DYNPTR, dynptrAt, MAX_DYNPTR, setDynptr } from "./dynptr.ts";
import { flags64 } from "./map.ts";

export const RING_HELPERS: readonly (readonly [number, HelperImpl])[] = [
  /* map_push_elem(map, value, flags) */ [
    87,
    helper("iiw", "i", (env, map, value, flags, high) =>
      env.runtime.exports.map_push(map, value, flags64(flags, high)),
    ),
  ],
  /* map_pop_elem(map, value) */ [88, helper("ii", "i", (env, map, value) => env.runtime.exports.map_pop(map, value))],
  /* map_peek_elem(map, value) */ [
    89,
    helper("ii", "i", (env, map, value) => env.runtime.exports.map_peek(map, value)),
  ],
  /* ringbuf_output(map, data, size, flags) */ [
    130,
    helper("iiww", "i", (env, map, data, size, sizeHi, flags, flagsHi) =>
      env.runtime.exports.ringbuf_output(map, data, flags64(size, sizeHi), flags64(flags, flagsHi)),
    ),
  ],
  /* ringbuf_reserve(map, size, flags) */ [
    131,
    helper("iww", "u", (env, map, size, sizeHi, flags, flagsHi) => {
      const sample = env.runtime.exports.ringbuf_reserve(map, flags64(size, sizeHi), flags64(flags, flagsHi));
      return env.grant(sample, size >>> 0, RINGBUF_RECORD, true);
    }),
  ],
  /* ringbuf_submit(sample, flags) */ [132, helper("iw", "v", (env, sample, ...f) => finish(env, sample, true, f))],
  /* ringbuf_discard(sample, flags) */ [133, helper("iw", "v", (env, sample, ...f) => finish(env, sample, false, f))],
  /* ringbuf_query(map, what) */ [
    134,
    helper("iw", "w", (env, map, what, high) => env.wide(env.runtime.exports.ringbuf_query(map, flags64(what, high)))),
  ],
  /* ringbuf_reserve_dynptr(map, size, flags, ptr) */ [
    198,
    helper("iiwi", "i", (env, map, size, flags, flagsHi, ptr) => {
      let error = flags | flagsHi ? -Errno.EINVAL : size >>> 0 > MAX_DYNPTR ? -Errno.E2BIG : 0;
      const sample = error ? 0 : env.runtime.exports.ringbuf_reserve(map, BigInt(size >>> 0), 0n);
      if (!sample) {
        clearDynptr(env, ptr);
        error ||= -Errno.EINVAL;
        return error;
      }
      setDynptr(env, ptr, DYNPTR.RINGBUF, sample, size, false);
      return 0;
    }),
  ],
  /* ringbuf_submit_dynptr(ptr, flags) */ [199, helper("iw", "v", (env, ptr, ...f) => finishDynptr(env, ptr, true, f))],
  /* ringbuf_discard_dynptr(ptr, flags) */ [
    200,
    helper("iw", "v", (env, ptr, ...f) => finishDynptr(env, ptr, false, f)),
  ],
];

function finish(env: Env, sample: number, submit: boolean, flags: readonly number[]): number {
  const f = flags64(flags[0]!, flags[1]!);
  if (submit) env.runtime.exports.ringbuf_submit(sample, f);
  else env.runtime.exports.ringbuf_discard(sample, f);
  env.revoke(sample);
  return 0;
}

function finishDynptr(env: Env, ptr: number, submit: boolean, flags: readonly number[]): number {
  const d = dynptrAt(env, ptr);
  if (!d) return 0;
  clearDynptr(env, ptr);
  return finish(env, d.data, submit, flags);
}

/** Records that one drain may take. Source: BPF_MAX_USER_RINGBUF_SAMPLES. */
const MAX_SAMPLES = 128 * 1024;
const WAKEUP_FLAGS = 3;

export const RING_LOOPS: readonly (readonly [number, LoopHelper])[] = [
  /* user_ringbuf_drain(map, fn, ctx, flags) */ [209, { args: "iiiw", start: drain }],
];

/** The callback gets a read-only dynptr over each record. `data`: map, ctx, length of the record at hand. */
function drain(env: Env, map: number, fn: number, ctx: number, flags: number, high: number): CallbackLoop | number {
  if (flags & ~WAKEUP_FLAGS || high) return -Errno.EINVAL;
  const ptr = env.cpuBlock + CPU.DRAIN_DYNPTR;
  const loop: CallbackLoop = {
    fn,
    args: Int32Array.of(ptr, ctx, 0, 0, 0),
    i: 0,
    n: 0,
    data: [0],
    result: 0,
    next(r0) {
      env.runtime.exports.user_ringbuf_release(map, this.data[0]!);
      this.result = ++this.i;
      return r0 === 0 && advance(env, map, this);
    },
  };
  return advance(env, map, loop) ? loop : loop.result;
}

function advance(env: Env, map: number, loop: CallbackLoop): boolean {
  const ptr = env.cpuBlock + CPU.DRAIN_DYNPTR;
  while (loop.i < MAX_SAMPLES) {
    const length = env.runtime.exports.user_ringbuf_peek(map, ptr);
    if (length === -Errno.EAGAIN) continue;
    if (length < 0) {
      if (length !== -Errno.ENODATA) loop.result = length;
      return false;
    }
    loop.data[0] = length;
    const record = env.memory.view.getUint32(ptr, true);
    setDynptr(env, ptr, DYNPTR.LOCAL, record, length, true);
    return true;
  }
  return false;
}
