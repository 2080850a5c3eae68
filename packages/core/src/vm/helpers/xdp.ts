/**
 * Helpers of XDP programs: moving the edges of the packet, its length, bytes across fragments, redirection.
 * Source: net/core/filter.c 6.18 `bpf_xdp_adjust_head` and neighbours; include/net/xdp.h.
 */
import { Errno } from "../../errors/index.ts";
import { layout } from "../../maps/index.ts";
import { MapType } from "../../object/index.ts";
import { type Env, type HelperImpl, helper } from "../env.ts";
import { CPU, FRAG, REDIRECT, XDP, XDP_FRAME_STRUCT } from "../layout.ts";

const ETH_HLEN = 14;
const XDP_ABORTED = 0;
const XDP_REDIRECT = 4;

export const XDP_HELPERS: readonly (readonly [number, HelperImpl])[] = [
  /* xdp_adjust_head */ [44, helper("ii", "i", adjustHead)],
  /* xdp_adjust_meta */ [54, helper("ii", "i", adjustMeta)],
  /* xdp_adjust_tail */ [65, helper("ii", "i", adjustTail)],
  /* xdp_get_buff_len */ [188, helper("i", "u", (env, ctx) => bufferLength(env, ctx))],
  /* xdp_load_bytes */ [
    189,
    helper("iiii", "i", (env, ctx, at, buf, len) => copyXdpBytes(env, ctx, at, buf, len, false)),
  ],
  /* xdp_store_bytes */ [
    190,
    helper("iiii", "i", (env, ctx, at, buf, len) => copyXdpBytes(env, ctx, at, buf, len, true)),
  ],
];

/** Helpers that XDP programs have in another form than others. */
export const XDP_OWN: readonly (readonly [number, HelperImpl])[] = [
  /* redirect(ifindex, flags) */ [
    23,
    helper("iw", "i", (env, ifindex, flags, flagsHi) => {
      if (flags | flagsHi) return XDP_ABORTED;
      setRedirect(env, REDIRECT.IFINDEX, ifindex, 0, 0);
      return XDP_REDIRECT;
    }),
  ],
  /* redirect_map(map, key, flags) */ [51, helper("iww", "i", redirectMap)],
];

const F_BROADCAST = 8;
const F_EXCLUDE_INGRESS = 16;
const ACTION_MASK = 3;

/** Source: include/linux/filter.h `__bpf_xdp_redirect_map`. The low flags are the answer for an empty slot. */
function redirectMap(env: Env, map: number, key: number, _keyHi: number, flags: number, flagsHi: number): number {
  const { view } = env.memory;
  const type = view.getUint32((map >>> 0) + layout.MAP_TYPE, true);
  const isDevmap = type === MapType.BPF_MAP_TYPE_DEVMAP || type === MapType.BPF_MAP_TYPE_DEVMAP_HASH;
  const known = ACTION_MASK | (isDevmap ? F_BROADCAST | F_EXCLUDE_INGRESS : 0);
  if (flags & ~known || flagsHi) return XDP_ABORTED;
  const at = env.cpuBlock + CPU.REDIRECT_KEY;
  view.setInt32(at, key, true);
  if (flags & F_BROADCAST) {
    setRedirect(env, REDIRECT.MAP_BROADCAST, key, map, flags);
    return XDP_REDIRECT;
  }
  if (!env.runtime.exports.map_lookup(map, at)) {
    setRedirect(env, REDIRECT.NONE, 0, 0, 0);
    return flags & ACTION_MASK;
  }
  setRedirect(env, REDIRECT.MAP, key, map, flags);
  return XDP_REDIRECT;
}

/** Leaves the target where the reader of a redirect verdict looks for it. */
export function setRedirect(env: Env, kind: number, target: number, map: number, flags: number): void {
  const { view } = env.memory;
  view.setInt32(env.cpuBlock + CPU.REDIRECT_KIND, kind, true);
  view.setInt32(env.cpuBlock + CPU.REDIRECT_TARGET, target, true);
  view.setInt32(env.cpuBlock + CPU.REDIRECT_MAP, map, true);
  view.setInt32(env.cpuBlock + CPU.REDIRECT_FLAGS, flags, true);
}

function adjustHead(env: Env, ctx: number, offset: number): number {
  const { view, u8 } = env.memory;
  const data = view.getUint32(ctx + XDP.DATA, true);
  const meta = view.getUint32(ctx + XDP.DATA_META, true);
  const end = view.getUint32(ctx + XDP.DATA_END, true);
  const metaLength = data - meta;
  const lowest = view.getUint32(ctx + XDP.HARD_START, true) + XDP_FRAME_STRUCT + metaLength;
  const moved = data + offset;
  if (moved < lowest || moved > end - ETH_HLEN) return -Errno.EINVAL;
  if (metaLength) u8.copyWithin(meta + offset, meta, data);
  view.setUint32(ctx + XDP.DATA_META, meta + offset, true);
  view.setUint32(ctx + XDP.DATA, moved, true);
  return 0;
}

function adjustMeta(env: Env, ctx: number, offset: number): number {
  const { view } = env.memory;
  const data = view.getUint32(ctx + XDP.DATA, true);
  const meta = view.getUint32(ctx + XDP.DATA_META, true) + offset;
  if (meta < view.getUint32(ctx + XDP.HARD_START, true) + XDP_FRAME_STRUCT || meta > data) return -Errno.EINVAL;
  if ((data - meta) % 4 || data - meta > 255) return -Errno.EACCES;
  view.setUint32(ctx + XDP.DATA_META, meta, true);
  return 0;
}

function adjustTail(env: Env, ctx: number, offset: number): number {
  const { view, u8 } = env.memory;
  if (view.getUint32(ctx + XDP.FRAGS, true)) return adjustFragTail(env, ctx, offset);
  const data = view.getUint32(ctx + XDP.DATA, true);
  const end = view.getUint32(ctx + XDP.DATA_END, true);
  const hardEnd = view.getUint32(ctx + XDP.HARD_START, true) + view.getUint32(ctx + XDP.FRAME_SIZE, true);
  const moved = end + offset;
  if (moved > hardEnd || moved < data + ETH_HLEN) return -Errno.EINVAL;
  if (offset > 0) u8.fill(0, end, moved);
  view.setUint32(ctx + XDP.DATA_END, moved, true);
  return 0;
}

/** Source: net/core/filter.c `bpf_xdp_frags_increase_tail`, `bpf_xdp_frags_shrink_tail`. */
function adjustFragTail(env: Env, ctx: number, offset: number): number {
  const { view, u8 } = env.memory;
  const list = view.getUint32(ctx + XDP.FRAG_LIST, true);
  let count = view.getUint32(ctx + XDP.FRAGS, true);
  if (offset >= 0) {
    const frag = list + (count - 1) * FRAG.SIZE;
    const address = view.getUint32(frag + FRAG.ADDRESS, true);
    const length = view.getUint32(frag + FRAG.LENGTH, true);
    if (length + offset > view.getUint32(frag + FRAG.ROOM, true)) return -Errno.EINVAL;
    u8.fill(0, address + length, address + length + offset);
    view.setUint32(frag + FRAG.LENGTH, length + offset, true);
    return 0;
  }
  let left = -offset;
  if (left > bufferLength(env, ctx) - ETH_HLEN) return -Errno.EINVAL;
  while (count > 0 && left > 0) {
    const frag = list + (count - 1) * FRAG.SIZE;
    const length = view.getUint32(frag + FRAG.LENGTH, true);
    const cut = Math.min(length, left);
    left -= cut;
    view.setUint32(frag + FRAG.LENGTH, length - cut, true);
    if (cut === length) count--;
  }
  view.setUint32(ctx + XDP.FRAGS, count, true);
  if (left) view.setUint32(ctx + XDP.DATA_END, view.getUint32(ctx + XDP.DATA_END, true) - left, true);
  return 0;
}

/** Bytes of the packet, fragments included. */
export function bufferLength(env: Env, ctx: number): number {
  const { view } = env.memory;
  let length = view.getUint32(ctx + XDP.DATA_END, true) - view.getUint32(ctx + XDP.DATA, true);
  const list = view.getUint32(ctx + XDP.FRAG_LIST, true);
  for (let i = view.getUint32(ctx + XDP.FRAGS, true) - 1; i >= 0; i--) {
    length += view.getUint32(list + i * FRAG.SIZE + FRAG.LENGTH, true);
  }
  return length;
}

/** The kernel refuses offsets and lengths beyond 65535 with EFAULT. Source: filter.c `bpf_xdp_pointer`. */
export function copyXdpBytes(
  env: Env,
  ctx: number,
  offset: number,
  buffer: number,
  length: number,
  store: boolean,
): number {
  const { view, u8 } = env.memory;
  let at = offset >>> 0;
  let left = length >>> 0;
  if (at > 0xffff || left > 0xffff) return -Errno.EFAULT;
  if (at + left > bufferLength(env, ctx)) return -Errno.EINVAL;
  let piece = view.getUint32(ctx + XDP.DATA, true);
  let size = view.getUint32(ctx + XDP.DATA_END, true) - piece;
  let next = view.getUint32(ctx + XDP.FRAG_LIST, true);
  for (let place = buffer >>> 0; left > 0; ) {
    const n = Math.min(left, Math.max(0, size - at));
    if (n > 0) {
      if (store) u8.copyWithin(piece + at, place, place + n);
      else u8.copyWithin(place, piece + at, piece + at + n);
      place += n;
      left -= n;
      at += n;
    }
    at -= size;
    if (left === 0) break;
    piece = view.getUint32(next + FRAG.ADDRESS, true);
    size = view.getUint32(next + FRAG.LENGTH, true);
    next += FRAG.SIZE;
  }
  return 0;
}

/**
 * bpf_xdp_pull_data: the first `length` bytes become linear, taken from the fragments; what is before them moves
 * forward where there is no room behind. Source: net/core/filter.c 6.18.
 */
export function pullXdpData(env: Env, ctx: number, length: number): number {
  const { view, u8 } = env.memory;
  const word = (field: number): number => view.getUint32(ctx + field, true);
  const wanted = length >>> 0;
  const linear = word(XDP.DATA_END) - word(XDP.DATA);
  if (wanted <= linear) return 0;
  if (wanted > bufferLength(env, ctx)) return -Errno.EINVAL;
  const start = word(XDP.DATA_META);
  const headroom = start - word(XDP.HARD_START) - XDP_FRAME_STRUCT;
  const tailroom = word(XDP.HARD_START) + word(XDP.FRAME_SIZE) - word(XDP.DATA_END);
  let missing = wanted - linear;
  if (missing > tailroom + headroom) return -Errno.EINVAL;
  const shift = missing - tailroom;
  if (shift > 0) {
    u8.copyWithin(start - shift, start, word(XDP.DATA_END));
    for (const field of [XDP.DATA_META, XDP.DATA, XDP.DATA_END]) view.setUint32(ctx + field, word(field) - shift, true);
  }
  const list = word(XDP.FRAG_LIST);
  let count = word(XDP.FRAGS);
  while (missing > 0) {
    const address = view.getUint32(list + FRAG.ADDRESS, true);
    const size = view.getUint32(list + FRAG.LENGTH, true);
    const taken = Math.min(missing, size);
    const end = word(XDP.DATA_END);
    u8.copyWithin(end, address, address + taken);
    view.setUint32(ctx + XDP.DATA_END, end + taken, true);
    missing -= taken;
    if (taken < size) {
      view.setUint32(list + FRAG.ADDRESS, address + taken, true);
      view.setUint32(list + FRAG.LENGTH, size - taken, true);
      view.setUint32(list + FRAG.ROOM, view.getUint32(list + FRAG.ROOM, true) - taken, true);
    } else u8.copyWithin(list, list + FRAG.SIZE, list + count-- * FRAG.SIZE);
  }
  view.setUint32(ctx + XDP.FRAGS, count, true);
  return 0;
}
