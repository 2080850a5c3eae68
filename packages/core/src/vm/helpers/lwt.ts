/**
 * Encapsulation by LWT programs. IPv6 segment routing needs the kernel's own parsing of segments and is not here.
 * Source: net/core/lwt_bpf.c 6.18 `bpf_lwt_push_ip_encap`, net/core/filter.c `bpf_lwt_in_push_encap`.
 */
import { Errno } from "../../errors/index.ts";
import { type Env, type HelperImpl, helper } from "../env.ts";
import { SKB } from "../layout.ts";
import { csumBytes, csumFold } from "./csum.ts";
import { get, put, skbPush } from "./skb.ts";

const ENCAP_IP = 2;
const MAX_HEADROOM = 256;
const IPV4 = 0x0008;
const IPV6 = 0xdd86;
const IPPROTO_UDP = 17;
const UDP_HEADER = 8;

export const LWT_HELPERS: readonly (readonly [number, HelperImpl])[] = [
  /* lwt_push_encap(skb, type, header, len) */ [73, helper("iiii", "i", pushEncap)],
];

function pushEncap(env: Env, skb: number, type: number, header: number, length: number): number {
  if (type !== ENCAP_IP) return -Errno.EINVAL;
  const size = length >>> 0;
  const from = header >>> 0;
  const { u8, view } = env.memory;
  if (size < 20 || size > MAX_HEADROOM) return -Errno.EINVAL;
  const version = u8[from]! >>> 4;
  const header4 = (u8[from]! & 15) * 4;
  if (version !== 4 && version !== 6) return -Errno.EINVAL;
  // 6.18 wants the whole UDP header with the one that says UDP follows; of other protocols it asks nothing.
  const next = u8[from + (version === 4 ? 9 : 6)];
  const least = (version === 4 ? header4 : 40) + (next === IPPROTO_UDP ? UDP_HEADER : 0);
  if (size < least) return -Errno.EINVAL;
  const error = skbPush(env, skb, 0, size);
  if (error) return error;
  const data = get(env, skb, SKB.DATA);
  u8.copyWithin(data, from, from + size);
  put(env, skb, SKB.NETWORK, data);
  put(env, skb, SKB.ENCAPSULATION, 1);
  put(env, skb, SKB.HASH, 0);
  put(env, skb, SKB.PROTOCOL, version === 4 ? IPV4 : IPV6);
  if (version === 4 && view.getUint16(data + 10, true) === 0) {
    view.setUint16(data + 10, csumFold(csumBytes(env.memory, data, header4, 0)), true);
  }
  return 0;
}
