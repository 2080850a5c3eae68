/**
 * The library's headers and the parsers made from them, on packets of every protocol, whole, cut short and broken: where
 * each header was found is what a plain reading of the bytes finds. On interpreter, JIT and kernel.
 */
import { compile } from "@ebplane/compiler";
import { toHex } from "@ebplane/core/bytes";
import { decode } from "@ebplane/core/isa";
import type { CollectionSpec, Target } from "@ebplane/core/object";
import { SimTarget } from "@ebplane/core/sim";
import * as w from "@ebplane/core/wire";
import { linuxTarget } from "@ebplane/linux";
import { createTopology, kernelSkipReason } from "@ebplane/linux/testing";
import { describe, expect, test } from "vitest";

const skip = kernelSkipReason();
const ENGINES = [
  ["interpreter", () => new SimTarget({ engine: "interp" }), undefined],
  ["JIT", () => new SimTarget({ engine: "jit" }), undefined],
  ["kernel", () => linuxTarget(), skip],
] as const;

/** A name in the program, the header it is, and how often it may come. */
type Graph = readonly (readonly [name: string, header: string, most?: number])[];

const GRAPHS: Readonly<Record<string, Graph>> = {
  link: [
    ["eth", "ethernet"],
    ["outerTag", "vlan"],
    ["tag", "vlan"],
    ["arp", "arp"],
    ["ip", "ipv4"],
    ["icmp", "icmp"],
    ["sctp", "sctp"],
    ["udp", "udp"],
    ["dns", "dns"],
    ["quic", "quic"],
    ["long", "quicLong"],
  ],
  extensions: [
    ["eth", "ethernet"],
    ["ip6", "ipv6"],
    ["ext", "ipv6Ext", 4],
    ["frag", "ipv6Frag"],
    ["ah", "ah"],
    ["esp", "esp"],
    ["icmp6", "icmp6"],
    ["tcp", "tcp"],
  ],
  labels: [
    ["eth", "ethernet"],
    ["label", "mpls", 3],
    ["pppoe", "pppoe"],
    ["ip4", "ipv4"],
    ["ip6", "ipv6"],
    ["gre", "gre"],
    ["inner4", "ipv4"],
    ["inner6", "ipv6"],
    ["tcp", "tcp"],
  ],
  tunnels: [
    ["eth", "ethernet"],
    ["ip4", "ipv4"],
    ["udp", "udp"],
    ["vxlan", "vxlan"],
    ["geneve", "geneve"],
    ["gue", "gue"],
    ["innerEth", "ethernet"],
    ["inner4", "ipv4"],
    ["innerTcp", "tcp"],
  ],
};

const ABSENT = 0xffff;

/** A program that writes each header's offset into a map. */
function program(graph: Graph): string {
  const headers = [...new Set(graph.map(([, h]) => h))];
  const named = graph.map(([name, h, most]) => `${name}: ${most ? `repeat(${h}, ${most})` : h}`);
  return `import { array, arrayOf, repeat, struct, u16, xdp, ${headers.join(", ")} } from "ebplane/bpf";
const Found = struct({ at: arrayOf(u16, ${graph.length}), end: u16, truncated: u16 });
export const found = array(Found, { maxEntries: 1 });
export const main = xdp((ctx) => {
  const p = ctx.packet();
  const h = p.parse({ ${named.join(", ")} });
  const f = found.lookup(0);
  if (!f) return 0;
${graph.map(([name], k) => `  f.at[${k}] = h.${name} ? u16(ctx.offset(h.${name})) : ${ABSENT};`).join("\n")}
  f.end = u16(p.offset);
  f.truncated = u16(h.truncated);
  return 2;
});`;
}

interface Reading {
  readonly size: number;
  /** Bytes of the whole header; below \`size\` where it is malformed. */
  readonly length: number;
  /** The headers that it announces. */
  readonly next: readonly string[];
}

const ETHER: Record<number, string> = {
  2048: "ipv4", 34525: "ipv6", 2054: "arp", 33024: "vlan", 34984: "vlan", 34887: "mpls", 34888: "mpls",
  34916: "pppoe", 25944: "ethernet",
}; // biome-ignore format: a table
const IP: Record<number, string> = {
  0: "ipv6Ext",
  1: "icmp",
  4: "ipv4",
  6: "tcp",
  17: "udp",
  41: "ipv6",
  43: "ipv6Ext",
  44: "ipv6Frag",
  47: "gre",
  50: "esp",
  51: "ah",
  58: "icmp6",
  60: "ipv6Ext",
  132: "sctp",
  135: "ipv6Ext",
};
const UDP: Record<number, string> = { 53: "dns", 443: "quic", 4789: "vxlan", 6080: "gue", 6081: "geneve" };
const SIZES: Record<string, number> = {
  ethernet: 14,
  vlan: 4,
  arp: 28,
  ipv4: 20,
  ipv6: 40,
  ipv6Ext: 8,
  ipv6Frag: 8,
  ah: 12,
  esp: 8,
  icmp: 8,
  icmp6: 8,
  tcp: 20,
  udp: 8,
  sctp: 12,
  dns: 12,
  quic: 1,
  quicLong: 5,
  mpls: 4,
  pppoe: 8,
  gre: 4,
  vxlan: 8,
  geneve: 8,
  gue: 4,
};

/** A plain reading of one header; undefined where the packet ends in its fixed part. */
function read(header: string, b: Uint8Array, at: number): Reading | undefined {
  const size = SIZES[header]!;
  if (at + size > b.length) return undefined;
  const v = new DataView(b.buffer, b.byteOffset + at);
  const made = (length: number, next: string | undefined): Reading => ({ size, length, next: next ? [next] : [] });
  switch (header) {
    case "ethernet":
      return made(14, ETHER[v.getUint16(12)]);
    case "vlan":
      return made(4, ETHER[v.getUint16(2)]);
    case "pppoe":
      return made(8, ({ 33: "ipv4", 87: "ipv6" } as Record<number, string>)[v.getUint16(6)]);
    case "ipv4":
      return made((v.getUint8(0) & 15) * 4, v.getUint16(6) & 0x1fff ? undefined : IP[v.getUint8(9)]);
    case "ipv6":
      return made(40, IP[v.getUint8(6)]);
    case "ipv6Ext":
      return made((v.getUint8(1) + 1) * 8, IP[v.getUint8(0)]);
    case "ipv6Frag":
      return made(8, v.getUint16(2) >> 3 ? undefined : IP[v.getUint8(0)]);
    case "ah":
      return made((v.getUint8(1) + 2) * 4, IP[v.getUint8(0)]);
    case "tcp":
      return made((v.getUint8(12) >> 4) * 4, undefined);
    case "udp":
      return made(8, UDP[v.getUint16(2)]);
    case "gre": {
      const flags = v.getUint8(0);
      const words = [0x80, 0x20, 0x10].filter((f) => flags & f).length;
      return made(4 + 4 * words, flags & 0x40 || v.getUint8(1) & 7 ? undefined : ETHER[v.getUint16(2)]);
    }
    case "vxlan":
      return made(8, v.getUint8(0) & 8 ? "ethernet" : undefined);
    case "geneve":
      return made(8 + (v.getUint8(0) & 63) * 4, ETHER[v.getUint16(2)]);
    case "gue":
      return made(4 + (v.getUint8(0) & 31) * 4, v.getUint8(0) >> 5 ? undefined : IP[v.getUint8(1)]);
    case "mpls": {
      if (!(v.getUint8(2) & 1)) return made(4, "mpls");
      const version = at + 4 < b.length ? v.getUint8(4) >> 4 : 0xff;
      return made(4, version === 4 ? "ipv4" : version === 6 ? "ipv6" : undefined);
    }
    case "quic":
      return made(1, v.getUint8(0) & 0x80 ? "quicLong" : undefined);
    case "quicLong":
      return made(5 + v.getUint8(4), undefined);
    default:
      return made(size, undefined);
  }
}

/** What the program must find: offsets by the graph's names, where the cursor ends, whether something was cut. */
function expected(graph: Graph, b: Uint8Array): string {
  const nodes = graph.flatMap(([name, header, most = 1]) => new Array<[string, string]>(most).fill([name, header]));
  const found = new Map<string, number>();
  let at = 0;
  let truncated = 0;
  for (let k = 0; k >= 0; ) {
    const [name, header] = nodes[k]!;
    const r = read(header, b, at);
    if (!r || r.length < r.size) {
      truncated = 1;
      break;
    }
    found.set(name, at);
    at += r.length;
    k = nodes.findIndex(([, h], n) => n > k && r.next.includes(h));
  }
  return `${graph.map(([name]) => found.get(name) ?? ABSENT).join(" ")} end ${at} truncated ${truncated}`;
}

const NEXT_HEADER = 14 + 6;
const IPV6_END = 14 + 40;

/** An IPv6 packet with another header behind IPv6, which says what was there. */
function behindIpv6(packet: Uint8Array, protocol: number, header: (next: number) => readonly number[]): Uint8Array {
  const inserted = header(packet[NEXT_HEADER]!);
  const out = Uint8Array.of(...packet.subarray(0, IPV6_END), ...inserted, ...packet.subarray(IPV6_END));
  out[NEXT_HEADER] = protocol;
  return out;
}

/** RFC 4302 2.2 (its length counts words, minus two) and RFC 4303 2. */
const AH = (next: number) => [next, 4, 0, 0, 0, 0, 1, 2, 0, 0, 0, 1, ...new Array<number>(12).fill(0xa5)];
const ESP = () => [0, 0, 1, 2, 0, 0, 0, 1];

/** Packets of every kind, each also cut at a few places: as short as a driver may deliver. */
function corpus(): Uint8Array[] {
  const layered: (readonly w.LayerSpec[])[] = [
    [w.ethernet(), w.ipv4({ options: new Uint8Array(8) }), w.tcp({ options: new Uint8Array(12) })],
    [w.ethernet(), w.vlan({ provider: true, id: 5 }), w.vlan({ id: 6 }), w.ipv6(), w.udp()],
    [
      w.ethernet(),
      w.ipv6(),
      w.ipv6Extension({ type: 0, body: new Uint8Array(6) }),
      w.ipv6Extension({ type: 60, body: new Uint8Array(14) }),
      w.ipv6Fragment(),
      w.tcp(),
    ],
    [w.ethernet(), w.ipv4(), w.gre({ key: 7, sequence: 9 }), w.ipv6(), w.udp()],
    [w.ethernet(), w.ipv6(), w.udp(), w.vxlan({ vni: 42 }), w.ethernet(), w.ipv4(), w.tcp()],
    [w.ethernet(), w.ipv4(), w.udp(), w.geneve({ options: new Uint8Array(8) }), w.ethernet(), w.ipv6(), w.tcp()],
    [w.ethernet(), w.ipv4(), w.udp(), w.gue(), w.ipv4(), w.udp()],
    [w.ethernet(), w.mpls({ label: 16 }), w.mpls({ label: 17 }), w.ipv6(), w.udp()],
    [w.ethernet(), w.pppoe(), w.ipv4(), w.udp()],
    [w.ethernet(), w.ipv4(), w.ipv4(), w.tcp()],
    [w.ethernet(), w.ipv4(), w.ipv6(), w.tcp()],
    [w.ethernet(), w.ipv4(), w.sctp()],
    [
      w.ethernet(),
      w.ipv4(),
      w.udp(),
      w.dns({ question: { labels: [new TextEncoder().encode("example")], type: 1, class: 1 } }),
    ],
  ];
  const packets = layered.map((layers) => w.buildPacket([...layers], new Uint8Array(24)));
  const tcp6 = w.buildPacket([w.ethernet(), w.ipv6(), w.tcp()], new Uint8Array(24));
  packets.push(behindIpv6(tcp6, 51, AH), behindIpv6(tcp6, 50, ESP), behindIpv6(behindIpv6(tcp6, 50, ESP), 51, AH));
  for (const { bytes } of w.generatePackets({ seed: 5, broken: 0.4 })) {
    if (bytes.length >= 14 && bytes.length <= 1500) packets.push(bytes);
    if (packets.length === 160) break;
  }
  return packets.flatMap((p, k) => [p, p.slice(0, Math.max(14, Math.floor(p.length * ((k % 7) / 7))))]);
}

const CORPUS = corpus();

function measured(target: Target, graph: Graph): string[] {
  const { spec } = compile({ entry: "p.bpf.ts", files: new Map([["p.bpf.ts", program(graph)]]) });
  const loaded = target.load(spec);
  try {
    const map = loaded.maps.get("found")!;
    return CORPUS.map((packet) => {
      map.update(new Uint8Array(4), new Uint8Array(2 * graph.length + 4));
      expect(loaded.programs.get("main")!.testRun({ packet }).verdict).toBe(2);
      const words = new Uint16Array(map.lookup(new Uint8Array(4))!.slice().buffer);
      return `${[...words.subarray(0, graph.length)].join(" ")} end ${words[graph.length]} truncated ${words[graph.length + 1]}`;
    });
  } finally {
    loaded.close();
  }
}

describe.each(ENGINES)("on the %s", (_, target, why) => {
  test.skipIf(why).each(Object.entries(GRAPHS))(
    "every header of the graph %s is found where it lies",
    (_name, graph) => {
      const got = measured(target(), graph);
      const wrong = CORPUS.flatMap((p, k) => {
        const want = expected(graph, p);
        return got[k] === want ? [] : [`${toHex(p)}\n  found    ${got[k]}\n  expected ${want}`];
      });
      expect(wrong.slice(0, 3)).toEqual([]);
    },
  );
});

test("the corpus has every header of each graph", () => {
  for (const graph of Object.values(GRAPHS)) {
    const lines = CORPUS.map((p) => expected(graph, p).split(" "));
    const never = graph.filter((_, k) => lines.every((l) => Number(l[k]) === ABSENT)).map(([name]) => name);
    expect(never).toEqual([]);
  }
});

// ---- what is emitted ----

const WEB = (headers: string, condition: string) => `
import { be16, ethernet, geneve, ipv4, ipv6, tcp, udp, vlan, vxlan, xdp, XDP_DROP, XDP_PASS } from "ebplane/bpf";
export const main = xdp((ctx) => {
  const h = ctx.packet().parse({ ${headers} });
  if (${condition}) return XDP_DROP;
  return XDP_PASS;
});`;
const sizeOf = (text: string): number =>
  compile({ entry: "p.bpf.ts", files: new Map([["p.bpf.ts", text]]) }).spec.programs.get("main")!.code.length / 8;

test("what the program does not ask for is not emitted", () => {
  const ALL = "eth: ethernet, tag: vlan, ip: ipv4, ip6: ipv6, tcp, udp, vxlan, geneve";
  expect(sizeOf(WEB(ALL, "false"))).toBe(2);
  // Only Ethernet: IP and all behind it are gone.
  expect(sizeOf(WEB(ALL, "h.eth && h.eth.proto === be16(0x0806)"))).toBe(
    sizeOf(WEB("eth: ethernet", "h.eth && h.eth.proto === be16(0x0806)")),
  );
  // Of TCP over IPv4 nothing of UDP and tunnels.
  const tcp80 = "h.ip && h.tcp && h.tcp.dest === be16(80)";
  expect(sizeOf(WEB("eth: ethernet, ip: ipv4, tcp, udp, vxlan, geneve", tcp80))).toBe(
    sizeOf(WEB("eth: ethernet, ip: ipv4, tcp", tcp80)),
  );
});

/** Comparisons of a packet pointer with another register: the bounds checks. */
function checks(text: string): number {
  const { code } = compile({ entry: "p.bpf.ts", files: new Map([["p.bpf.ts", text]]) }).spec.programs.get("main")!;
  return decode(code).filter((i) => [0x2d, 0x3d, 0xad, 0xbd].includes(i.opcode)).length;
}

test("one bounds check covers a header, and one that was made is not made again", () => {
  const once = `import { ethernet, ipv4, udp, xdp } from "ebplane/bpf";
export const main = xdp((ctx) => {
  const p = ctx.packet();
  const eth = p.take(ethernet);
  if (!eth) return 1;
  const ip = p.peek(ipv4);
  if (!ip) return 1;
  AGAIN
  return eth.src[0] + eth.dst[5] + ip.ttl + ip.tos + ip.protocol;
});`;
  expect(checks(once.replace("AGAIN", ""))).toBe(2);
  const again = `const e2 = ctx.header(ethernet);
  const i2 = ctx.header(ipv4, 14);
  const q = ctx.packet();
  const e3 = q.take(ethernet);
  const i3 = q.peek(ipv4);
  if (!e2 || !i2 || !e3 || !i3) return 9;
  if (i2.saddr !== i3.daddr) return e2.proto === e3.proto ? 3 : 4;`;
  expect(checks(once.replace("AGAIN", again))).toBe(2);
  // A shorter header at the same place lies in the longer one.
  expect(checks(once.replace("AGAIN", "if (!p.peek(udp)) return 9;"))).toBe(2);
});

test("a generated parser is as small as one written by hand", () => {
  const byHand = `
import { be16, ETH_P_IP, ethernet, IPPROTO_TCP, ipv4, isLaterFragment, tcp, xdp, XDP_DROP, XDP_PASS } from "ebplane/bpf";
export const main = xdp((ctx) => {
  const p = ctx.packet();
  const eth = p.take(ethernet);
  if (!eth || eth.proto !== be16(ETH_P_IP)) return XDP_PASS;
  const ip = p.take(ipv4);
  if (!ip || isLaterFragment(ip) || ip.protocol !== IPPROTO_TCP) return XDP_PASS;
  const t = p.take(tcp);
  if (!t || t.dest !== be16(80)) return XDP_PASS;
  return XDP_DROP;
});`;
  expect(sizeOf(WEB("eth: ethernet, ip: ipv4, tcp", "h.tcp && h.tcp.dest === be16(80)"))).toBeLessThanOrEqual(
    sizeOf(byHand),
  );
});

// ---- headers of one's own, other starts ----

const OWN = `
import { be16, be32, bits, ethernet, etherType, header, ipv4, ipv6, protocols, tc, tcp, u8, udp, udpPort, xdp } from "ebplane/bpf";
const kind = protocols(u8);
/** A telemetry protocol on UDP port 9999, and what it carries. */
const telemetry = header(
  { version: bits(4), words: bits(4), kind: u8, id: be16 },
  { length: (h) => 4 + h.words * 4, is: [[udpPort, 9999]], next: [kind, (h) => h.kind] },
);
const sample = header({ value: be32 }, { is: [[kind, 1]] });
const alarm = header({ level: u8 }, { is: [[kind, 7], [kind, 8]] });
export const main = xdp((ctx) => {
  const h = ctx.packet().parse({ eth: ethernet, ip: ipv4, udp, telemetry, sample, alarm });
  if (h.truncated) return 1;
  if (h.sample) return h.sample.value === be32(77) ? 42 : 2;
  if (h.alarm) return 100 + h.alarm.level;
  return h.telemetry ? 3 : 4;
});
export const hosted = tc.ingress((ctx) => {
  const p = ctx.packet();
  p.skip(14);
  const h = p.parse({ ip: ipv4, ip6: ipv6, tcp, udp }, [etherType, ctx.protocol]);
  if (h.ip) return h.udp ? 1 : 0;
  return h.ip6 && h.tcp ? 1 : 0;
});
`;

describe.each(ENGINES)("on the %s", (_, target, why) => {
  test.skipIf(why)("headers of one's own take part in the graph", () => {
    const { spec } = compile({ entry: "p.bpf.ts", files: new Map([["p.bpf.ts", OWN]]) });
    using loaded = target().load(spec, { programs: ["main"] });
    const run = (...payload: number[]): number => {
      const packet = w.buildPacket(
        [w.ethernet(), w.ipv4(), w.udp({ destinationPort: 9999 })],
        Uint8Array.from(payload),
      );
      return loaded.programs.get("main")!.testRun({ packet }).verdict;
    };
    expect(run(0x10, 1, 0, 0, 0, 0, 0, 77)).toBe(42);
    expect(run(0x11, 1, 0, 0, 9, 9, 9, 9, 0, 0, 0, 77)).toBe(42);
    expect(run(0x10, 1, 0, 0, 0, 0, 77)).toBe(1);
    expect(run(0x10, 8, 0, 0, 5)).toBe(105);
    expect(run(0x10, 9, 0, 0, 5)).toBe(3);
  });

  test.skipIf(why)("a parser starts with what the context's protocol says", () => {
    const { spec } = compile({ entry: "p.bpf.ts", files: new Map([["p.bpf.ts", OWN]]) });
    using loaded = target().load(spec, { programs: ["hosted"] });
    const run = (...layers: w.LayerSpec[]): number =>
      loaded.programs.get("hosted")!.testRun({ packet: w.buildPacket([w.ethernet(), ...layers], new Uint8Array(32)) })
        .verdict;
    expect(run(w.ipv4(), w.udp())).toBe(1);
    expect(run(w.ipv4(), w.tcp())).toBe(0);
    expect(run(w.ipv6(), w.tcp())).toBe(1);
    expect(run(w.ipv6(), w.udp())).toBe(0);
  });
});

// ---- the result handed on ----

const CHAIN = `
import { array, be16, ethernet, ipv4, ipv6, progArray, restoreParsed, saveParsed, tc, tcp, u32, udp, xdp, XDP_PASS } from "ebplane/bpf";
export const next = progArray({ maxEntries: 2 });
export const seen = array(u32, { maxEntries: 3 });
const HEADERS = { eth: ethernet, ip: ipv4, ip6: ipv6, tcp, udp };
export const first = xdp((ctx) => {
  const h = ctx.packet().parse(HEADERS);
  if (saveParsed(ctx, h) === 0) next.tailCall(ctx, 0);
  return XDP_PASS;
});
/** 10 for TCP, 20 for UDP, plus the address family; 1 where nothing was handed on. */
export const second = xdp((ctx) => {
  const h = restoreParsed(ctx, HEADERS);
  if (!h) return 1;
  if (h.truncated) return 2;
  const family = h.ip ? 4 : h.ip6 ? 6 : 0;
  if (h.tcp) return h.tcp.dest === be16(80) ? 10 + family : 3;
  return h.udp ? 20 + family : family;
});
/** Other names: not what was handed on. */
export const stranger = xdp((ctx) => (restoreParsed(ctx, { eth: ethernet, ip: ipv4 }) ? 9 : 5));
export const mark = xdp((ctx) => {
  saveParsed(ctx, ctx.packet().parse(HEADERS));
  return XDP_PASS;
});
export const ingress = tc.ingress((ctx) => {
  const handed = restoreParsed(ctx, HEADERS);
  const s = seen.lookup(handed ? (handed.udp ? 2 : 1) : 0);
  if (s) s.value += 1;
  return 0;
});
`;

function chain(slot: string): CollectionSpec {
  const { spec } = compile({ entry: "p.bpf.ts", files: new Map([["p.bpf.ts", CHAIN]]) });
  const contents = [{ key: new Uint8Array(4), value: { program: slot } }];
  return { ...spec, maps: new Map([...spec.maps, ["next", { ...spec.maps.get("next")!, contents }]]) };
}

describe.each(ENGINES)("on the %s", (_, target, why) => {
  test.skipIf(why)("the next program reads in the metadata where the headers are", () => {
    const packet = (...layers: w.LayerSpec[]) => w.buildPacket([w.ethernet(), ...layers], new Uint8Array(30));
    {
      using loaded = target().load(chain("second"), { programs: ["first", "second"] });
      const run = (bytes: Uint8Array): number => loaded.programs.get("first")!.testRun({ packet: bytes }).verdict;
      expect(run(packet(w.ipv4(), w.tcp({ destinationPort: 80 })))).toBe(14);
      expect(run(packet(w.ipv6(), w.tcp({ destinationPort: 80 })))).toBe(16);
      expect(run(packet(w.ipv4({ options: new Uint8Array(12) }), w.udp()))).toBe(24);
      expect(run(packet(w.ipv6(), w.icmpv6()))).toBe(6);
      expect(run(packet(w.arp()))).toBe(0);
      expect(run(packet(w.ipv4(), w.tcp()).slice(0, 40))).toBe(2);
      const alone = loaded.programs.get("second")!.testRun({ packet: packet(w.ipv4(), w.udp()) });
      expect(alone.verdict).toBe(1);
    }
    using loaded = target().load(chain("stranger"), { programs: ["first", "stranger"] });
    expect(loaded.programs.get("first")!.testRun({ packet: packet(w.ipv4(), w.udp()) }).verdict).toBe(5);
  });
});

test.skipIf(skip)("tc reads what XDP found, over a real interface", () => {
  using net = createTopology();
  const target = linuxTarget({ netns: net.edge.fd });
  using loaded = target.load(chain("second"), { programs: ["mark", "ingress"] });
  const seen = (k: number) => loaded.maps.get("seen")!.lookup(Uint8Array.of(k, 0, 0, 0))![0]!;
  const ping = () => net.client.spawnSync("ping", ["-c2", "-i0.2", "-W5", "10.2.0.2"]).status;
  using _tc = target.attach(loaded.programs.get("ingress")!, { kind: "tc", iface: "e0", direction: "ingress" });
  expect(ping()).toBe(0);
  const without = seen(0);
  expect([without >= 2, seen(1), seen(2)]).toEqual([true, 0, 0]);
  using _xdp = target.attach(loaded.programs.get("mark")!, { kind: "xdp", iface: "e0", mode: "native" });
  expect(ping()).toBe(0);
  // Nobody else's packets are counted on: what the kernel sends by itself comes with metadata too.
  expect([seen(0), seen(1) >= 2]).toEqual([without, true]);
});
