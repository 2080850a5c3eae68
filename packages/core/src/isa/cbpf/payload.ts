/**
 * Where a packet's payload begins, for SKF_AD_PAY_OFFSET: a walk over the headers as the kernel's flow dissector takes
 * them. Source: net/core/flow_dissector.c `__skb_flow_dissect`, `__skb_flow_dissect_gre`, `__skb_get_poff`.
 *
 * Not followed: PPPoE, MPLS, TIPC, batman-adv and HSR (the kernel dissects them; a payload behind them is offset 0 here).
 */
import { viewOf } from "../../bytes/index.ts";

const ETH_P_IP = 0x0800;
const ETH_P_IPV6 = 0x86dd;
const ETH_P_8021Q = 0x8100;
const ETH_P_8021AD = 0x88a8;
const ETH_P_TEB = 0x6558;
const ETH_P_PPP = 0x880b;

const HOPOPTS = 0;
const IPIP = 4;
const TCP = 6;
const IPV6 = 41;
const ROUTING = 43;
const FRAGMENT = 44;
const GRE = 47;
const DSTOPTS = 60;

/** Lengths of transport headers by protocol: IGMP, ICMP, UDP, DCCP, ICMPv6, SCTP, UDP-Lite. TCP's is in the packet. */
const TRANSPORT: ReadonlyMap<number, number> = new Map([
  [2, 8],
  [1, 8],
  [17, 8],
  [33, 12],
  [58, 8],
  [132, 12],
  [136, 8],
]);

const IP_OFFSET = 0x1fff;
const IP_MF = 0x2000;
const IP6_OFFSET = 0xfff8;
const GRE_FLAG = { CSUM: 0x8000, ROUTING: 0x4000, KEY: 0x2000, SEQ: 0x1000, ACK: 0x0080, VERSION: 7 } as const;
/** Headers behind the first that the kernel goes into. */
const MAX_HEADERS = 15;

/** What became of one header: the next one is of a network or a transport protocol, the walk ends, or it is broken. */
type Step = "network" | "transport" | "end" | "bad";

interface Walk {
  readonly view: DataView;
  /** Where the next header begins. */
  at: number;
  /** EtherType and IP protocol, as far as is known. */
  ether: number;
  ip: number;
  /** A fragment other than the first: it has no transport header. */
  later: boolean;
}

/**
 * Offset of the payload from the packet's start, 0 where the headers are not understood.
 * @param network where the network header begins; `protocol` is its EtherType.
 */
export function payloadOffset(bytes: Uint8Array, network: number, protocol: number): number {
  const w: Walk = { view: viewOf(bytes), at: network, ether: protocol, ip: 0, later: false };
  let step: Step = "network";
  for (let headers = 0; headers <= MAX_HEADERS && step !== "end"; headers++) {
    if (step === "network") step = networkHeader(w);
    // Not a header of its own in the kernel's count.
    if (step === "transport") step = transportHeader(w);
    if (step === "bad") return 0;
  }
  const at = Math.min(w.at, bytes.length);
  if (w.later) return at;
  if (w.ip !== TCP) return at + (TRANSPORT.get(w.ip) ?? 0);
  return at + 13 <= bytes.length ? at + Math.max(20, (bytes[at + 12]! & 0xf0) >> 2) : at;
}

const has = ({ view, at }: Walk, bytes: number): boolean => at + bytes <= view.byteLength;

function networkHeader(w: Walk): Step {
  const { view } = w;
  switch (w.ether) {
    case ETH_P_IP: {
      const length = has(w, 20) ? (view.getUint8(w.at) & 15) * 4 : 0;
      if (length < 20) return "bad";
      const fragment = view.getUint16(w.at + 6);
      w.ip = view.getUint8(w.at + 9);
      w.at += length;
      w.later = (fragment & IP_OFFSET) !== 0;
      return fragment & (IP_OFFSET | IP_MF) ? "end" : "transport";
    }
    case ETH_P_IPV6:
      if (!has(w, 40)) return "bad";
      w.ip = view.getUint8(w.at + 6);
      w.at += 40;
      return "transport";
    case ETH_P_8021Q:
    case ETH_P_8021AD:
      if (!has(w, 4)) return "bad";
      w.ether = view.getUint16(w.at + 2);
      w.at += 4;
      return "network";
    default:
      return "bad";
  }
}

function transportHeader(w: Walk): Step {
  const { view } = w;
  switch (w.ip) {
    case IPIP:
      w.ether = ETH_P_IP;
      return "network";
    case IPV6:
      w.ether = ETH_P_IPV6;
      return "network";
    case GRE:
      return greHeader(w);
    case HOPOPTS:
    case ROUTING:
    case DSTOPTS: {
      if (w.ether !== ETH_P_IPV6) return "end";
      if (!has(w, 2)) return "bad";
      const length = (view.getUint8(w.at + 1) + 1) * 8;
      w.ip = view.getUint8(w.at);
      w.at += length;
      return "transport";
    }
    case FRAGMENT:
      if (w.ether !== ETH_P_IPV6) return "end";
      if (!has(w, 8)) return "bad";
      w.ip = view.getUint8(w.at);
      w.later = (view.getUint16(w.at + 2) & IP6_OFFSET) !== 0;
      w.at += 8;
      return "end";
    default:
      return "end";
  }
}

/** GRE of version 0, and PPTP's version 1; behind any other header the kernel does not look. */
function greHeader(w: Walk): Step {
  const { view } = w;
  if (!has(w, 4)) return "bad";
  const flags = view.getUint16(w.at);
  const version = flags & GRE_FLAG.VERSION;
  if (flags & GRE_FLAG.ROUTING || version > 1) return "end";
  const protocol = view.getUint16(w.at + 2);
  if (version && !(protocol === ETH_P_PPP && flags & GRE_FLAG.KEY)) {
    w.ether = protocol;
    return "end";
  }
  let length = 4;
  if (flags & GRE_FLAG.CSUM) length += 4;
  if (flags & GRE_FLAG.KEY) {
    if (!has(w, length + 4)) return "bad";
    length += 4;
  }
  if (flags & GRE_FLAG.SEQ) length += 4;
  w.ether = protocol;
  if (version) {
    if (flags & GRE_FLAG.ACK) length += 4;
    if (!has(w, length + 4)) return "bad";
    const ppp = view.getUint16(w.at + length + 2);
    if (ppp === 0x21) w.ether = ETH_P_IP;
    else if (ppp === 0x57) w.ether = ETH_P_IPV6;
    length += 4;
  } else if (protocol === ETH_P_TEB) {
    if (!has(w, length + 14)) return "bad";
    w.ether = view.getUint16(w.at + length + 12);
    length += 14;
  }
  w.at += length;
  return "network";
}
