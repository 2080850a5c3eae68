/**
 * Cgroups by their ids, and the sysctl hook. Which cgroup is whose ancestor is the host's to say; without a host's
 * word there is the root (id 1) alone.
 * Source: net/core/filter.c, kernel/bpf/cgroup.c, kernel/bpf/helpers.c 6.18.
 */
import { Errno } from "../../errors/index.ts";
import { layout } from "../../maps/index.ts";
import { type Env, type HelperImpl, helper } from "../env.ts";
import { HOOK, SKB, SOCKET_CTX } from "../layout.ts";
import { get, put } from "./skb.ts";
import { isFull } from "./socket.ts";

const ROOT = 1n;

export const CGROUP_HELPERS: readonly (readonly [number, HelperImpl])[] = [
  /* skb_under_cgroup(skb, map, index) */ [
    33,
    helper("iii", "i", (env, skb, map, index) => {
      const socket = get(env, skb, SKB.SK);
      if (!socket || !isFull(env, socket)) return -Errno.ENOENT;
      return isUnder(env, cgroupOf(env, socket), map, index);
    }),
  ],
  /* current_task_under_cgroup(map, index) */ [
    37,
    helper("ii", "i", (env, map, index) => isUnder(env, current(env), map, index)),
  ],
  /* skb_cgroup_id(skb) */ [79, helper("i", "w", (env, skb) => env.wide(ofSocket(env, get(env, skb, SKB.SK))))],
  /* get_current_cgroup_id */ [80, helper("", "w", (env) => env.wide(current(env)))],
  /* skb_ancestor_cgroup_id(skb, level) */ [
    83,
    helper("ii", "w", (env, skb, level) => env.wide(ancestor(env, ofSocket(env, get(env, skb, SKB.SK)), level))),
  ],
  /* sysctl_get_name(ctx, buf, len, flags) */ [101, helper("iiiw", "i", sysctlName)],
  /* sysctl_get_current_value(ctx, buf, len) */ [
    102,
    helper("iii", "i", (env, ctx, buf, len) => copyValue(env, ctx, HOOK.SYSCTL_CURRENT, buf, len)),
  ],
  /* sysctl_get_new_value(ctx, buf, len) */ [
    103,
    helper("iii", "i", (env, ctx, buf, len) => {
      if (get(env, ctx, 0)) return copyValue(env, ctx, HOOK.SYSCTL_NEW, buf, len);
      env.memory.u8.fill(0, buf >>> 0, (buf >>> 0) + (len >>> 0));
      return -Errno.EINVAL;
    }),
  ],
  /* sysctl_set_new_value(ctx, buf, len) */ [104, helper("iii", "i", setValue)],
  /* get_current_ancestor_cgroup_id(level) */ [
    123,
    helper("i", "w", (env, level) => env.wide(ancestor(env, current(env), level))),
  ],
  /* sk_cgroup_id(sock) */ [128, helper("i", "w", (env, socket) => env.wide(ofSocket(env, socket)))],
  /* sk_ancestor_cgroup_id(sock, level) */ [
    129,
    helper("ii", "w", (env, socket, level) => env.wide(ancestor(env, ofSocket(env, socket), level))),
  ],
];

function current(env: Env): bigint {
  return env.host.currentCgroup?.() ?? ROOT;
}

function cgroupOf(env: Env, socket: number): bigint {
  return env.memory.view.getBigUint64((socket >>> 0) + SOCKET_CTX.CGROUP, true);
}

function ofSocket(env: Env, socket: number): bigint {
  return socket && isFull(env, socket) ? cgroupOf(env, socket) : 0n;
}

/** The ancestor at a level, 0 the root; 0n where there is none. */
function ancestor(env: Env, cgroup: bigint, level: number): bigint {
  if (!cgroup || level < 0) return 0n;
  const answer = env.host.cgroupAncestor?.(cgroup, level);
  return answer ?? (level === 0 ? ROOT : 0n);
}

/** Whether a cgroup is, or is below, the one in a slot of a cgroup array. */
function isUnder(env: Env, cgroup: bigint, map: number, index: number): number {
  const { view } = env.memory;
  const at = map >>> 0;
  if (index >>> 0 >= view.getUint32(at + layout.MAP_MAX_ENTRIES, true)) return -Errno.E2BIG;
  const slot =
    view.getUint32(at + layout.MAP_VALUES, true) + (index >>> 0) * view.getUint32(at + layout.MAP_STRIDE, true);
  const wanted = BigInt(view.getUint32(slot, true));
  if (!wanted) return -Errno.EAGAIN;
  if (cgroup === wanted) return 1;
  for (let level = 0; ; level++) {
    const above = ancestor(env, cgroup, level);
    if (above === wanted) return 1;
    if (!above || above === cgroup) return 0;
  }
}

const BASE_NAME = 1;

/** As strscpy: what does not fit is cut, and answers E2BIG. */
function sysctlName(env: Env, ctx: number, buf: number, len: number, flags: number, high: number): number {
  const { u8 } = env.memory;
  const from = get(env, ctx, HOOK.SYSCTL_NAME);
  const size = get(env, ctx, HOOK.SYSCTL_NAME + 4);
  const room = len >>> 0;
  const at = buf >>> 0;
  if (high || !from) return -Errno.EINVAL;
  let name = u8.slice(from, from + size);
  if (flags & BASE_NAME) name = name.subarray(name.lastIndexOf(0x2f) + 1);
  if (room === 0) return -Errno.E2BIG;
  const fits = name.length < room;
  u8.set(fits ? name : name.subarray(0, room - 1), at);
  u8[at + Math.min(name.length, room - 1)] = 0;
  return fits ? name.length : -Errno.E2BIG;
}

/** Source: `copy_sysctl_value`. */
function copyValue(env: Env, ctx: number, field: number, buf: number, len: number): number {
  const { u8 } = env.memory;
  const from = get(env, ctx, field);
  const size = get(env, ctx, field + 4);
  const room = len >>> 0;
  const at = buf >>> 0;
  if (room === 0) return -Errno.E2BIG;
  if (!from || !size) {
    u8.fill(0, at, at + room);
    return -Errno.EINVAL;
  }
  u8.copyWithin(at, from, from + Math.min(room, size));
  if (room > size) {
    u8.fill(0, at + size, at + room);
    return size;
  }
  u8[at + room - 1] = 0;
  return -Errno.E2BIG;
}

const PAGE = 4096;

function setValue(env: Env, ctx: number, buf: number, len: number): number {
  const at = get(env, ctx, HOOK.SYSCTL_NEW);
  const size = len >>> 0;
  if (!get(env, ctx, 0) || !at || !get(env, ctx, HOOK.SYSCTL_NEW + 4) || !size) return -Errno.EINVAL;
  if (size > PAGE - 1 || at + size > get(env, ctx, HOOK.BUFFER_END)) return -Errno.E2BIG;
  env.memory.u8.copyWithin(at, buf >>> 0, (buf >>> 0) + size);
  put(env, ctx, HOOK.SYSCTL_NEW + 4, size);
  put(env, ctx, HOOK.SYSCTL_UPDATED, 1);
  return 0;
}
