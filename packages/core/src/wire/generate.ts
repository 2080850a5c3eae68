/**
 * A seeded stream of packets for tests: every protocol of this folder, well-formed for the most part, slightly broken
 * when asked. The same seed and options give the same packets, so a failing test prints them both and is repeatable.
 *
 * "Slightly broken" is one defect in an otherwise sound packet: what a parser is most likely to get wrong. For bytes
 * that are noise all over, draw them oneself.
 */
import { type SeededRandom, seededRandom, viewOf } from "../bytes/index.ts";
import { parseIpv4, parseIpv6 } from "./address.ts";
import * as build from "./build.ts";
import { emitNdp, ICMPV6_NEIGHBOUR_SOLICITATION } from "./icmpv6.ts";
import { IPPROTO_DSTOPTS, IPPROTO_HOPOPTS, IPPROTO_ROUTING } from "./numbers.ts";
import { emitTcpOptions, TCP_ACK, TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN, type TcpOption } from "./tcp.ts";

/** The kinds of packets, by what is innermost of their headers. */
export const PACKET_KINDS = [
  "arp",
  "icmp",
  "tcp",
  "udp",
  "dns",
  "quic",
  "sctp",
  "fragment",
  "icmpv6",
  "ndp",
  "tcp6",
  "udp6",
  "fragment6",
  "extensions6",
  "ipip",
  "gre",
  "vxlan",
  "geneve",
  "gue",
  "mpls",
  "pppoe",
  "ethertype",
] as const;
export type PacketKind = (typeof PACKET_KINDS)[number];

export interface GeneratorOptions {
  readonly seed: number;
  /** Default all. */
  readonly kinds?: readonly PacketKind[];
  /** Probability of one or two VLAN tags; default 0.2. */
  readonly tagged?: number;
  /** Probability of one defect; default 0.25. */
  readonly broken?: number;
  /** Most bytes of innermost payload; default 256. */
  readonly maxPayload?: number;
  /** Pools to draw from, so that rules and tables under test are hit; default a few documentation addresses. */
  readonly addresses4?: readonly string[];
  readonly addresses6?: readonly string[];
  readonly ports?: readonly number[];
}

export interface GeneratedPacket {
  /** An Ethernet frame, at least 1 byte. */
  readonly bytes: Uint8Array;
  readonly kind: PacketKind;
  /** What is wrong with it, in words; undefined when it is well-formed. */
  readonly defect?: string;
}

const ADDRESSES_4 = ["10.0.0.1", "10.0.0.2", "192.0.2.1", "198.51.100.7", "203.0.113.255", "127.0.0.1", "224.0.0.1"];
const ADDRESSES_6 = ["2001:db8::1", "2001:db8:1::2", "fe80::1", "ff02::1", "::ffff:192.0.2.1", "::1"];
const PORTS = [22, 53, 80, 123, 443, 1024, 4789, 8080, 49152, 65535];

/** The options with their defaults, the addresses parsed once. */
interface Pools {
  readonly tagged: number;
  readonly maxPayload: number;
  readonly addresses4: readonly Uint8Array[];
  readonly addresses6: readonly Uint8Array[];
  readonly ports: readonly number[];
}

/**
 * Packets without end: take as many as wanted.
 * @throws BpfError EADDRESS for an address of the options that is none.
 */
export function* generatePackets(options: GeneratorOptions): Generator<GeneratedPacket, never> {
  const random = seededRandom(options.seed);
  const kinds = options.kinds ?? PACKET_KINDS;
  const pools: Pools = {
    tagged: options.tagged ?? 0.2,
    maxPayload: options.maxPayload ?? 256,
    addresses4: (options.addresses4 ?? ADDRESSES_4).map(parseIpv4),
    addresses6: (options.addresses6 ?? ADDRESSES_6).map(parseIpv6),
    ports: options.ports ?? PORTS,
  };
  for (;;) {
    const kind = random.pick(kinds);
    const sound = frameOf(kind, random, pools);
    yield random.chance(options.broken ?? 0.25) ? { kind, ...broken(sound, random) } : { kind, bytes: sound };
  }
}

function frameOf(kind: PacketKind, random: SeededRandom, pools: Pools): Uint8Array {
  const layers: build.LayerSpec[] = [build.ethernet(random.chance(0.1) ? { destination: "ff:ff:ff:ff:ff:ff" } : {})];
  if (random.chance(pools.tagged)) {
    const twice = random.chance(0.3);
    const tag = (provider: boolean) =>
      build.vlan({ provider, id: random.below(4096), priority: random.below(8), dropEligible: random.chance(0.2) });
    layers.push(tag(twice), ...(twice ? [tag(false)] : []));
  }
  const { inside, payload } = contentsOf(kind, random, pools);
  return build.buildPacket([...layers, ...inside], payload);
}

/** The layers inside the frame. */
function contentsOf(
  kind: PacketKind,
  random: SeededRandom,
  pools: Pools,
): { inside: build.LayerSpec[]; payload: Uint8Array } {
  const payload = random.bytes(random.below(pools.maxPayload + 1));
  const inside = (...layers: build.LayerSpec[]) => ({ inside: layers, payload });
  const address4 = () => random.pick(pools.addresses4);
  const address6 = () => random.pick(pools.addresses6);
  const port = () => random.pick(pools.ports);
  const ports = () => ({ sourcePort: port(), destinationPort: port() });
  const ip4 = (more: Partial<Parameters<typeof build.ipv4>[0]> = {}) =>
    build.ipv4({
      source: address4(),
      destination: address4(),
      ttl: random.pick([0, 1, 2, 64, 255]),
      tos: random.below(256),
      identification: random.below(65536),
      dontFragment: random.chance(0.5),
      options: random.chance(0.15) ? optionsOf(random) : new Uint8Array(),
      ...more,
    });
  const ip6 = () =>
    build.ipv6({
      source: address6(),
      destination: address6(),
      hopLimit: random.pick([0, 1, 64, 255]),
      trafficClass: random.below(256),
      flowLabel: random.below(1 << 20),
    });
  const tcp = () =>
    build.tcp({
      ...ports(),
      sequence: random.u32(),
      acknowledgement: random.u32(),
      flags: random.pick([TCP_SYN, TCP_SYN | TCP_ACK, TCP_ACK, TCP_PSH | TCP_ACK, TCP_FIN | TCP_ACK, TCP_RST, 0, 0xff]),
      window: random.below(65536),
      options: tcpOptionsOf(random),
    });
  const innermost = () =>
    random.chance(0.5)
      ? [ip4(), random.chance(0.5) ? tcp() : build.udp(ports())]
      : [ip6(), random.chance(0.5) ? tcp() : build.udp(ports())];

  switch (kind) {
    case "arp": {
      const fields = { operation: random.pick([1, 2]), senderProtocol: address4(), targetProtocol: address4() };
      return { inside: [build.arp(fields)], payload: new Uint8Array(random.pick([0, 18])) };
    }
    case "icmp":
      return inside(
        ip4(),
        build.icmp({ type: random.pick([0, 3, 5, 8, 11, 12]), code: random.below(5), rest: random.u32() }),
      );
    case "tcp":
      return inside(ip4(), tcp());
    case "udp":
      return inside(ip4(), build.udp(random.chance(0.1) ? { ...ports(), checksum: 0 } : ports()));
    case "dns": {
      const labels = Array.from({ length: random.below(4) }, () => random.bytes(1 + random.below(12)));
      const question = { labels, type: random.pick([1, 28, 16, 255]), class: 1 };
      const udp = build.udp({ sourcePort: port(), destinationPort: 53 });
      return {
        inside: [random.chance(0.5) ? ip4() : ip6(), udp, build.dns({ id: random.below(65536), question })],
        payload: new Uint8Array(),
      };
    }
    case "quic": {
      const ids = { destinationId: random.bytes(random.below(21)), sourceId: random.bytes(random.below(21)) };
      const long = {
        form: "long",
        bits: 0x40 | random.below(64),
        version: random.pick([0, 1, 0x6b3343cf]),
        ...ids,
      } as const;
      const quic = random.chance(0.5) ? long : ({ form: "short", bits: 0x40 | random.below(64) } as const);
      return inside(ip4(), build.udp({ sourcePort: port(), destinationPort: 443 }), build.quic(quic));
    }
    case "sctp":
      return inside(ip4(), build.sctp({ ...ports(), verificationTag: random.u32() }));
    case "fragment": {
      const fragmentOffset = random.chance(0.4) ? 0 : random.pick([8, 16, 1480, 65528]);
      const moreFragments = fragmentOffset === 0 || random.chance(0.5);
      return inside(ip4({ fragmentOffset, moreFragments, dontFragment: false }), build.udp(ports()));
    }
    case "icmpv6":
      return inside(
        ip6(),
        build.icmpv6({ type: random.pick([1, 2, 3, 4, 128, 129, 143]), code: random.below(5), rest: random.u32() }),
      );
    case "ndp": {
      const option = { type: 1, data: random.bytes(6) };
      const body = emitNdp({ target: address6(), options: random.chance(0.7) ? [option] : [] });
      return { inside: [ip6(), build.icmpv6({ type: ICMPV6_NEIGHBOUR_SOLICITATION })], payload: body };
    }
    case "tcp6":
      return inside(ip6(), tcp());
    case "udp6":
      return inside(ip6(), build.udp(ports()));
    case "fragment6": {
      const offset = random.chance(0.4) ? 0 : random.pick([8, 1448, 65528]);
      const fragment = { offset, moreFragments: offset === 0 || random.chance(0.5), identification: random.u32() };
      return inside(ip6(), build.ipv6Fragment(fragment), build.udp(ports()));
    }
    case "extensions6": {
      const extension = () => {
        const type = random.pick([IPPROTO_HOPOPTS, IPPROTO_ROUTING, IPPROTO_DSTOPTS]);
        const body = new Uint8Array(6 + 8 * random.below(3));
        // Routing: an experimental type with no segments left; the others: one PadN over all.
        if (type === IPPROTO_ROUTING) body[0] = 253;
        else body.set([1, body.length - 2]);
        return build.ipv6Extension({ type, body });
      };
      const chain = Array.from({ length: 1 + random.below(random.chance(0.1) ? 12 : 3) }, extension);
      return inside(ip6(), ...chain, random.chance(0.5) ? tcp() : build.udp(ports()));
    }
    case "ipip":
      return inside(random.chance(0.5) ? ip4() : ip6(), ...innermost());
    case "gre": {
      const fields = {
        ...(random.chance(0.5) ? { key: random.u32() } : {}),
        ...(random.chance(0.3) ? { sequence: random.u32() } : {}),
      };
      return inside(ip4(), build.gre(fields), ...(random.chance(0.3) ? [build.ethernet()] : []), ...innermost());
    }
    case "vxlan":
      return inside(
        ip4(),
        build.udp({ sourcePort: port() }),
        build.vxlan({ vni: random.below(1 << 24) }),
        build.ethernet(),
        ...innermost(),
      );
    case "geneve": {
      const geneve = build.geneve({ vni: random.below(1 << 24), options: random.bytes(4 * random.below(5)) });
      return inside(ip4(), build.udp({ sourcePort: port() }), geneve, build.ethernet(), ...innermost());
    }
    case "gue":
      return inside(
        ip4(),
        build.udp({ sourcePort: port() }),
        build.gue({ extension: random.bytes(4 * random.below(3)) }),
        ...innermost(),
      );
    case "mpls": {
      const labels = Array.from({ length: 1 + random.below(3) }, () =>
        build.mpls({ label: random.below(1 << 20), ttl: random.below(256) }),
      );
      return inside(...labels, ...innermost());
    }
    case "pppoe":
      return inside(build.pppoe({ sessionId: random.below(65536) }), ...innermost());
    case "ethertype":
      return inside();
  }
}

/** Options that fill words: no operation, router alert, record route, time stamp. */
function optionsOf(random: SeededRandom): Uint8Array {
  const choices = [
    [1, 1, 1, 1],
    [148, 4, 0, 0],
    [7, 7, 4, 0, 0, 0, 0, 0],
    [68, 8, 5, 0, 0, 0, 0, 0],
  ];
  return Uint8Array.from(Array.from({ length: 1 + random.below(4) }, () => random.pick(choices)).flat());
}

function tcpOptionsOf(random: SeededRandom): Uint8Array {
  const choices: TcpOption[] = [
    { kind: "mss", value: random.below(65536) },
    { kind: "windowScale", shift: random.below(15) },
    { kind: "sackPermitted" },
    { kind: "timestamps", value: random.u32(), echo: random.u32() },
    { kind: "sack", blocks: [[random.u32(), random.u32()]] },
    { kind: "nop" },
  ];
  return emitTcpOptions(Array.from({ length: random.below(4) }, () => random.pick(choices)));
}

/** The packet with one defect. Offsets count from the frame's start and land in headers more often than behind them. */
function broken(sound: Uint8Array, random: SeededRandom): { bytes: Uint8Array; defect: string } {
  const bytes = sound.slice();
  const near = () => random.below(Math.min(bytes.length, 96));
  // The first IP header, when there is one where an untagged frame has it.
  const l3 = 14;
  const version = bytes.length > l3 + 20 ? bytes[l3]! >> 4 : 0;
  const defects: (() => { bytes: Uint8Array; defect: string })[] = [
    () => {
      const length = 1 + near();
      return { bytes: bytes.slice(0, length), defect: `cut to ${length} bytes` };
    },
    () => {
      const length = Math.max(1, bytes.length - 1 - random.below(8));
      return { bytes: bytes.slice(0, length), defect: `cut to ${length} bytes, near the end` };
    },
    () => {
      const at = near();
      bytes[at] = random.pick([0, 1, 0x7f, 0x80, 0xff, bytes[at]! ^ (1 << random.below(8))]);
      return { bytes, defect: `byte ${at} set to ${bytes[at]}` };
    },
    () => {
      const padded = new Uint8Array(bytes.length + 1 + random.below(32));
      padded.set(bytes);
      return { bytes: padded, defect: `${padded.length - bytes.length} bytes of padding` };
    },
  ];
  if (version === 4) {
    defects.push(
      () => {
        const ihl = random.below(16);
        bytes[l3] = 0x40 | ihl;
        return { bytes, defect: `IPv4 header length ${ihl * 4}` };
      },
      () => {
        const total = random.pick([0, 19, 20, 21, bytes.length, 65535, random.below(65536)]);
        viewOf(bytes).setUint16(l3 + 2, total);
        return { bytes, defect: `IPv4 total length ${total}` };
      },
    );
  }
  if (version === 6) {
    defects.push(
      () => {
        const length = random.pick([0, 1, bytes.length, 65535]);
        viewOf(bytes).setUint16(l3 + 4, length);
        return { bytes, defect: `IPv6 payload length ${length}` };
      },
      () => {
        const next = random.pick([0, 43, 44, 50, 51, 59, 60, 255]);
        bytes[l3 + 6] = next;
        return { bytes, defect: `IPv6 next header ${next}` };
      },
    );
  }
  return random.pick(defects)();
}
