/**
 * Helpers of programs on `__sk_buff`: bytes, checksums, VLAN tags, room, type and protocol.
 *
 * The linear data lies between SKB.DATA and SKB.DATA_END inside of a head buffer; SKB.LEN counts bytes beyond it too.
 * Where the kernel would allocate a new head (no room in front or behind), ours moves the data within its buffer, which
 * has as much room as the kernel lets a program ask for. Offloads (GSO, CHECKSUM_PARTIAL) are kept as fields only.
 * Source: net/core/filter.c 6.18 (`bpf_skb_*`, `bpf_l3_csum_replace` …), net/core/skbuff.c `skb_vlan_push`.
 */
import { Errno } from "../../errors/index.ts";
import { type Env, type HelperImpl, helper } from "../env.ts";
import { HOOK, SKB, SKB_MAX_LENGTH } from "../layout.ts";
import { csumAdd, csumBytes, csumSub, replace2, replace4, replaceByDiff } from "./csum.ts";

const ETH_HLEN = 14;
const VLAN_HLEN = 4;
const MAX_VLAN_DEPTH = 8;
// Protocols as the 16 bits on the wire read little-endian, as `skb->protocol` holds them.
const IPV4 = 0x0008;
const IPV6 = 0xdd86;
const VLAN_8021Q = 0x0081;
const VLAN_8021AD = 0xa888;
const LLC_802_3 = 0x0100;
const LLC_802_2 = 0x0400;

const RECOMPUTE_CSUM = 1;
const INVALIDATE_HASH = 2;
const HDR_FIELD_MASK = 15;
const PSEUDO_HDR = 1 << 4;
const MARK_MANGLED_0 = 1 << 5;
const MARK_ENFORCE = 1 << 6;
const IPV6_CSUM = 1 << 7;
const CHECKSUM_COMPLETE = 2;
const CHECKSUM_PARTIAL = 3;

export const SKB_HELPERS: readonly (readonly [number, HelperImpl])[] = [
  /* skb_store_bytes(skb, offset, from, len, flags) */ [9, helper("iiiiw", "i", skbStoreBytes)],
  /* l3_csum_replace(skb, offset, from, to, flags) */ [10, helper("iiwww", "i", l3CsumReplace)],
  /* l4_csum_replace(skb, offset, from, to, flags) */ [11, helper("iiwww", "i", l4CsumReplace)],
  /* skb_vlan_push(skb, proto, tci) */ [18, helper("iii", "i", vlanPush)],
  /* skb_vlan_pop(skb) */ [19, helper("i", "i", vlanPop)],
  /* skb_load_bytes(skb, offset, to, len) */ [26, helper("iiii", "i", skbLoadBytes)],
  /* skb_change_proto(skb, proto, flags) */ [31, helper("iiw", "i", changeProto)],
  /* skb_change_type(skb, type) */ [
    32,
    helper("ii", "i", (env, skb, type) => {
      if (get(env, skb, SKB.PKT_TYPE) > 3 || type >>> 0 > 3) return -Errno.EINVAL;
      put(env, skb, SKB.PKT_TYPE, type);
      return 0;
    }),
  ],
  /* get_hash_recalc(skb) */ [34, helper("i", "u", getHash)],
  /* skb_change_tail(skb, len, flags) */ [38, helper("iiw", "i", changeTail)],
  /* skb_pull_data(skb, len) */ [
    39,
    helper("ii", "i", (env, skb, length) => makeWritable(env, skb, length >>> 0 || headLength(env, skb))),
  ],
  /* csum_update(skb, csum) */ [
    40,
    helper("ii", "i", (env, skb, csum) => {
      if (get(env, skb, SKB.IP_SUMMED) !== CHECKSUM_COMPLETE) return -Errno.ENOTSUPP;
      const sum = csumAdd(get(env, skb, SKB.CSUM), csum);
      put(env, skb, SKB.CSUM, sum);
      return sum | 0;
    }),
  ],
  /* set_hash_invalid(skb) */ [
    41,
    helper("i", "i", (env, skb) => {
      put(env, skb, SKB.HASH, 0);
      return 0;
    }),
  ],
  /* skb_change_head(skb, room, flags) */ [43, helper("iiw", "i", changeHead)],
  /* set_hash(skb, hash) */ [
    48,
    helper("ii", "i", (env, skb, hash) => {
      put(env, skb, SKB.HASH, hash);
      return 0;
    }),
  ],
  /* skb_adjust_room(skb, diff, mode, flags) */ [50, helper("iiiw", "i", adjustRoom)],
  /* skb_load_bytes_relative(skb, offset, to, len, start) */ [68, helper("iiiii", "i", loadRelative)],
  /* skb_ecn_set_ce(skb) */ [97, helper("i", "i", ecnSetCe)],
  /* csum_level(skb, level) */ [
    135,
    helper("iw", "i", (_env, _skb, level, high) =>
      high || level >>> 0 > 3 ? -Errno.EINVAL : level === 0 ? -Errno.EACCES : 0,
    ),
  ],
  /* skb_set_tstamp(skb, tstamp, type) */ [192, helper("iwi", "i", setTimestamp)],
];

export function get(env: Env, skb: number, field: number): number {
  return env.memory.view.getUint32((skb >>> 0) + field, true);
}

export function put(env: Env, skb: number, field: number, value: number): void {
  env.memory.view.setInt32((skb >>> 0) + field, value, true);
}

function headLength(env: Env, skb: number): number {
  return get(env, skb, SKB.DATA_END) - get(env, skb, SKB.DATA);
}

/** Makes the first `length` bytes linear: 0 or -ENOMEM when the packet is shorter. Source: `skb_ensure_writable`. */
export function makeWritable(env: Env, skb: number, length: number): number {
  const missing = length - headLength(env, skb);
  if (missing <= 0) return 0;
  const nonlinear = get(env, skb, SKB.NONLINEAR);
  const end = get(env, skb, SKB.DATA_END);
  if (missing > nonlinear) return -Errno.ENOMEM;
  if (end + missing > get(env, skb, SKB.END)) {
    return makeRoom(env, skb, 0, missing) ? makeWritable(env, skb, length) : -Errno.ENOMEM;
  }
  const from = get(env, skb, SKB.NONLINEAR_AT);
  env.memory.u8.copyWithin(end, from, from + missing);
  put(env, skb, SKB.DATA_END, end + missing);
  put(env, skb, SKB.NONLINEAR, nonlinear - missing);
  put(env, skb, SKB.NONLINEAR_AT, from + missing);
  return 0;
}

/**
 * Moves the linear data within its buffer so that `front` bytes before and `back` bytes behind it are free, where the
 * kernel would allocate a new head. False when the buffer is too small for that.
 */
function makeRoom(env: Env, skb: number, front: number, back: number): boolean {
  const head = get(env, skb, SKB.HEAD);
  const end = get(env, skb, SKB.END);
  const data = get(env, skb, SKB.DATA);
  const dataEnd = get(env, skb, SKB.DATA_END);
  const spare = end - head - (dataEnd - data) - front - back;
  if (spare < 0) return false;
  const shift = head + front + (spare >> 1) - data;
  env.memory.u8.copyWithin(data + shift, data, dataEnd);
  for (const field of [SKB.DATA, SKB.DATA_END, SKB.DATA_META, SKB.MAC, SKB.NETWORK]) {
    put(env, skb, field, get(env, skb, field) + shift);
  }
  return true;
}

/** Copies packet bytes out, linear or not. Beyond the packet: zeros and -EFAULT. */
export function skbLoadBytes(env: Env, skb: number, offset: number, to: number, length: number): number {
  const { u8 } = env.memory;
  const dst = to >>> 0;
  const n = length >>> 0;
  const at = offset >>> 0;
  if (at > 0x7fffffff || at + n > get(env, skb, SKB.LEN)) {
    u8.fill(0, dst, dst + n);
    return -Errno.EFAULT;
  }
  const data = get(env, skb, SKB.DATA);
  const linear = headLength(env, skb);
  const first = Math.max(0, Math.min(n, linear - at));
  if (first) u8.copyWithin(dst, data + at, data + at + first);
  if (first < n) {
    const from = get(env, skb, SKB.NONLINEAR_AT) + Math.max(0, at - linear);
    u8.copyWithin(dst + first, from, from + n - first);
  }
  return 0;
}

/** skb_load_bytes of hooks that see a part of a packet only (ctx/hook.ts): nothing where there is no packet behind it. */
export function hookLoadBytes(env: Env, ctx: number, offset: number, to: number, length: number): number {
  const { u8 } = env.memory;
  const at = get(env, ctx, HOOK.DATA) + (offset >>> 0);
  const n = length >>> 0;
  if (!get(env, ctx, HOOK.FROM_SKB) || offset >>> 0 > 0xffff || at + n > get(env, ctx, HOOK.DATA_END)) {
    u8.fill(0, to >>> 0, (to >>> 0) + n);
    return -Errno.EFAULT;
  }
  u8.copyWithin(to >>> 0, at, at + n);
  return 0;
}

export function skbStoreBytes(
  env: Env,
  skb: number,
  offset: number,
  from: number,
  length: number,
  flags: number,
  flagsHi: number,
): number {
  if (flags & ~(RECOMPUTE_CSUM | INVALIDATE_HASH) || flagsHi) return -Errno.EINVAL;
  const at = offset >>> 0;
  const n = length >>> 0;
  if (at > 0x7fffffff || makeWritable(env, skb, at + n)) return -Errno.EFAULT;
  const { u8 } = env.memory;
  const place = get(env, skb, SKB.DATA) + at;
  const complete = flags & RECOMPUTE_CSUM && get(env, skb, SKB.IP_SUMMED) === CHECKSUM_COMPLETE;
  const before = complete ? csumBytes(env.memory, place, n, 0) : 0;
  u8.copyWithin(place, from >>> 0, (from >>> 0) + n);
  if (complete) {
    const after = csumBytes(env.memory, place, n, 0);
    put(env, skb, SKB.CSUM, csumAdd(csumSub(get(env, skb, SKB.CSUM), before), after));
  }
  if (flags & INVALIDATE_HASH) put(env, skb, SKB.HASH, 0);
  return 0;
}

const SKF_NET_OFF = -0x100000;
const SKF_LL_OFF = -0x200000;

/** See Machine.loadPacket. Source: net/core/filter.c `bpf_skb_load_helper_*`, kernel/bpf/core.c `bpf_internal_load_pointer_neg_helper`. */
export function loadPacket(env: Env, skb: number, offset: number, size: number): number | undefined {
  const { view } = env.memory;
  const data = get(env, skb, SKB.DATA);
  let at: number;
  if (offset >= 0) {
    const linear = headLength(env, skb);
    if (offset + size > get(env, skb, SKB.LEN)) return undefined;
    if (offset + size > linear) {
      // Across the end of the linear part, byte by byte.
      const tail = get(env, skb, SKB.NONLINEAR_AT);
      let value = 0;
      for (let i = 0; i < size; i++) {
        const place = offset + i;
        value = (value << 8) | view.getUint8(place < linear ? data + place : tail + place - linear);
      }
      return value >>> 0;
    }
    at = data + offset;
  } else {
    if (offset >= SKF_NET_OFF) at = get(env, skb, SKB.NETWORK) + offset - SKF_NET_OFF;
    else if (offset >= SKF_LL_OFF) at = get(env, skb, SKB.MAC) + offset - SKF_LL_OFF;
    else return undefined;
    if (at < get(env, skb, SKB.HEAD) || at + size > get(env, skb, SKB.DATA_END)) return undefined;
  }
  return size === 4 ? view.getUint32(at) : size === 2 ? view.getUint16(at) : view.getUint8(at);
}

function loadRelative(env: Env, skb: number, offset: number, to: number, length: number, start: number): number {
  const { u8 } = env.memory;
  const dst = to >>> 0;
  const n = length >>> 0;
  const base = start === 0 ? get(env, skb, SKB.MAC) : start === 1 ? get(env, skb, SKB.NETWORK) : 0;
  const at = base + (offset >>> 0);
  if (!base || offset < 0 || at + n > get(env, skb, SKB.DATA_END)) {
    u8.fill(0, dst, dst + n);
    return -Errno.EFAULT;
  }
  u8.copyWithin(dst, at, at + n);
  return 0;
}

/** Address of a checksum field, or 0 where it is not in the packet. */
function csumField(env: Env, skb: number, offset: number): number {
  const at = offset >>> 0;
  if (at > 0xffff || at & 1 || makeWritable(env, skb, at + 2)) return 0;
  return get(env, skb, SKB.DATA) + at;
}

/** `from` and `to` are 64 bits wide; all but the check for zero look at the low ones. */
function l3CsumReplace(
  env: Env,
  skb: number,
  offset: number,
  from: number,
  fromHi: number,
  to: number,
  _toHi: number,
  flags: number,
  high: number,
): number {
  if (flags & ~HDR_FIELD_MASK || high) return -Errno.EINVAL;
  const at = csumField(env, skb, offset);
  if (!at) return -Errno.EFAULT;
  const { view } = env.memory;
  const field = view.getUint16(at, true);
  const result = flags === 0 && fromHi ? undefined : replaceField(field, from, to, flags);
  if (result === undefined) return -Errno.EINVAL;
  view.setUint16(at, result, true);
  return 0;
}

function replaceField(field: number, from: number, to: number, kind: number): number | undefined {
  if (kind === 0) return from ? undefined : replaceByDiff(field, to);
  if (kind === 2) return replace2(field, from, to);
  return kind === 4 ? replace4(field, from, to) : undefined;
}

function l4CsumReplace(
  env: Env,
  skb: number,
  offset: number,
  from: number,
  fromHi: number,
  to: number,
  _toHi: number,
  flags: number,
  high: number,
): number {
  const known = MARK_MANGLED_0 | MARK_ENFORCE | PSEUDO_HDR | HDR_FIELD_MASK | IPV6_CSUM;
  if (flags & ~known || high) return -Errno.EINVAL;
  const at = csumField(env, skb, offset);
  if (!at) return -Errno.EFAULT;
  const { view } = env.memory;
  const field = view.getUint16(at, true);
  const zeroMeansNone = (flags & MARK_MANGLED_0) !== 0;
  if (zeroMeansNone && !(flags & MARK_ENFORCE) && field === 0) return 0;
  const kind = flags & HDR_FIELD_MASK;
  if (kind === 0 && fromHi) return -Errno.EINVAL;
  let result: number | undefined;
  const summed = get(env, skb, SKB.IP_SUMMED);
  const pseudo = (flags & PSEUDO_HDR) !== 0;
  if (summed === CHECKSUM_PARTIAL) {
    // The field holds the sum of the pseudo header alone, not complemented: only its changes count.
    const complement = replaceField(~field & 0xffff, from, to, kind);
    result = complement === undefined ? undefined : pseudo ? ~complement & 0xffff : field;
  } else {
    result = replaceField(field, from, to, kind);
    if (summed === CHECKSUM_COMPLETE && pseudo && !(kind === 0 && flags & IPV6_CSUM)) {
      const sum = get(env, skb, SKB.CSUM);
      const diff = kind === 0 ? to : csumSub(to, from);
      put(env, skb, SKB.CSUM, ~csumAdd(~sum, diff));
    }
  }
  if (result === undefined) return -Errno.EINVAL;
  view.setUint16(at, zeroMeansNone && result === 0 ? 0xffff : result, true);
  return 0;
}

// ---- room

/** Opens `length` zero bytes at `offset`, moving what is before it to the front. Source: `bpf_skb_generic_push`. */
export function skbPush(env: Env, skb: number, offset: number, length: number): number {
  const { u8 } = env.memory;
  if (get(env, skb, SKB.DATA) - length < get(env, skb, SKB.HEAD) && !makeRoom(env, skb, length, 0)) {
    return -Errno.ENOMEM;
  }
  const data = get(env, skb, SKB.DATA);
  const moved = data - length;
  u8.copyWithin(moved, data, data + offset);
  u8.fill(0, moved + offset, moved + offset + length);
  setData(env, skb, moved);
  put(env, skb, SKB.LEN, get(env, skb, SKB.LEN) + length);
  return 0;
}

/** Takes `length` bytes away at `offset`. */
export function skbPop(env: Env, skb: number, offset: number, length: number): number {
  if (makeWritable(env, skb, offset + length)) return -Errno.ENOMEM;
  const { u8 } = env.memory;
  const data = get(env, skb, SKB.DATA);
  u8.copyWithin(data + length, data, data + offset);
  setData(env, skb, data + length);
  put(env, skb, SKB.LEN, get(env, skb, SKB.LEN) - length);
  return 0;
}

/** Metadata does not survive a change of the head: data_meta follows data. */
function setData(env: Env, skb: number, data: number): void {
  put(env, skb, SKB.DATA, data);
  put(env, skb, SKB.DATA_META, data);
}

function macLength(env: Env, skb: number): number {
  return get(env, skb, SKB.NETWORK) - get(env, skb, SKB.MAC);
}

/** After bytes were opened or closed behind the link header: both headers stand `shift` lower (or higher). */
function moveHeaders(env: Env, skb: number, mac: number): void {
  put(env, skb, SKB.MAC, get(env, skb, SKB.DATA));
  put(env, skb, SKB.NETWORK, get(env, skb, SKB.DATA) + mac);
}

function changeProto(env: Env, skb: number, proto: number, flags: number, high: number): number {
  if (flags | high) return -Errno.EINVAL;
  const from = get(env, skb, SKB.PROTOCOL);
  const to = proto & 0xffff;
  const mac = macLength(env, skb);
  let error: number;
  if (from === IPV4 && to === IPV6) error = skbPush(env, skb, mac, 20);
  else if (from === IPV6 && to === IPV4) error = skbPop(env, skb, mac, 20);
  else return -Errno.ENOTSUPP;
  if (error) return error;
  moveHeaders(env, skb, mac);
  put(env, skb, SKB.PROTOCOL, to);
  put(env, skb, SKB.HASH, 0);
  return 0;
}

function changeTail(env: Env, skb: number, length: number, flags: number, high: number): number {
  const { u8 } = env.memory;
  const n = length >>> 0;
  const least = Math.max(0, get(env, skb, SKB.NETWORK) - get(env, skb, SKB.DATA));
  if (flags | high || n > SKB_MAX_LENGTH || n < least) return -Errno.EINVAL;
  if (get(env, skb, SKB.ENCAPSULATION)) return -Errno.ENOTSUPP;
  const now = get(env, skb, SKB.LEN);
  if (n > now) {
    if (makeWritable(env, skb, now)) return -Errno.ENOMEM;
    const over = get(env, skb, SKB.DATA) + n > get(env, skb, SKB.END);
    if (over && !makeRoom(env, skb, 0, n - now)) return -Errno.ENOMEM;
  }
  const linear = headLength(env, skb);
  const data = get(env, skb, SKB.DATA);
  if (n > now) {
    u8.fill(0, data + now, data + n);
    put(env, skb, SKB.DATA_END, data + n);
  } else {
    put(env, skb, SKB.DATA_END, data + Math.min(n, linear));
    put(env, skb, SKB.NONLINEAR, Math.max(0, n - linear));
  }
  put(env, skb, SKB.LEN, n);
  put(env, skb, SKB.DATA_META, data);
  return 0;
}

function changeHead(env: Env, skb: number, room: number, flags: number, high: number): number {
  const length = get(env, skb, SKB.LEN) + room;
  if (flags | high || room < 0 || length > SKB_MAX_LENGTH) return -Errno.EINVAL;
  const error = skbPush(env, skb, 0, room);
  if (error) return error;
  put(env, skb, SKB.MAC, get(env, skb, SKB.DATA));
  return 0;
}

const FIXED_GSO = 1;
const ENCAP_IPV4 = 2;
const ENCAP_IPV6 = 4;
const ENCAP_GRE = 8;
const ENCAP_UDP = 16;
const NO_CSUM_RESET = 32;
const ENCAP_ETH = 64;
const DECAP_IPV4 = 128;
const DECAP_IPV6 = 256;
const ENCAP = ENCAP_IPV4 | ENCAP_IPV6;

function adjustRoom(env: Env, skb: number, diff: number, mode: number, flags: number, high: number): number {
  const known = FIXED_GSO | ENCAP | ENCAP_GRE | ENCAP_UDP | NO_CSUM_RESET | ENCAP_ETH | DECAP_IPV4 | DECAP_IPV6;
  // The top byte is the length of the inner link header.
  const innerMac = high >>> 24;
  if (flags & ~known || high & 0xffffff) return -Errno.EINVAL;
  const amount = Math.abs(diff);
  if (amount > 0xfff) return -Errno.EFAULT;
  const proto = get(env, skb, SKB.PROTOCOL);
  if (proto !== IPV4 && proto !== IPV6) return -Errno.ENOTSUPP;
  const base = proto === IPV4 ? 20 : 40;
  const mac = macLength(env, skb);
  if (mode !== 0 && mode !== 1) return -Errno.ENOTSUPP;
  const offset = mac + (mode === 0 ? base : 0);
  const shrink = diff < 0;
  let least = base;
  const decap = flags & (DECAP_IPV4 | DECAP_IPV6);
  if (decap) {
    if (!shrink || decap === (DECAP_IPV4 | DECAP_IPV6)) return -Errno.EINVAL;
    least = decap === DECAP_IPV4 ? 20 : 40;
  }
  const length = get(env, skb, SKB.LEN);
  const inner = length - (get(env, skb, SKB.NETWORK) - get(env, skb, SKB.DATA));
  if (shrink && (amount >= inner || inner - amount < least)) return -Errno.ENOTSUPP;
  if (!shrink && length + amount > SKB_MAX_LENGTH) return -Errno.ENOTSUPP;
  if (shrink) {
    if (flags & ~(FIXED_GSO | DECAP_IPV4 | DECAP_IPV6 | NO_CSUM_RESET)) return -Errno.EINVAL;
    const error = skbPop(env, skb, offset, amount);
    if (error) return error;
    moveHeaders(env, skb, mac);
    if (decap) put(env, skb, SKB.PROTOCOL, decap === DECAP_IPV4 ? IPV4 : IPV6);
    return 0;
  }
  if (flags & ENCAP) {
    const both = (a: number, b: number): boolean => (flags & a) !== 0 && (flags & b) !== 0;
    if (both(ENCAP_IPV4, ENCAP_IPV6) || both(ENCAP_GRE, ENCAP_UDP)) return -Errno.EINVAL;
    if (flags & ENCAP_ETH && innerMac < ETH_HLEN) return -Errno.EINVAL;
    if (get(env, skb, SKB.ENCAPSULATION)) return -Errno.EALREADY;
    if (innerMac > amount) return -Errno.EINVAL;
  }
  const error = skbPush(env, skb, offset, amount);
  if (error) return error;
  moveHeaders(env, skb, mac);
  if (flags & ENCAP) {
    put(env, skb, SKB.ENCAPSULATION, 1);
    put(env, skb, SKB.PROTOCOL, flags & ENCAP_IPV6 ? IPV6 : IPV4);
  }
  return 0;
}

// ---- VLAN

const isVlan = (proto: number): boolean => proto === VLAN_8021Q || proto === VLAN_8021AD;

function vlanPush(env: Env, skb: number, protocol: number, tci: number): number {
  const asked = protocol & 0xffff;
  const proto = isVlan(asked) ? asked : VLAN_8021Q;
  if (get(env, skb, SKB.VLAN_PRESENT)) {
    const old = get(env, skb, SKB.VLAN_PROTO);
    const error = insertTag(env, skb, old, get(env, skb, SKB.VLAN_TCI));
    if (error) return error;
    put(env, skb, SKB.PROTOCOL, old);
  }
  setTag(env, skb, proto, tci & 0xffff);
  return 0;
}

function vlanPop(env: Env, skb: number): number {
  if (get(env, skb, SKB.VLAN_PRESENT)) clearTag(env, skb);
  else {
    if (!isVlan(get(env, skb, SKB.PROTOCOL))) return 0;
    const tci = removeTag(env, skb);
    if (tci < 0) return tci;
  }
  const proto = get(env, skb, SKB.PROTOCOL);
  if (!isVlan(proto)) return 0;
  const tci = removeTag(env, skb);
  if (tci < 0) return tci;
  setTag(env, skb, proto, tci);
  return 0;
}

/** A tag beside the packet, as network devices hand it over. */
function setTag(env: Env, skb: number, proto: number, tci: number): void {
  put(env, skb, SKB.VLAN_PRESENT, 1);
  put(env, skb, SKB.VLAN_PROTO, proto);
  put(env, skb, SKB.VLAN_TCI, tci);
}

function clearTag(env: Env, skb: number): void {
  put(env, skb, SKB.VLAN_PRESENT, 0);
  put(env, skb, SKB.VLAN_PROTO, 0);
  put(env, skb, SKB.VLAN_TCI, 0);
}

function insertTag(env: Env, skb: number, proto: number, tci: number): number {
  const error = makeWritable(env, skb, ETH_HLEN) || skbPush(env, skb, 12, VLAN_HLEN);
  if (error) return -Errno.ENOMEM;
  const { view } = env.memory;
  const data = get(env, skb, SKB.DATA);
  view.setUint16(data + 12, proto, true);
  view.setUint16(data + 14, tci, false);
  put(env, skb, SKB.MAC, data);
  // As in the kernel the network header follows the link header's 14 bytes: it is the tag now.
  put(env, skb, SKB.NETWORK, get(env, skb, SKB.NETWORK) - VLAN_HLEN);
  return 0;
}

/** Takes the tag behind the addresses out: its TCI, or -errno. */
function removeTag(env: Env, skb: number): number {
  if (makeWritable(env, skb, ETH_HLEN + VLAN_HLEN)) return -Errno.ENOMEM;
  const { view } = env.memory;
  const tci = view.getUint16(get(env, skb, SKB.DATA) + 14, false);
  skbPop(env, skb, 12, VLAN_HLEN);
  const data = get(env, skb, SKB.DATA);
  put(env, skb, SKB.MAC, data);
  // A length in place of an EtherType means one of the two LLC forms, as in ctx/skb.ts.
  const isType = view.getUint16(data + 12, false) >= 0x600;
  const llc = view.getUint16(data + 14, true) === 0xffff ? LLC_802_3 : LLC_802_2;
  put(env, skb, SKB.PROTOCOL, isType ? view.getUint16(data + 12, true) : llc);
  if (get(env, skb, SKB.NETWORK) < data + ETH_HLEN) put(env, skb, SKB.NETWORK, data + ETH_HLEN);
  return tci;
}

// ---- the rest

/** A flow's hash: of addresses, protocol and ports, seeded by nothing, so that runs repeat; the kernel's is seeded. */
function getHash(env: Env, skb: number): number {
  const known = get(env, skb, SKB.HASH);
  if (known) return known | 0;
  const { view } = env.memory;
  const end = get(env, skb, SKB.DATA_END);
  const at = get(env, skb, SKB.NETWORK);
  const proto = get(env, skb, SKB.PROTOCOL);
  let hash = 0x811c9dc5;
  const mix = (word: number): void => {
    hash = Math.imul(hash ^ (word & 0xffff), 0x01000193);
    hash = Math.imul(hash ^ (word >>> 16), 0x01000193);
    hash ^= hash >>> 15;
  };
  const ports = (l4: number, next: number): void => {
    mix(next);
    if ((next === 6 || next === 17 || next === 132) && l4 + 4 <= end) mix(view.getUint32(l4, true));
  };
  if (proto === IPV4 && at + 20 <= end) {
    mix(view.getUint32(at + 12, true));
    mix(view.getUint32(at + 16, true));
    const isFragment = (view.getUint16(at + 6, false) & 0x3fff) !== 0;
    ports(isFragment ? end : at + (view.getUint8(at) & 15) * 4, view.getUint8(at + 9));
  } else if (proto === IPV6 && at + 40 <= end) {
    for (let i = 8; i < 40; i += 4) mix(view.getUint32(at + i, true));
    ports(at + 40, view.getUint8(at + 6));
  } else {
    for (let i = get(env, skb, SKB.MAC); i + 4 <= Math.min(end, at); i += 4) mix(view.getUint32(i, true));
  }
  const result = hash === 0 ? 1 : hash;
  put(env, skb, SKB.HASH, result);
  return result | 0;
}

/** Source: include/net/inet_ecn.h `INET_ECN_set_ce`: 1 when the packet carries CE now. */
function ecnSetCe(env: Env, skb: number): number {
  const { view } = env.memory;
  let proto = get(env, skb, SKB.PROTOCOL);
  const at = get(env, skb, SKB.NETWORK);
  // The protocol is looked for behind VLAN tags, the header is not. The last 4 bytes before the network header count as
  // the first tag. Source: include/linux/if_vlan.h `__vlan_get_protocol_offset`.
  for (let tag = at - VLAN_HLEN, depth = 0; isVlan(proto); tag += VLAN_HLEN, depth++) {
    if (depth === MAX_VLAN_DEPTH - 1 || tag + VLAN_HLEN > get(env, skb, SKB.DATA_END)) return 0;
    proto = view.getUint16(tag + 2, true);
  }
  const size = proto === IPV4 ? 20 : proto === IPV6 ? 40 : 0;
  if (!size || makeWritable(env, skb, at - get(env, skb, SKB.DATA) + size)) return 0;
  if (proto === IPV4) {
    const tos = view.getUint8(at + 1);
    if ((tos & 3) === 3) return 1;
    if ((tos & 3) === 0) return 0;
    const before = view.getUint16(at, true);
    view.setUint8(at + 1, tos | 3);
    view.setUint16(at + 10, replace2(view.getUint16(at + 10, true), before, view.getUint16(at, true)), true);
    return 1;
  }
  const word = view.getUint32(at, false);
  if ((word & 0x300000) === 0) return 0;
  view.setUint32(at, word | 0x300000, false);
  return 1;
}

function setTimestamp(env: Env, skb: number, low: number, high: number, type: number): number {
  const proto = get(env, skb, SKB.PROTOCOL);
  if (proto !== IPV4 && proto !== IPV6) return -Errno.EOPNOTSUPP;
  const { view } = env.memory;
  // BPF_SKB_CLOCK_REALTIME takes any time, MONOTONIC and TAI not 0.
  if (type < 0 || type > 2) return -Errno.EINVAL;
  if (type !== 0 && !(low | high)) return -Errno.EINVAL;
  view.setInt32((skb >>> 0) + SKB.TSTAMP, low, true);
  view.setInt32((skb >>> 0) + SKB.TSTAMP + 4, high, true);
  view.setUint8((skb >>> 0) + SKB.TSTAMP_TYPE, type);
  return 0;
}
