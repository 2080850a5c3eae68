/**
 * Helpers of programs on a function's arguments, and what asks for a task or memory that userspace does not have.
 * The ctx is an array of 64-bit arguments, a return value after the last (ctx/hook.ts `HOOK.ARGUMENTS`).
 * Source: kernel/trace/bpf_trace.c 6.18.
 */
import { Errno } from "../../errors/index.ts";
import { type Env, type HelperImpl, helper } from "../env.ts";
import { HOOK, SKB } from "../layout.ts";
import { type EventPacket, perfEventOutput } from "./net.ts";
import { get, skbLoadBytes } from "./skb.ts";
import { bufferLength, copyXdpBytes } from "./xdp.ts";

export const TRACING_HELPERS: readonly (readonly [number, HelperImpl])[] = [
  /* skb_get_xfrm_state(skb, index, state, size, flags): no packet came through IPsec */ [
    66,
    helper("iiiiw", "i", (env, _skb, _index, to, size) => {
      env.memory.u8.fill(0, to >>> 0, (to >>> 0) + (size >>> 0));
      return -Errno.EINVAL;
    }),
  ],
  /* skb_output(skb, map, flags, data, size) */ [111, perfEventOutput(() => SKB_EVENTS)],
  /* get_ns_current_pid_tgid(dev, inode, info, size): the idle task is in no such namespace */ [
    120,
    helper("wwii", "i", (env, _dev, _devHi, _ino, _inoHi, info, size) => {
      env.memory.u8.fill(0, info >>> 0, (info >>> 0) + (size >>> 0));
      return -Errno.EINVAL;
    }),
  ],
  /* xdp_output(xdp, map, flags, data, size) */ [121, perfEventOutput(() => XDP_EVENTS)],
  /* copy_from_user(dst, size, address): there is no user memory */ [
    148,
    helper("iiw", "i", (env, dst, size) => {
      env.memory.u8.fill(0, dst >>> 0, (dst >>> 0) + (size >>> 0));
      return -Errno.EFAULT;
    }),
  ],
  /* get_func_ip(ctx) */ [173, helper("i", "w", (env, ctx) => env.wide(wordAt(env, ctx, HOOK.FUNCTION)))],
  /* get_attach_cookie(ctx) */ [174, helper("i", "w", (env, ctx) => env.wide(wordAt(env, ctx, HOOK.COOKIE)))],
  /* get_func_arg(ctx, n, value) */ [
    183,
    helper("iii", "i", (env, ctx, n, value) => {
      if (n >>> 0 >= get(env, ctx, HOOK.ARGUMENTS)) return -Errno.EINVAL;
      env.memory.view.setBigUint64(value >>> 0, wordAt(env, ctx, (n >>> 0) * 8), true);
      return 0;
    }),
  ],
  /* get_func_ret(ctx, value) */ [
    184,
    helper("ii", "i", (env, ctx, value) => {
      env.memory.view.setBigUint64(value >>> 0, wordAt(env, ctx, get(env, ctx, HOOK.ARGUMENTS) * 8), true);
      return 0;
    }),
  ],
  /* get_func_arg_cnt(ctx) */ [185, helper("i", "w", (env, ctx) => env.wide(BigInt(get(env, ctx, HOOK.ARGUMENTS))))],
];

function wordAt(env: Env, ctx: number, at: number): bigint {
  return env.memory.view.getBigUint64((ctx >>> 0) + at, true);
}

/** The packets whose bytes an event may carry: how long one is, and its first bytes out of the memory. */
export const SKB_EVENTS: EventPacket = {
  length: (env, skb) => get(env, skb, SKB.LEN),
  bytes: (env, skb, length) => packetBytes(env, length, (to) => skbLoadBytes(env, skb, 0, to, length)),
};
export const XDP_EVENTS: EventPacket = {
  length: (env, ctx) => bufferLength(env, ctx),
  bytes: (env, ctx, length) => packetBytes(env, length, (to) => copyXdpBytes(env, ctx, 0, to, length, false)),
};

function packetBytes(env: Env, length: number, copyTo: (address: number) => number): Uint8Array | undefined {
  const at = env.memory.tryAlloc(length);
  if (!at) return undefined;
  const bytes = copyTo(at) === 0 ? env.memory.u8.slice(at, at + length) : undefined;
  env.memory.free(at);
  return bytes;
}
