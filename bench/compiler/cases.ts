/**
 * What both versions of a program are run on: packets that every program must treat alike, and for single programs
 * those that reach their far end, with the map entries that these need.
 */

export interface Case {
  /** Entries by map, key and value in hex as they lie in memory. */
  readonly maps?: Readonly<Record<string, readonly (readonly [key: string, value: string])[]>>;
  /** What the program is timed on; without it a TCP packet to port 80. */
  readonly packet?: Uint8Array;
  /** What it must give for that packet: that it does reach its far end. */
  readonly verdict?: number;
  /** The program changes the packet so that a second run takes another way: one run at a time. */
  readonly once?: boolean;
}

function ip(protocol: number, payload: readonly number[], options = 0): Uint8Array {
  const head = 20 + options * 4;
  const p = new Uint8Array(Math.max(64, 14 + head + payload.length));
  const v = new DataView(p.buffer);
  for (let k = 0; k < 12; k++) p[k] = k * 17;
  v.setUint16(12, 0x0800);
  v.setUint8(14, 0x45 + options);
  v.setUint8(15, 0x28);
  v.setUint16(16, head + payload.length);
  v.setUint8(22, 64);
  v.setUint8(23, protocol);
  v.setUint16(24, 0x66cf);
  v.setUint32(26, 0x0a000001);
  v.setUint32(30, 0x0a000002);
  p.set(payload, 14 + head);
  return p;
}

function ipv6(protocol: number, payload: readonly number[]): Uint8Array {
  const p = new Uint8Array(54 + payload.length);
  const v = new DataView(p.buffer);
  v.setUint16(12, 0x86dd);
  v.setUint8(14, 0x60);
  v.setUint16(18, payload.length);
  v.setUint8(20, protocol);
  v.setUint8(21, 64);
  v.setUint8(37, 1);
  v.setUint8(53, 2);
  p.set(payload, 54);
  return p;
}

const be16 = (n: number): number[] => [n >> 8, n & 255];

function tcp(dport: number, flags: number): number[] {
  return [...be16(40000), ...be16(dport), 1, 2, 3, 0xff, 0, 0, 0, 0, 0x50, flags, ...be16(1024), 0xab, 0xcd, 0, 0];
}

function udp(dport: number, payload: readonly number[]): number[] {
  return [...be16(40000), ...be16(dport), ...be16(8 + payload.length), 0, 0, ...payload];
}

const NAME = [3, ...[..."www"].map((c) => c.charCodeAt(0)), 7, ...[..."example"].map((c) => c.charCodeAt(0)), 0];
const QUERY = udp(53, [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...NAME, 0, 1, 0, 1]);
const VXLAN = udp(4789, [8, 0, 0, 0, 0, 0, 42, 0, ...new Array<number>(60).fill(7)]);

/** The first packet with VLAN 42. */
const TAGGED = tagged(ip(6, tcp(80, 0x10)), 42);

function tagged(packet: Uint8Array, vid: number): Uint8Array {
  return Uint8Array.of(...packet.subarray(0, 12), 0x81, 0, vid >> 8, vid & 255, ...packet.subarray(12));
}

/** IPv6 with hop-by-hop, routing (type 4) and destination options before a DNS query, and with routing type 0. */
const EXTENSIONS = (type: number): Uint8Array =>
  ipv6(0, [...[43, 0, 1, 4, 0, 0, 0, 0], ...[60, 0, type, 0, 0, 0, 0, 0], ...[17, 0, 1, 4, 0, 0, 0, 0], ...QUERY]);
/** A SYN with NOP, window scale and MSS 1460. */
const SYN_OPTIONS = ip(6, [
  ...tcp(443, 0x02).slice(0, 12),
  0x80,
  0x02,
  ...tcp(443, 0x02).slice(14),
  1,
  3,
  3,
  7,
  2,
  4,
  5,
  0xb4,
  1,
  1,
  1,
  0,
]);

const WHOLE: readonly Uint8Array[] = [
  ip(6, tcp(80, 0x10)),
  ip(6, tcp(443, 0x02)),
  ip(6, tcp(80, 0x12), 3),
  ip(17, udp(53, [1, 2, 3])),
  ip(17, QUERY),
  ip(17, QUERY, 1),
  ip(17, VXLAN),
  ip(17, udp(4789, [0, 0, 0, 0, 0, 0, 42, 0])),
  ip(1, [8, 0, 0xf7, 0xff, 0, 0, 0, 0]),
  ipv6(6, tcp(80, 0x02)),
  ipv6(17, QUERY),
  ipv6(58, [128, 0, 0, 0, 0, 0, 0, 0]),
  EXTENSIONS(4),
  EXTENSIONS(0),
  SYN_OPTIONS,
  TAGGED,
  new Uint8Array(64).fill(0xff),
];

/** The whole packets, and each cut short at every eighth byte. */
export const CORPUS: readonly Uint8Array[] = WHOLE.flatMap((p) => {
  const out = [p];
  for (let n = 14; n < p.length; n += 8) out.push(p.slice(0, n));
  return out;
});

export const PLAIN = ip(6, tcp(80, 0x10));

const ADDRESSES = "0a0000010a000002";
export const CASES: Readonly<Record<string, Case>> = {
  conntrack: { verdict: 2 },
  ext6: { verdict: 3, packet: EXTENSIONS(4) },
  maglev: {
    verdict: 3,
    once: true,
    maps: {
      vips: [["0a00000200500600", "07000000"]],
      reals: [["00000000", "c0a80a01"]],
    },
  },
  "mss-clamp": { verdict: 3, packet: SYN_OPTIONS, once: true },
  "parse-drop": { verdict: 1, packet: ip(6, tcp(443, 0x10)) },
  "tc-mark": { verdict: 0, maps: { classes: [["0a000000", "0500000003000000"]] } },
  "vlan-push": { verdict: 3, maps: { ports: [["01000000", "2a00"]] }, once: true },
  "dns-match": { packet: ip(17, QUERY) },
  events: { packet: ip(6, tcp(443, 0x02)) },
  balance: { once: true },
  napt: {
    verdict: 3,
    maps: { nat: [[`${ADDRESSES}9c400050`, "c0a8010130390000"]] },
    // Without an answer to the rewritten packet the second run only looks it up.
    once: true,
  },
  syncookie: { verdict: 3, packet: ip(6, tcp(443, 0x02)), maps: { secret: [["00000000", "efbeadde"]] }, once: true },
  "vlan-pop": { verdict: 2, packet: TAGGED, maps: { vids: [["2a000000", "02000000"]] }, once: true },
  "vxlan-decap": { verdict: 2, packet: ip(17, VXLAN), maps: { vnis: [["2a000000", "02000000"]] }, once: true },
  "vxlan-encap": { verdict: 3, maps: { tunnels: [["0a000002", "c0a80101c0a801022a000000"]] }, once: true },
};
