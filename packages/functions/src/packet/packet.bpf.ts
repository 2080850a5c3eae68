/**
 * What every chain begins with: the packet taken apart once, into plain numbers that functions compare. A packet that
 * contradicts itself goes no further; `parse` says why with a code, whose texts stand in plane/parser.ts.
 *
 * Left out: payload beyond the transport header, and reassembly (a later fragment has no ports).
 */
import {
  be16,
  type Packet as Cursor,
  ETH_P_8021AD,
  ETH_P_8021Q,
  ETH_P_IP,
  ETH_P_IPV6,
  ethernet,
  header,
  type Infer,
  IP_MF,
  IP_OFFSET,
  IPPROTO_AH,
  IPPROTO_FRAGMENT,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  icmp,
  ipv4,
  ipv6,
  ntohs,
  range,
  raw,
  sctp,
  struct,
  tcp,
  u8,
  u16,
  u32,
  u64,
  udp,
  vlan,
  type XdpContext,
} from "ebplane/bpf";

/**
 * Addresses are the bytes of the packet, IPv4 in the first four; ports are in host order. `kind`, from its low bits:
 * 16 EtherType, 12 VLAN id, 1 later fragment, 1 has ports, 1 is IP, 1 unused, 8 IP protocol, 8 ICMP type, 8 ICMP code.
 */
export const Packet = struct({
  src0: u64,
  src1: u64,
  dst0: u64,
  dst1: u64,
  kind: u64,
  length: u32,
  sport: u16,
  dport: u16,
});
export type Packet = Infer<typeof Packet>;

const LATER_FRAGMENT = 1n << 28n;
const HAS_PORTS = 1n << 29n;
const IS_IP = 1n << 30n;

const OK = 0;
const BAD_LINK = 1;
const BAD_IPV4 = 2;
const BAD_IPV6 = 3;
const BAD_CHAIN = 4;
const BAD_FRAGMENT = 5;
const BAD_TCP = 6;
const BAD_UDP = 7;
const BAD_SCTP = 8;
const BAD_ICMP = 9;

/** IPv6 extension headers that are walked. */
const MAX_EXTENSIONS = 6;

/** What all IPv6 extension headers begin with; the fragment header has its offset in `word`. */
const extension = header({ nexthdr: u8, hdrlen: u8, word: be16 });

/** Fills `out`, which must be all zero. 0, or why the packet is malformed. */
export function parse(ctx: XdpContext, out: Packet): u32 {
  out.length = ctx.length;
  const p = ctx.packet();
  const eth = p.take(ethernet);
  if (!eth) return BAD_LINK;
  let etherType = u32(ntohs(eth.proto));
  let vid = u32(0);
  if (etherType === ETH_P_8021Q || etherType === ETH_P_8021AD) {
    const tag = p.take(vlan);
    if (!tag) return BAD_LINK;
    vid = tag.vid;
    etherType = ntohs(tag.proto);
    if (etherType === ETH_P_8021Q || etherType === ETH_P_8021AD) {
      const inner = p.take(vlan);
      if (!inner) return BAD_LINK;
      etherType = ntohs(inner.proto);
    }
  }
  out.kind = u64(etherType) | (u64(vid) << 16n);
  if (etherType === ETH_P_IP) return parseIpv4(p, out);
  if (etherType === ETH_P_IPV6) return parseIpv6(p, out);
  return OK;
}

function parseIpv4(p: Cursor, out: Packet): u32 {
  const left = p.left;
  const ip = p.take(ipv4);
  if (!ip) return BAD_IPV4;
  const total = u32(ntohs(ip.totLen));
  const headerSize = ip.ihl * 4;
  if (ip.version !== 4 || total < headerSize || total > left) return BAD_IPV4;
  out.src0 = u64(raw(ip.saddr));
  out.dst0 = u64(raw(ip.daddr));
  const protocol = u32(ip.protocol);
  const fragment = u32(ntohs(ip.fragOff));
  out.kind |= IS_IP | (u64(protocol) << 32n);
  if ((fragment & IP_OFFSET) !== 0) {
    // RFC 3128: offset 1 could overwrite the TCP flags that the first fragment was judged by.
    if (protocol === IPPROTO_TCP && (fragment & IP_OFFSET) === 1) return BAD_FRAGMENT;
    out.kind |= LATER_FRAGMENT;
    return OK;
  }
  if (protocol === IPPROTO_ICMP) return parseIcmp(p, out, total - headerSize);
  return parseTransport(p, out, protocol, total - headerSize, fragment & IP_MF);
}

function parseIpv6(p: Cursor, out: Packet): u32 {
  const ip = p.take(ipv6);
  if (!ip) return BAD_IPV6;
  let size = u32(ntohs(ip.payloadLen));
  if (ip.version !== 6 || size > p.left) return BAD_IPV6;
  out.src0 = raw(ip.saddr.longs[0]);
  out.src1 = raw(ip.saddr.longs[1]);
  out.dst0 = raw(ip.daddr.longs[0]);
  out.dst1 = raw(ip.daddr.longs[1]);
  let next = u32(ip.nexthdr);
  let more = u32(0);
  for (const _ of range(MAX_EXTENSIONS)) {
    if (!isExtension(next)) break;
    const e = p.peek(extension);
    if (!e) return BAD_IPV6;
    if (next === IPPROTO_FRAGMENT) {
      const word = u32(ntohs(e.word));
      more = word & 1;
      if (word >= 8) {
        if (size < 8) return BAD_IPV6;
        out.kind |= IS_IP | LATER_FRAGMENT | (u64(e.nexthdr) << 32n);
        return OK;
      }
    }
    // Without a branch, so that the verifier walks on with one state whatever the header was: units of 8 bytes after
    // the first 8, of 4 in AH, none in the fragment header.
    const units = u32(e.hdrlen) & ~(0 - isEqual(next, IPPROTO_FRAGMENT));
    const step = ((units << (3 - isEqual(next, IPPROTO_AH))) + 8) & 0xfff;
    if (step > size) return BAD_IPV6;
    size -= step;
    next = e.nexthdr;
    p.skip(step);
  }
  if (isExtension(next)) return BAD_CHAIN;
  out.kind |= IS_IP | (u64(next) << 32n);
  if (next === IPPROTO_ICMPV6) return parseIcmp(p, out, size);
  return parseTransport(p, out, next, size, more);
}

/** Bit n is set for the extension headers that are walked. */
const EXTENSIONS = (1n << 0n) | (1n << 43n) | (1n << 44n) | (1n << 51n) | (1n << 60n);

function isExtension(next: u32): boolean {
  return next < 64 && ((EXTENSIONS >> u64(next)) & 1n) !== 0n;
}

/** 1 when both are the same number below 2^31, else 0, without a branch. */
function isEqual(a: u32, b: u32): u32 {
  return ((a ^ b) - 1) >>> 31;
}

/** `size`: bytes from here that the IP header says belong to the packet. */
function parseIcmp(p: Cursor, out: Packet, size: u32): u32 {
  const message = p.take(icmp);
  if (!message || size < 8) return BAD_ICMP;
  out.kind |= (u64(message.type) << 40n) | (u64(message.code) << 48n);
  return OK;
}

/** `more`: not 0 when fragments follow, so that the datagram is longer than this packet. */
function parseTransport(p: Cursor, out: Packet, protocol: u32, size: u32, more: u32): u32 {
  if (protocol === IPPROTO_TCP) {
    const segment = p.take(tcp);
    if (!segment || size < segment.doff * 4) return BAD_TCP;
    out.sport = ntohs(segment.source);
    out.dport = ntohs(segment.dest);
    out.kind |= HAS_PORTS;
  } else if (protocol === IPPROTO_UDP) {
    const datagram = p.take(udp);
    if (!datagram || size < 8) return BAD_UDP;
    const length = u32(ntohs(datagram.len));
    if (length < 8 || (more === 0 && length > size)) return BAD_UDP;
    out.sport = ntohs(datagram.source);
    out.dport = ntohs(datagram.dest);
    out.kind |= HAS_PORTS;
  } else if (protocol === IPPROTO_SCTP) {
    const chunk = p.take(sctp);
    if (!chunk || size < 12) return BAD_SCTP;
    out.sport = ntohs(chunk.source);
    out.dport = ntohs(chunk.dest);
    out.kind |= HAS_PORTS;
  }
  return OK;
}
