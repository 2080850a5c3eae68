/**
 * Storage of sockets and cgroups, pointers kept in maps, sockets chosen from maps, and a hook's return value.
 * A socket is the address of its struct bpf_sock, which is also its handle in socket and storage maps.
 * Source: net/core/bpf_sk_storage.c, net/core/sock_map.c, kernel/bpf/cgroup.c 6.18.
 */
import { Errno } from "../../errors/index.ts";
import { layout } from "../../maps/index.ts";
import { MapType } from "../../object/index.ts";
import { type Env, type HelperImpl, helper } from "../env.ts";
import { CPU, REDIRECT } from "../layout.ts";
import { flags64 } from "./map.ts";
import { setRedirect } from "./xdp.ts";

const SK_DROP = 0;
const SK_PASS = 1;
const F_INGRESS = 1;
const F_CREATE = 1;

export const STORAGE_HELPERS: readonly (readonly [number, HelperImpl])[] = [
  /* sk_redirect_map(skb, map, key, flags) */ [52, helper("iiiw", "i", (env, _skb, ...a) => toSlot(env, a))],
  /* msg_redirect_map(msg, map, key, flags) */ [60, helper("iiiw", "i", (env, _msg, ...a) => toSlot(env, a))],
  /* msg_redirect_hash(msg, map, key, flags) */ [71, helper("iiiw", "i", (env, _msg, ...a) => toKey(env, a))],
  /* sk_redirect_hash(skb, map, key, flags) */ [72, helper("iiiw", "i", (env, _skb, ...a) => toKey(env, a))],
  /* get_local_storage(map, flags) */ [
    81,
    helper("iw", "u", (env, map) => {
      const value = env.runtime.exports.cgroup_storage_current(map);
      const size = env.memory.view.getUint32((map >>> 0) + layout.MAP_VALUE_SIZE, true);
      return env.grant(value, size, "cgroup storage", true);
    }),
  ],
  /* sk_select_reuseport(ctx, map, key, flags) */ [
    82,
    helper("iiiw", "i", (env, _ctx, map, key, flags, high) => {
      if (flags | high) return -Errno.EINVAL;
      const slot = socketSlot(env, map, key >>> 0);
      if (!slot) return -Errno.ENOENT;
      setRedirect(env, REDIRECT.SOCKET, env.memory.view.getInt32(slot, true), map, 0);
      return 0;
    }),
  ],
  /* sk_storage_get(map, sk, value, flags) */ [
    107,
    helper("iiiw", "u", (env, map, sk, value, flags, high) => {
      if (!sk || flags & ~F_CREATE || high) return 0;
      const at = env.runtime.exports.storage_get(map, sk, value, flags64(flags, high));
      const size = env.memory.view.getUint32((map >>> 0) + layout.MAP_VALUE_SIZE, true);
      return env.grant(at, size, "socket storage", true);
    }),
  ],
  /* sk_storage_delete(map, sk) */ [
    108,
    helper("ii", "i", (env, map, sk) => (sk ? env.runtime.exports.storage_delete(map, sk) : -Errno.EINVAL)),
  ],
  /* get_retval: what the hook would return so far */ [
    186,
    helper("", "i", (env) => env.memory.view.getInt32(env.cpuBlock + CPU.RETVAL, true)),
  ],
  /* set_retval(retval) */ [
    187,
    helper("i", "i", (env, value) => {
      env.memory.view.setInt32(env.cpuBlock + CPU.RETVAL, value, true);
      return 0;
    }),
  ],
  /* kptr_xchg(dst, ptr): stores a pointer, answers the one before */ [
    194,
    helper("ii", "u", (env, at, ptr) => {
      const { view } = env.memory;
      const old = view.getInt32(at >>> 0, true);
      view.setInt32(at >>> 0, ptr, true);
      view.setInt32((at >>> 0) + 4, 0, true);
      return old;
    }),
  ],
];

/** A socket by its index in a sockmap. */
function toSlot(env: Env, a: readonly number[]): number {
  const at = env.cpuBlock + CPU.REDIRECT_KEY;
  env.memory.view.setInt32(at, a[1]!, true);
  return toSocket(env, a[0]!, at, a[2]!, a[3]!);
}

/** A socket by its key in a sockhash. */
function toKey(env: Env, a: readonly number[]): number {
  return toSocket(env, a[0]!, a[1]! >>> 0, a[2]!, a[3]!);
}

function toSocket(env: Env, map: number, key: number, flags: number, high: number): number {
  if (flags & ~F_INGRESS || high) return SK_DROP;
  const slot = socketSlot(env, map, key);
  if (!slot) return SK_DROP;
  setRedirect(env, REDIRECT.SOCKET, env.memory.view.getInt32(slot, true), map, flags);
  return SK_PASS;
}

/** Where a map of sockets keeps one, or 0. */
function socketSlot(env: Env, map: number, key: number): number {
  const type = env.memory.view.getUint32((map >>> 0) + layout.MAP_TYPE, true);
  const { slot_lookup, hash_lookup } = env.runtime.exports;
  return (type === MapType.BPF_MAP_TYPE_SOCKHASH ? hash_lookup(map, key) : slot_lookup(map, key)) >>> 0;
}
