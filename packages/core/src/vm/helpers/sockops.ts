/**
 * Helpers of sock_ops programs: callback flags, options in a TCP header, sockets put into maps.
 * Source: net/core/filter.c 6.18 `bpf_sock_ops_*`, net/core/sock_map.c `bpf_sock_map_update`.
 */
import { Errno } from "../../errors/index.ts";
import { type Env, type HelperImpl, helper } from "../env.ts";
import { HOOK } from "../layout.ts";
import { flags64 } from "./map.ts";
import { get, put } from "./skb.ts";

/** struct bpf_sock_ops. */
export const SOCK_OPS = { OP: 0, FULLSOCK: 72, CB_FLAGS: 84, SK: 184, SKB_DATA: 192, SKB_DATA_END: 200 } as const;
const OP_HDR_OPT_LEN = 14;
const OP_WRITE_HDR_OPT = 15;
const ALL_CB_FLAGS = 0x7f;
const LOAD_TCP_SYN = 1;
const TCP_HEADER = 20;
const KIND_EOL = 0;
const KIND_NOP = 1;
/** The two kinds for experiments, told apart by a magic number after the length. */
const KIND_EXP = 254;
const KIND_EXP_OLD = 253;

export const SOCKOPS_HELPERS: readonly (readonly [number, HelperImpl])[] = [
  /* sock_map_update(ctx, map, key, flags) */ [53, helper("iiiw", "i", intoMap)],
  /* sock_ops_cb_flags_set(ctx, flags): answers the flags that are not known */ [
    59,
    helper("ii", "i", (env, ctx, flags) => {
      if (get(env, ctx, SOCK_OPS.OP) > OP_WRITE_HDR_OPT) return -Errno.EOPNOTSUPP;
      if (!get(env, ctx, SOCK_OPS.FULLSOCK)) return -Errno.EINVAL;
      put(env, ctx, SOCK_OPS.CB_FLAGS, flags & ALL_CB_FLAGS);
      return flags & ~ALL_CB_FLAGS;
    }),
  ],
  /* sock_hash_update(ctx, map, key, flags) */ [70, helper("iiiw", "i", intoMap)],
  /* load_hdr_opt(ctx, option, len, flags) */ [142, helper("iiiw", "i", loadOption)],
  /* store_hdr_opt(ctx, option, len, flags) */ [143, helper("iiiw", "i", storeOption)],
  /* reserve_hdr_opt(ctx, len, flags) */ [
    144,
    helper("iiw", "i", (env, ctx, length, flags, high) => {
      if (get(env, ctx, SOCK_OPS.OP) !== OP_HDR_OPT_LEN) return -Errno.EPERM;
      if (flags | high || length >>> 0 < 2) return -Errno.EINVAL;
      const room = get(env, ctx, HOOK.OPTION_ROOM);
      if (length >>> 0 > room) return -Errno.ENOSPC;
      put(env, ctx, HOOK.OPTION_ROOM, room - length);
      return 0;
    }),
  ],
];

/** The ctx's socket under a key; states other than established and listening are not for maps. */
function intoMap(env: Env, ctx: number, map: number, key: number, flags: number, high: number): number {
  const op = get(env, ctx, SOCK_OPS.OP);
  const PASSIVE_ESTABLISHED = 5;
  const ACTIVE_ESTABLISHED = 4;
  const TCP_LISTEN = 11;
  if (op !== PASSIVE_ESTABLISHED && op !== ACTIVE_ESTABLISHED && op !== TCP_LISTEN) return -Errno.EOPNOTSUPP;
  return env.runtime.exports.map_update(map, key, get(env, ctx, SOCK_OPS.SK), flags64(flags, high));
}

/** Address of an option in the header, or -errno; `end` where the list was ended. Source: `bpf_search_tcp_opt`. */
function findOption(
  env: Env,
  from: number,
  to: number,
  kind: number,
  magic: readonly number[],
): { at: number; ended: boolean } {
  const { u8 } = env.memory;
  for (let at = from; at < to; ) {
    const found = u8[at]!;
    if (found === KIND_EOL) return { at: -Errno.ENOMSG, ended: true };
    if (found === KIND_NOP) {
      at++;
      continue;
    }
    const length = u8[at + 1]!;
    if (to - at < 2 || to - at < length || length < 2) return { at: -Errno.EFAULT, ended: false };
    if (found === kind) {
      if (magic.length > length - 2) return { at: -Errno.ENOMSG, ended: false };
      if (magic.every((byte, i) => u8[at + 2 + i] === byte)) return { at, ended: false };
    }
    at += length;
  }
  return { at: -Errno.ENOMSG, ended: false };
}

function loadOption(env: Env, ctx: number, option: number, room: number, flags: number, high: number): number {
  const { u8 } = env.memory;
  const length = room >>> 0;
  const at = option >>> 0;
  if (get(env, ctx, SOCK_OPS.OP) > OP_WRITE_HDR_OPT) return -Errno.EOPNOTSUPP;
  if (length < 2 || flags & ~LOAD_TCP_SYN || high) return -Errno.EINVAL;
  const kind = u8[at]!;
  const wanted = u8[at + 1]!;
  if (wanted > length || kind === KIND_NOP || kind === KIND_EOL) return -Errno.EINVAL;
  const isExperiment = kind === KIND_EXP || kind === KIND_EXP_OLD;
  if (isExperiment ? wanted !== 4 && wanted !== 6 : wanted !== 0) return -Errno.EINVAL;
  const magic = isExperiment ? [...u8.subarray(at + 2, at + wanted)] : [];
  // The SYN that opened the connection is kept only where the application asked for it: here it never is.
  if (flags & LOAD_TCP_SYN) return -Errno.ENOENT;
  const data = get(env, ctx, SOCK_OPS.SKB_DATA);
  if (!data || get(env, ctx, SOCK_OPS.OP) === OP_HDR_OPT_LEN) return -Errno.EPERM;
  const found = findOption(env, data + TCP_HEADER, get(env, ctx, SOCK_OPS.SKB_DATA_END), kind, magic).at;
  if (found < 0) return found;
  const size = u8[found + 1]!;
  u8.copyWithin(at, found, found + Math.min(size, length));
  return size > length ? -Errno.ENOSPC : size;
}

function storeOption(env: Env, ctx: number, option: number, room: number, flags: number, high: number): number {
  const { u8 } = env.memory;
  const at = option >>> 0;
  if (get(env, ctx, SOCK_OPS.OP) !== OP_WRITE_HDR_OPT) return -Errno.EPERM;
  if (room >>> 0 < 2 || flags | high) return -Errno.EINVAL;
  const kind = u8[at]!;
  const size = u8[at + 1]!;
  if (size > room >>> 0 || kind === KIND_NOP || kind === KIND_EOL) return -Errno.EINVAL;
  const left = get(env, ctx, HOOK.OPTION_ROOM);
  if (size > left) return -Errno.ENOSPC;
  const isExperiment = kind === KIND_EXP || kind === KIND_EXP_OLD;
  if (isExperiment && size < 4) return -Errno.EINVAL;
  const end = get(env, ctx, SOCK_OPS.SKB_DATA_END);
  const magic = isExperiment ? [u8[at + 2]!, u8[at + 3]!] : [];
  const found = findOption(env, get(env, ctx, SOCK_OPS.SKB_DATA) + TCP_HEADER, end, kind, magic);
  if (found.at > 0) return -Errno.EEXIST;
  if (found.at !== -Errno.ENOMSG) return found.at;
  if (found.ended || end + size > get(env, ctx, HOOK.BUFFER_END)) return -Errno.ENOSPC;
  u8.copyWithin(end, at, at + size);
  put(env, ctx, HOOK.OPTION_ROOM, left - size);
  put(env, ctx, SOCK_OPS.SKB_DATA_END, end + size);
  put(env, ctx, HOOK.DATA_END, end + size);
  return 0;
}
