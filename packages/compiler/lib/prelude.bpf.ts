/**
 * The library of `ebplane/bpf` that is written in the language itself: constants, the headers of the protocols, and
 * checksum arithmetic. Only what a program uses is compiled into it.
 */

import type { Infer } from "./bpf.js";
import {
  arrayOf,
  asBe16,
  be16,
  be32,
  be64,
  bits,
  bytes,
  header,
  ntohs,
  protocols,
  raw,
  struct,
  u8,
  u32,
  union,
} from "./bpf.js";

// ---- verdicts ----

export const XDP_ABORTED = 0;
export const XDP_DROP = 1;
export const XDP_PASS = 2;
export const XDP_TX = 3;
export const XDP_REDIRECT = 4;

export const TC_ACT_UNSPEC = -1;
export const TC_ACT_OK = 0;
export const TC_ACT_RECLASSIFY = 1;
export const TC_ACT_SHOT = 2;
export const TC_ACT_PIPE = 3;
export const TC_ACT_STOLEN = 4;
export const TC_ACT_QUEUED = 5;
export const TC_ACT_REPEAT = 6;
export const TC_ACT_REDIRECT = 7;

// ---- flags ----

export const BPF_ANY = 0;
export const BPF_NOEXIST = 1;
export const BPF_EXIST = 2;
export const BPF_F_NO_PREALLOC = 1;
export const BPF_F_RDONLY_PROG = 128;
export const BPF_F_WRONLY_PROG = 256;

// ---- numbers of protocols, host order ----

export const ETH_P_IP = 0x0800;
export const ETH_P_ARP = 0x0806;
export const ETH_P_8021Q = 0x8100;
export const ETH_P_8021AD = 0x88a8;
export const ETH_P_IPV6 = 0x86dd;
export const ETH_P_MPLS_UC = 0x8847;
export const ETH_P_MPLS_MC = 0x8848;
export const ETH_P_PPP_SES = 0x8864;
export const ETH_P_TEB = 0x6558;

export const PPP_IP = 0x0021;
export const PPP_IPV6 = 0x0057;

export const IPPROTO_HOPOPTS = 0;
export const IPPROTO_ICMP = 1;
export const IPPROTO_IPIP = 4;
export const IPPROTO_TCP = 6;
export const IPPROTO_UDP = 17;
export const IPPROTO_IPV6 = 41;
export const IPPROTO_ROUTING = 43;
export const IPPROTO_FRAGMENT = 44;
export const IPPROTO_GRE = 47;
export const IPPROTO_ESP = 50;
export const IPPROTO_AH = 51;
export const IPPROTO_ICMPV6 = 58;
export const IPPROTO_NONE = 59;
export const IPPROTO_DSTOPTS = 60;
export const IPPROTO_SCTP = 132;
export const IPPROTO_MH = 135;

export const IP_DF = 0x4000;
export const IP_MF = 0x2000;
export const IP_OFFSET = 0x1fff;

export const TCP_FIN = 0x01;
export const TCP_SYN = 0x02;
export const TCP_RST = 0x04;
export const TCP_PSH = 0x08;
export const TCP_ACK = 0x10;
export const TCP_URG = 0x20;
export const TCP_ECE = 0x40;
export const TCP_CWR = 0x80;

// ---- spaces of numbers by which headers announce each other ----

/** EtherTypes, in network order as headers hold them. */
export const etherType = protocols(be16);
/** IP protocol numbers. `NO_PROTOCOL` announces nothing. */
export const ipProtocol = protocols(u32);
export const NO_PROTOCOL = 256;
/** UDP destination ports. */
export const udpPort = protocols(be16);
/** PPP protocol numbers. */
export const pppProtocol = protocols(be16);
/** What is below an MPLS label: 0 another label, 4 and 6 an IP packet by its version. */
export const mplsPayload = protocols(u32);
/** What VXLAN carries: 1 an Ethernet frame. */
export const vxlanPayload = protocols(u32);
/** The first bit of a QUIC packet: 1 a long header. */
export const quicForm = protocols(u32);

// ---- headers ----

/** A 48-bit link address. */
export const mac = bytes(6);

/** A 128-bit address as bytes, 32-bit words or 64-bit halves, all in network order. */
export const in6 = union({ bytes: bytes(16), words: arrayOf(be32, 4), longs: arrayOf(be64, 2) });
export type in6 = Infer<typeof in6>;

export const ethernet = header(
  { dst: mac, src: mac, proto: be16 },
  {
    is: [
      [etherType, ETH_P_TEB],
      [vxlanPayload, 1],
    ],
    next: [etherType, (h) => h.proto],
  },
);
export type ethernet = Infer<typeof ethernet>;

/** 802.1Q and 802.1ad, after the protocol number that announces it. */
export const vlan = header(
  { pcp: bits(3), dei: bits(1), vid: bits(12), proto: be16 },
  {
    is: [
      [etherType, ETH_P_8021Q],
      [etherType, ETH_P_8021AD],
    ],
    next: [etherType, (h) => h.proto],
  },
);
export type vlan = Infer<typeof vlan>;

/** ARP for IPv4 over Ethernet. */
export const arp = header(
  {
    htype: be16,
    ptype: be16,
    hlen: u8,
    plen: u8,
    oper: be16,
    sha: mac,
    spa: be32,
    tha: mac,
    tpa: be32,
  },
  { is: [[etherType, ETH_P_ARP]] },
);
export type arp = Infer<typeof arp>;

/** A fragment other than the first announces nothing: it starts in the middle of what the first has. */
export const ipv4 = header(
  {
    version: bits(4),
    ihl: bits(4),
    tos: u8,
    totLen: be16,
    id: be16,
    fragOff: be16,
    ttl: u8,
    protocol: u8,
    check: be16,
    saddr: be32,
    daddr: be32,
  },
  {
    length: (h) => h.ihl * 4,
    is: [
      [etherType, ETH_P_IP],
      [ipProtocol, IPPROTO_IPIP],
      [pppProtocol, PPP_IP],
      [mplsPayload, 4],
    ],
    next: [ipProtocol, (h) => (isLaterFragment(h) ? NO_PROTOCOL : h.protocol)],
  },
);
export type ipv4 = Infer<typeof ipv4>;

export const ipv6 = header(
  {
    version: bits(4),
    tclass: bits(8),
    flowLabel: bits(20),
    payloadLen: be16,
    nexthdr: u8,
    hopLimit: u8,
    saddr: in6,
    daddr: in6,
  },
  {
    is: [
      [etherType, ETH_P_IPV6],
      [ipProtocol, IPPROTO_IPV6],
      [pppProtocol, PPP_IPV6],
      [mplsPayload, 6],
    ],
    next: [ipProtocol, (h) => h.nexthdr],
  },
);
export type ipv6 = Infer<typeof ipv6>;

/** IPv6 hop-by-hop, routing and destination options, and mobility: `repeat(ipv6Ext, 4)` takes several. */
export const ipv6Ext = header(
  { nexthdr: u8, hdrlen: u8, data: bytes(6) },
  {
    length: (h) => (h.hdrlen + 1) * 8,
    is: [
      [ipProtocol, IPPROTO_HOPOPTS],
      [ipProtocol, IPPROTO_ROUTING],
      [ipProtocol, IPPROTO_DSTOPTS],
      [ipProtocol, IPPROTO_MH],
    ],
    next: [ipProtocol, (h) => h.nexthdr],
  },
);
export type ipv6Ext = Infer<typeof ipv6Ext>;

/** IPv6 fragment header: `fragOff` holds the offset in units of 8 bytes in its high 13 bits, the M flag lowest. */
export const ipv6Frag = header(
  { nexthdr: u8, reserved: u8, fragOff: be16, id: be32 },
  {
    is: [[ipProtocol, IPPROTO_FRAGMENT]],
    next: [ipProtocol, (h) => (ntohs(h.fragOff) >= 8 ? NO_PROTOCOL : h.nexthdr)],
  },
);
export type ipv6Frag = Infer<typeof ipv6Frag>;

/** The authentication header, of IPv4 and IPv6. */
export const ah = header(
  { nexthdr: u8, hdrlen: u8, reserved: be16, spi: be32, seq: be32 },
  {
    length: (h) => (h.hdrlen + 2) * 4,
    is: [[ipProtocol, IPPROTO_AH]],
    next: [ipProtocol, (h) => h.nexthdr],
  },
);
export type ah = Infer<typeof ah>;

/** Encrypted from here on. */
export const esp = header({ spi: be32, seq: be32 }, { is: [[ipProtocol, IPPROTO_ESP]] });
export type esp = Infer<typeof esp>;

export const icmp = header(
  { type: u8, code: u8, check: be16, id: be16, seq: be16 },
  { is: [[ipProtocol, IPPROTO_ICMP]] },
);
export type icmp = Infer<typeof icmp>;

export const icmp6 = header(
  { type: u8, code: u8, check: be16, id: be16, seq: be16 },
  { is: [[ipProtocol, IPPROTO_ICMPV6]] },
);
export type icmp6 = Infer<typeof icmp6>;

export const tcp = header(
  {
    source: be16,
    dest: be16,
    seq: be32,
    ackSeq: be32,
    doff: bits(4),
    res: bits(4),
    flags: u8,
    window: be16,
    check: be16,
    urgPtr: be16,
  },
  { length: (h) => h.doff * 4, is: [[ipProtocol, IPPROTO_TCP]] },
);
export type tcp = Infer<typeof tcp>;

export const udp = header(
  { source: be16, dest: be16, len: be16, check: be16 },
  { is: [[ipProtocol, IPPROTO_UDP]], next: [udpPort, (h) => h.dest] },
);
export type udp = Infer<typeof udp>;

/** The ports, which TCP, UDP and SCTP have in the same place. */
export const ports = header(
  { source: be16, dest: be16 },
  {
    is: [
      [ipProtocol, IPPROTO_TCP],
      [ipProtocol, IPPROTO_UDP],
      [ipProtocol, IPPROTO_SCTP],
    ],
  },
);
export type ports = Infer<typeof ports>;

export const sctp = header({ source: be16, dest: be16, vtag: be32, check: be32 }, { is: [[ipProtocol, IPPROTO_SCTP]] });
export type sctp = Infer<typeof sctp>;

/** GRE with its optional checksum, key and sequence number, in this order behind the fixed part (RFC 2784, RFC 2890). */
export const gre = header(
  {
    checksum: bits(1),
    routing: bits(1),
    key: bits(1),
    sequence: bits(1),
    reserved: bits(9),
    version: bits(3),
    proto: be16,
  },
  {
    length: (h) => 4 + (h.checksum + h.key + h.sequence) * 4,
    is: [[ipProtocol, IPPROTO_GRE]],
    next: [etherType, (h) => (h.version === 0 && h.routing === 0 ? h.proto : be16(0))],
  },
);
export type gre = Infer<typeof gre>;

export const vxlan = header(
  { flags: u8, reserved1: bytes(3), vni: bits(24), reserved2: u8 },
  { is: [[udpPort, 4789]], next: [vxlanPayload, (h) => (h.flags & 0x08 ? 1 : 0)] },
);
export type vxlan = Infer<typeof vxlan>;

export const geneve = header(
  {
    version: bits(2),
    optLen: bits(6),
    control: bits(1),
    critical: bits(1),
    reserved1: bits(6),
    proto: be16,
    vni: bits(24),
    reserved2: u8,
  },
  { length: (h) => h.optLen * 4 + 8, is: [[udpPort, 6081]], next: [etherType, (h) => h.proto] },
);
export type geneve = Infer<typeof geneve>;

/** GUE, version 0: `hlen` words of optional fields follow. A control message announces nothing. */
export const gue = header(
  { version: bits(2), control: bits(1), hlen: bits(5), proto: u8, flags: be16 },
  {
    length: (h) => h.hlen * 4 + 4,
    is: [[udpPort, 6080]],
    next: [ipProtocol, (h) => (h.version === 0 && h.control === 0 ? h.proto : NO_PROTOCOL)],
  },
);
export type gue = Infer<typeof gue>;

const nibble = header({ high: bits(4), low: bits(4) });

/** A label; below the bottom one the first four bits tell IPv4 from IPv6. `repeat(mpls, 3)` takes several. */
export const mpls = header(
  { label: bits(20), tc: bits(3), bottom: bits(1), ttl: u8 },
  {
    is: [
      [etherType, ETH_P_MPLS_UC],
      [etherType, ETH_P_MPLS_MC],
      [mplsPayload, 0],
    ],
    next: [
      mplsPayload,
      (h, p) => {
        if (h.bottom === 0) return 0;
        const first = p.peek(nibble);
        return first ? first.high : 15;
      },
    ],
  },
);
export type mpls = Infer<typeof mpls>;

/** A PPPoE session's header with the PPP protocol number. */
export const pppoe = header(
  { version: bits(4), type: bits(4), code: u8, session: be16, len: be16, proto: be16 },
  { is: [[etherType, ETH_P_PPP_SES]], next: [pppProtocol, (h) => h.proto] },
);
export type pppoe = Infer<typeof pppoe>;

export const dns = header(
  {
    id: be16,
    qr: bits(1),
    opcode: bits(4),
    aa: bits(1),
    tc: bits(1),
    rd: bits(1),
    ra: bits(1),
    z: bits(3),
    rcode: bits(4),
    qdcount: be16,
    ancount: be16,
    nscount: be16,
    arcount: be16,
  },
  { is: [[udpPort, 53]] },
);
export type dns = Infer<typeof dns>;

/** The first byte of every QUIC packet: `form` is 1 before a long header, 0 before a destination connection id. */
export const quic = header(
  { form: bits(1), fixed: bits(1), low: bits(6) },
  { is: [[udpPort, 443]], next: [quicForm, (h) => h.form] },
);
export type quic = Infer<typeof quic>;

/** The rest of a long header; the destination connection id, `dcidLen` bytes, ends it. */
export const quicLong = header({ version: be32, dcidLen: u8 }, { length: (h) => h.dcidLen + 5, is: [[quicForm, 1]] });
export type quicLong = Infer<typeof quicLong>;

/** The key of an LPM trie over IPv4 addresses, and over IPv6. */
export const Lpm4 = struct({ prefixlen: u32, addr: be32 });
export type Lpm4 = Infer<typeof Lpm4>;
export const Lpm6 = struct({ prefixlen: u32, addr: in6 }, { packed: true });
export type Lpm6 = Infer<typeof Lpm6>;

// ---- checksums (RFC 1071, RFC 1624) ----

/** Folds a sum of 16-bit words to the checksum field's value. */
export function csumFold(sum: u32): be16 {
  let s = (sum & 0xffff) + (sum >> 16);
  s = (s & 0xffff) + (s >> 16);
  return asBe16(~s & 0xffff);
}

/** The checksum after a 16-bit word that it covers changed. */
export function csumReplace2(check: be16, from: be16, to: be16): be16 {
  return csumFold((~raw(check) & 0xffff) + (~raw(from) & 0xffff) + raw(to));
}

/** The checksum after a 32-bit word that it covers changed. */
export function csumReplace4(check: be16, from: be32, to: be32): be16 {
  const f = ~raw(from);
  const t = raw(to);
  return csumFold((~raw(check) & 0xffff) + (f & 0xffff) + (f >>> 16) + (t & 0xffff) + (t >>> 16));
}

/** True when the packet is a fragment other than the first: it has no transport header. */
export function isLaterFragment(ip: { readonly fragOff: be16 }): boolean {
  return (ntohs(ip.fragOff) & IP_OFFSET) !== 0;
}
