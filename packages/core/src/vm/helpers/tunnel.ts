/**
 * Tunnel metadata beside an skb: what a collect-metadata tunnel device would put on, or has taken off. It lies behind
 * the ctx (SKB.TUNNEL); setting replaces what was received, as in the kernel.
 * Source: net/core/filter.c 6.18 `bpf_skb_get_tunnel_key` and neighbours; struct bpf_tunnel_key.
 */
import { Errno } from "../../errors/index.ts";
import { type Env, type HelperImpl, helper } from "../env.ts";
import { SKB, TUNNEL } from "../layout.ts";

// struct bpf_tunnel_key
const REMOTE = 4;
const TOS = 20;
const TTL = 21;
const EXT = 22;
const LABEL = 24;
const LOCAL = 28;
const KEY_SIZE = 44;
/** Sizes of older kernels' struct: up to remote_ipv6[1], tunnel_ext, tunnel_label, local_ipv6. */
const OLD_IPV4 = 8;
const OLD_SIZES = [22, 24, 28];

const F_IPV6 = 1;
const F_FLAGS = 1 << 4;
const SET_FLAGS = F_IPV6 | 2 | 4 | 8 | 32;
const MAX_OPTIONS = 255;
const AF_INET = 2;
const AF_INET6 = 10;

export const TUNNEL_HELPERS: readonly (readonly [number, HelperImpl])[] = [
  /* skb_get_tunnel_key(skb, to, size, flags) */ [20, helper("iiiw", "i", getKey)],
  /* skb_set_tunnel_key(skb, from, size, flags) */ [21, helper("iiiw", "i", setKey)],
  /* skb_get_tunnel_opt(skb, to, size) */ [29, helper("iii", "i", getOptions)],
  /* skb_set_tunnel_opt(skb, from, size) */ [30, helper("iii", "i", setOptions)],
];

function getKey(env: Env, skb: number, to: number, size: number, flags: number, high: number): number {
  const { view, u8 } = env.memory;
  const out = to >>> 0;
  const info = (skb >>> 0) + SKB.TUNNEL;
  const family = view.getUint32(info + TUNNEL.FAMILY, true);
  let error = 0;
  if (!family || flags & ~(F_IPV6 | F_FLAGS) || high) error = -Errno.EINVAL;
  else if (family !== (flags & F_IPV6 ? AF_INET6 : AF_INET)) error = -Errno.EPROTO;
  else if (size === OLD_IPV4 ? family !== AF_INET : size !== KEY_SIZE && !OLD_SIZES.includes(size))
    error = -Errno.EINVAL;
  u8.fill(0, out, out + (size >>> 0));
  if (error) return error;
  // Old structs are a prefix of the present one.
  const key = new DataView(new ArrayBuffer(KEY_SIZE));
  key.setUint32(0, view.getUint32(info + TUNNEL.ID, true), true);
  key.setUint8(TOS, view.getUint8(info + TUNNEL.TOS));
  key.setUint8(TTL, view.getUint8(info + TUNNEL.TTL));
  if (flags & F_FLAGS) key.setUint16(EXT, view.getUint16(info + TUNNEL.FLAGS, true), true);
  // What came from src is remote, and the address it was sent to local.
  if (family === AF_INET6) {
    new Uint8Array(key.buffer, REMOTE, 16).set(u8.subarray(info + TUNNEL.SRC, info + TUNNEL.SRC + 16));
    new Uint8Array(key.buffer, LOCAL, 16).set(u8.subarray(info + TUNNEL.DST, info + TUNNEL.DST + 16));
    key.setUint32(LABEL, view.getUint32(info + TUNNEL.LABEL, true), true);
  } else {
    key.setUint32(REMOTE, view.getUint32(info + TUNNEL.SRC, false), true);
    key.setUint32(LOCAL, view.getUint32(info + TUNNEL.DST, false), true);
  }
  u8.set(new Uint8Array(key.buffer, 0, size), out);
  return 0;
}

function setKey(env: Env, skb: number, from: number, size: number, flags: number, high: number): number {
  const { view, u8 } = env.memory;
  if (flags & ~SET_FLAGS || high) return -Errno.EINVAL;
  const ipv6 = (flags & F_IPV6) !== 0;
  if (size !== KEY_SIZE && !OLD_SIZES.includes(size) && (size !== OLD_IPV4 || ipv6)) return -Errno.EINVAL;
  const bytes = new Uint8Array(KEY_SIZE);
  bytes.set(u8.subarray(from >>> 0, (from >>> 0) + size));
  const key = new DataView(bytes.buffer);
  if ((!ipv6 && key.getUint32(LABEL, true)) || key.getUint16(EXT, true)) return -Errno.EINVAL;
  const info = (skb >>> 0) + SKB.TUNNEL;
  u8.fill(0, info, info + TUNNEL.SIZE);
  view.setUint32(info + TUNNEL.FAMILY, ipv6 ? AF_INET6 : AF_INET, true);
  view.setUint32(info + TUNNEL.SET_BY_PROGRAM, 1, true);
  view.setUint32(info + TUNNEL.ID, key.getUint32(0, true), true);
  view.setUint8(info + TUNNEL.TOS, bytes[TOS]!);
  view.setUint8(info + TUNNEL.TTL, bytes[TTL]!);
  if (ipv6) {
    u8.set(bytes.subarray(REMOTE, REMOTE + 16), info + TUNNEL.DST);
    u8.set(bytes.subarray(LOCAL, LOCAL + 16), info + TUNNEL.SRC);
    view.setUint32(info + TUNNEL.LABEL, key.getUint32(LABEL, true) & 0xfffff, true);
  } else {
    view.setUint32(info + TUNNEL.DST, key.getUint32(REMOTE, true), false);
    view.setUint32(info + TUNNEL.SRC, key.getUint32(LOCAL, true), false);
  }
  return 0;
}

function getOptions(env: Env, skb: number, to: number, size: number): number {
  const { view, u8 } = env.memory;
  const out = to >>> 0;
  const n = size >>> 0;
  const info = (skb >>> 0) + SKB.TUNNEL;
  const length = view.getUint32(info + TUNNEL.OPTIONS_LENGTH, true);
  const error = !length ? -Errno.ENOENT : length > n ? -Errno.ENOMEM : 0;
  u8.fill(0, out, out + n);
  if (error) return error;
  u8.copyWithin(out, info + TUNNEL.OPTIONS, info + TUNNEL.OPTIONS + length);
  return length;
}

function setOptions(env: Env, skb: number, from: number, size: number): number {
  const { view, u8 } = env.memory;
  const info = (skb >>> 0) + SKB.TUNNEL;
  if (!view.getUint32(info + TUNNEL.SET_BY_PROGRAM, true) || size & 3) return -Errno.EINVAL;
  if (size >>> 0 > MAX_OPTIONS) return -Errno.ENOMEM;
  view.setUint32(info + TUNNEL.OPTIONS_LENGTH, size, true);
  u8.copyWithin(info + TUNNEL.OPTIONS, from >>> 0, (from >>> 0) + size);
  return 0;
}
