/**
 * Whole packets from a list of layers, outermost first: lengths, next-protocol fields and checksums are filled in.
 * A field that is given stays as given, also when it is wrong: that is how a broken packet is made.
 *
 *     buildPacket([ethernet(), ipv4({ source: "192.0.2.1" }), udp({ destinationPort: 53 })], payload)
 */
import { concatBytes, viewOf } from "../bytes/index.ts";
import { parseIpv4, parseIpv6, parseMac } from "./address.ts";
import { type ArpRepr, arpLength, emitArp } from "./arp.ts";
import { sumWords } from "./checksum.ts";
import { type DnsQuestion, type DnsRepr, emitDns, emitDnsQuestion } from "./dns.ts";
import { type EthernetRepr, emitEthernet } from "./ethernet.ts";
import { emitGeneve, GENEVE_PORT, type GeneveRepr, geneveLength } from "./geneve.ts";
import { emitGre, type GreRepr, greLength } from "./gre.ts";
import { emitGue, GUE_PORT, type GueRepr, gueLength } from "./gue.ts";
import { emitIcmp, type IcmpRepr, icmpChecksum } from "./icmp.ts";
import { emitIcmpv6, type Icmpv6Repr, icmpv6Checksum } from "./icmpv6.ts";
import { emitIpv4Header, type Ipv4Repr, ipv4Checksum, ipv4Length } from "./ipv4.ts";
import { emitIpv6Fragment, emitIpv6Header, type Ipv6Fragment, type Ipv6Repr } from "./ipv6.ts";
import { emitMpls, type MplsRepr } from "./mpls.ts";
import * as N from "./numbers.ts";
import { emitPppoe, PPP_IP, PPP_IPV6, type PppoeRepr } from "./pppoe.ts";
import { emitQuic, type QuicRepr, quicLength } from "./quic.ts";
import { emitSctp, type SctpRepr, sctpChecksum } from "./sctp.ts";
import { emitTcp, TCP_SYN, type TcpRepr, tcpChecksum, tcpLength } from "./tcp.ts";
import { emitUdp, type UdpRepr, udpChecksum } from "./udp.ts";
import { emitVlan, type VlanRepr } from "./vlan.ts";
import { emitVxlan, VXLAN_PORT, type VxlanRepr } from "./vxlan.ts";

/** An address as text or as bytes. */
export type AddressInput = string | Uint8Array;

type Ends<R> = Partial<Omit<R, "source" | "destination">> & {
  readonly source?: AddressInput;
  readonly destination?: AddressInput;
};

/** One layer; its protocol's repr in part, and what of it no other layer tells. */
export type LayerSpec =
  | ({ readonly layer: "ethernet" } & Ends<EthernetRepr>)
  /** `provider`: an 802.1ad tag. */
  | ({ readonly layer: "vlan"; readonly provider?: boolean } & Partial<VlanRepr>)
  | ({ readonly layer: "arp" } & Partial<ArpRepr>)
  | ({ readonly layer: "ipv4" } & Ends<Ipv4Repr>)
  | ({ readonly layer: "ipv6" } & Ends<Ipv6Repr>)
  /** Any extension header but a fragment's; `body` is what stands behind its two first bytes, 6 + 8n bytes. */
  | { readonly layer: "ipv6-extension"; readonly type: number; readonly body: Uint8Array; readonly nextHeader?: number }
  | ({ readonly layer: "ipv6-fragment"; readonly nextHeader?: number } & Partial<Ipv6Fragment>)
  | ({ readonly layer: "icmp" } & Partial<IcmpRepr>)
  | ({ readonly layer: "icmpv6" } & Partial<Icmpv6Repr>)
  | ({ readonly layer: "tcp" } & Partial<TcpRepr>)
  | ({ readonly layer: "udp" } & Partial<UdpRepr>)
  | ({ readonly layer: "sctp" } & Partial<SctpRepr>)
  | ({ readonly layer: "gre" } & Partial<GreRepr>)
  | ({ readonly layer: "vxlan" } & Partial<VxlanRepr>)
  | ({ readonly layer: "geneve" } & Partial<GeneveRepr>)
  | ({ readonly layer: "gue" } & Partial<GueRepr>)
  | ({ readonly layer: "mpls" } & Partial<MplsRepr>)
  | ({ readonly layer: "pppoe" } & Partial<PppoeRepr>)
  | ({ readonly layer: "dns"; readonly question?: DnsQuestion } & Partial<DnsRepr>)
  | { readonly layer: "quic"; readonly quic: QuicRepr };

type Fields<L extends LayerSpec["layer"]> = Omit<Extract<LayerSpec, { layer: L }>, "layer">;

export const ethernet = (fields: Fields<"ethernet"> = {}): LayerSpec => ({ layer: "ethernet", ...fields });
export const vlan = (fields: Fields<"vlan"> = {}): LayerSpec => ({ layer: "vlan", ...fields });
export const arp = (fields: Fields<"arp"> = {}): LayerSpec => ({ layer: "arp", ...fields });
export const ipv4 = (fields: Fields<"ipv4"> = {}): LayerSpec => ({ layer: "ipv4", ...fields });
export const ipv6 = (fields: Fields<"ipv6"> = {}): LayerSpec => ({ layer: "ipv6", ...fields });
export const ipv6Extension = (fields: Fields<"ipv6-extension">): LayerSpec => ({ layer: "ipv6-extension", ...fields });
export const ipv6Fragment = (fields: Fields<"ipv6-fragment"> = {}): LayerSpec => ({
  layer: "ipv6-fragment",
  ...fields,
});
export const icmp = (fields: Fields<"icmp"> = {}): LayerSpec => ({ layer: "icmp", ...fields });
export const icmpv6 = (fields: Fields<"icmpv6"> = {}): LayerSpec => ({ layer: "icmpv6", ...fields });
export const tcp = (fields: Fields<"tcp"> = {}): LayerSpec => ({ layer: "tcp", ...fields });
export const udp = (fields: Fields<"udp"> = {}): LayerSpec => ({ layer: "udp", ...fields });
export const sctp = (fields: Fields<"sctp"> = {}): LayerSpec => ({ layer: "sctp", ...fields });
export const gre = (fields: Fields<"gre"> = {}): LayerSpec => ({ layer: "gre", ...fields });
export const vxlan = (fields: Fields<"vxlan"> = {}): LayerSpec => ({ layer: "vxlan", ...fields });
export const geneve = (fields: Fields<"geneve"> = {}): LayerSpec => ({ layer: "geneve", ...fields });
export const gue = (fields: Fields<"gue"> = {}): LayerSpec => ({ layer: "gue", ...fields });
export const mpls = (fields: Fields<"mpls"> = {}): LayerSpec => ({ layer: "mpls", ...fields });
export const pppoe = (fields: Fields<"pppoe"> = {}): LayerSpec => ({ layer: "pppoe", ...fields });
export const dns = (fields: Fields<"dns"> = {}): LayerSpec => ({ layer: "dns", ...fields });
export const quic = (repr: QuicRepr): LayerSpec => ({ layer: "quic", quic: repr });

const EMPTY = new Uint8Array();
const SOURCE_MAC = parseMac("02:00:00:00:00:01");
const DESTINATION_MAC = parseMac("02:00:00:00:00:02");
const SOURCE_4 = parseIpv4("192.0.2.1");
const DESTINATION_4 = parseIpv4("192.0.2.2");
const SOURCE_6 = parseIpv6("2001:db8::1");
const DESTINATION_6 = parseIpv6("2001:db8::2");

const bytesOf = (input: AddressInput | undefined, fallback: Uint8Array, parse: (text: string) => Uint8Array) =>
  input === undefined ? fallback : typeof input === "string" ? parse(input) : input;

/** The EtherType that announces a layer; undefined when none does. */
function etherTypeOf(layer: LayerSpec | undefined): number | undefined {
  switch (layer?.layer) {
    case "vlan":
      return layer.provider ? N.ETH_P_8021AD : N.ETH_P_8021Q;
    case "arp":
      return N.ETH_P_ARP;
    case "ipv4":
      return N.ETH_P_IP;
    case "ipv6":
      return N.ETH_P_IPV6;
    case "mpls":
      return N.ETH_P_MPLS_UC;
    case "pppoe":
      return layer.code ? N.ETH_P_PPP_DISC : N.ETH_P_PPP_SES;
    case "ethernet":
      return N.ETH_P_TEB;
    default:
      return undefined;
  }
}

const PROTOCOLS: Partial<Record<LayerSpec["layer"], number>> = {
  icmp: N.IPPROTO_ICMP,
  icmpv6: N.IPPROTO_ICMPV6,
  tcp: N.IPPROTO_TCP,
  udp: N.IPPROTO_UDP,
  sctp: N.IPPROTO_SCTP,
  gre: N.IPPROTO_GRE,
  ipv4: N.IPPROTO_IPIP,
  ipv6: N.IPPROTO_IPV6,
  mpls: N.IPPROTO_MPLS,
  "ipv6-fragment": N.IPPROTO_FRAGMENT,
};

/** The IP protocol number that announces a layer; 59 (no next header) for none, 253 (experiments) for another. */
function protocolOf(layer: LayerSpec | undefined): number {
  if (!layer) return N.IPPROTO_NONE;
  return layer.layer === "ipv6-extension" ? layer.type : (PROTOCOLS[layer.layer] ?? 253);
}

/** The UDP port that announces a layer. */
function portOf(layer: LayerSpec | undefined): number {
  const ports: Partial<Record<LayerSpec["layer"], number>> = {
    vxlan: VXLAN_PORT,
    geneve: GENEVE_PORT,
    gue: GUE_PORT,
    dns: 53,
    quic: 443,
  };
  return (layer && ports[layer.layer]) ?? 9;
}

/** Source and destination of the IP layer that a transport sits in: for its pseudo header. */
function endsAround(layers: readonly LayerSpec[], index: number): { source: Uint8Array; destination: Uint8Array } {
  for (let i = index - 1; i >= 0; i--) {
    const layer = layers[i]!;
    if (layer.layer === "ipv4") {
      return {
        source: bytesOf(layer.source, SOURCE_4, parseIpv4),
        destination: bytesOf(layer.destination, DESTINATION_4, parseIpv4),
      };
    }
    if (layer.layer === "ipv6") {
      return {
        source: bytesOf(layer.source, SOURCE_6, parseIpv6),
        destination: bytesOf(layer.destination, DESTINATION_6, parseIpv6),
      };
    }
  }
  return { source: EMPTY, destination: EMPTY };
}

/**
 * The packet's bytes (a new array). Defaults: documentation addresses, TTL 64, ports 49152 and the inner protocol's.
 * @throws BpfError EADDRESS for an address text that is none, RangeError for a repr that does not fit its header.
 */
export function buildPacket(layers: readonly LayerSpec[], payload: Uint8Array = EMPTY): Uint8Array {
  let body = payload;
  for (let i = layers.length - 1; i >= 0; i--) body = wrap(layers, i, body);
  return body;
}

/** A header of `length` bytes before the body. */
function before(length: number, body: Uint8Array, emit: (out: Uint8Array) => void): Uint8Array {
  const out = new Uint8Array(length + body.length);
  emit(out);
  out.set(body, length);
  return out;
}

function wrap(layers: readonly LayerSpec[], index: number, body: Uint8Array): Uint8Array {
  const layer = layers[index]!;
  const next = layers[index + 1];
  /** Emits with the checksum that was given, or with 0 and then again with the right one. */
  const summed = (
    given: number | undefined,
    length: number,
    emit: (checksum: number, out: Uint8Array) => void,
    sum: (whole: Uint8Array) => number,
  ) => {
    const whole = before(length, body, (out) => emit(given ?? 0, out));
    if (given === undefined) emit(sum(whole), whole);
    return whole;
  };
  const ends = () => endsAround(layers, index);

  switch (layer.layer) {
    case "ethernet":
      return before(14, body, (out) =>
        emitEthernet(
          {
            destination: bytesOf(layer.destination, DESTINATION_MAC, parseMac),
            source: bytesOf(layer.source, SOURCE_MAC, parseMac),
            type: layer.type ?? etherTypeOf(next) ?? 0x88b5,
          },
          out,
        ),
      );
    case "vlan":
      return before(4, body, (out) =>
        emitVlan(
          {
            priority: layer.priority ?? 0,
            dropEligible: layer.dropEligible ?? false,
            id: layer.id ?? 1,
            type: layer.type ?? etherTypeOf(next) ?? 0x88b5,
          },
          out,
        ),
      );
    case "arp": {
      const repr: ArpRepr = {
        hardwareType: 1,
        protocolType: N.ETH_P_IP,
        operation: 1,
        senderHardware: SOURCE_MAC,
        senderProtocol: SOURCE_4,
        targetHardware: new Uint8Array(6),
        targetProtocol: DESTINATION_4,
        ...layer,
      };
      return before(arpLength(repr), body, (out) => emitArp(repr, out));
    }
    case "ipv4": {
      const options = layer.options ?? EMPTY;
      const length = ipv4Length({ options });
      const emit = (checksum: number, out: Uint8Array) =>
        emitIpv4Header(
          {
            tos: layer.tos ?? 0,
            totalLength: layer.totalLength ?? length + body.length,
            identification: layer.identification ?? 0,
            reserved: layer.reserved ?? false,
            dontFragment: layer.dontFragment ?? false,
            moreFragments: layer.moreFragments ?? false,
            fragmentOffset: layer.fragmentOffset ?? 0,
            ttl: layer.ttl ?? 64,
            protocol: layer.protocol ?? (next ? protocolOf(next) : 253),
            checksum,
            ...ends4(layer),
            options,
          },
          out,
        );
      return summed(layer.checksum, length, emit, (whole) => ipv4Checksum(whole.subarray(0, length)));
    }
    case "ipv6":
      return before(40, body, (out) =>
        emitIpv6Header(
          {
            trafficClass: layer.trafficClass ?? 0,
            flowLabel: layer.flowLabel ?? 0,
            payloadLength: layer.payloadLength ?? body.length,
            nextHeader: layer.nextHeader ?? protocolOf(next),
            hopLimit: layer.hopLimit ?? 64,
            source: bytesOf(layer.source, SOURCE_6, parseIpv6),
            destination: bytesOf(layer.destination, DESTINATION_6, parseIpv6),
          },
          out,
        ),
      );
    case "ipv6-extension": {
      const length = 2 + layer.body.length;
      if (length % 8) throw new RangeError(`extension header: expected a multiple of 8 bytes, got ${length}`);
      // AH counts words of 4 less 2, all others words of 8 less 1.
      const words = layer.type === N.IPPROTO_AH ? length / 4 - 2 : length / 8 - 1;
      return concatBytes([Uint8Array.of(layer.nextHeader ?? protocolOf(next), words), layer.body, body]);
    }
    case "ipv6-fragment":
      return before(8, body, (out) =>
        emitIpv6Fragment(
          {
            offset: layer.offset ?? 0,
            moreFragments: layer.moreFragments ?? false,
            identification: layer.identification ?? 0,
          },
          layer.nextHeader ?? protocolOf(next),
          out,
        ),
      );
    case "icmp": {
      const repr = { type: layer.type ?? 8, code: layer.code ?? 0, rest: layer.rest ?? 0 };
      return summed(layer.checksum, 8, (checksum, out) => emitIcmp({ ...repr, checksum }, out), icmpChecksum);
    }
    case "icmpv6": {
      const repr = { type: layer.type ?? 128, code: layer.code ?? 0, rest: layer.rest ?? 0 };
      return summed(
        layer.checksum,
        8,
        (checksum, out) => emitIcmpv6({ ...repr, checksum }, out),
        (whole) => icmpv6Checksum(ends().source, ends().destination, whole),
      );
    }
    case "tcp": {
      const repr = {
        sourcePort: layer.sourcePort ?? 49152,
        destinationPort: layer.destinationPort ?? 80,
        sequence: layer.sequence ?? 0,
        acknowledgement: layer.acknowledgement ?? 0,
        flags: layer.flags ?? TCP_SYN,
        window: layer.window ?? 65535,
        urgentPointer: layer.urgentPointer ?? 0,
        options: layer.options ?? EMPTY,
      };
      return summed(
        layer.checksum,
        tcpLength(repr),
        (checksum, out) => emitTcp({ ...repr, checksum }, out),
        (whole) => tcpChecksum(ends().source, ends().destination, whole),
      );
    }
    case "udp": {
      const repr = {
        sourcePort: layer.sourcePort ?? 49152,
        destinationPort: layer.destinationPort ?? portOf(next),
        length: layer.length ?? 8 + body.length,
      };
      return summed(
        layer.checksum,
        8,
        (checksum, out) => emitUdp({ ...repr, checksum }, out),
        (whole) => udpChecksum(ends().source, ends().destination, whole),
      );
    }
    case "sctp": {
      const repr = {
        sourcePort: layer.sourcePort ?? 49152,
        destinationPort: layer.destinationPort ?? 3868,
        verificationTag: layer.verificationTag ?? 0,
      };
      return summed(layer.checksum, 12, (checksum, out) => emitSctp({ ...repr, checksum }, out), sctpChecksum);
    }
    case "gre": {
      const repr: GreRepr = { ...layer, protocol: layer.protocol ?? etherTypeOf(next) ?? N.ETH_P_IP };
      return before(greLength(repr), body, (out) => emitGre(repr, out));
    }
    case "vxlan":
      return before(8, body, (out) => emitVxlan({ vni: layer.vni ?? 1 }, out));
    case "geneve": {
      const repr: GeneveRepr = {
        control: layer.control ?? false,
        critical: layer.critical ?? false,
        protocol: layer.protocol ?? etherTypeOf(next) ?? N.ETH_P_TEB,
        vni: layer.vni ?? 1,
        options: layer.options ?? EMPTY,
      };
      return before(geneveLength(repr), body, (out) => emitGeneve(repr, out));
    }
    case "gue": {
      const repr: GueRepr = {
        control: layer.control ?? false,
        protocol: layer.protocol ?? protocolOf(next),
        flags: layer.flags ?? 0,
        extension: layer.extension ?? EMPTY,
      };
      return before(gueLength(repr), body, (out) => emitGue(repr, out));
    }
    case "mpls":
      return before(4, body, (out) =>
        emitMpls(
          {
            label: layer.label ?? 16,
            trafficClass: layer.trafficClass ?? 0,
            bottom: layer.bottom ?? next?.layer !== "mpls",
            ttl: layer.ttl ?? 64,
          },
          out,
        ),
      );
    case "pppoe": {
      const code = layer.code ?? 0;
      const ppp = code === 0 ? (next?.layer === "ipv6" ? PPP_IPV6 : PPP_IP) : undefined;
      const inner = ppp === undefined ? body : concatBytes([Uint8Array.of(ppp >> 8, ppp & 255), body]);
      return before(6, inner, (out) =>
        emitPppoe({ code, sessionId: layer.sessionId ?? 1, length: layer.length ?? inner.length }, out),
      );
    }
    case "dns": {
      const question = layer.question ? emitDnsQuestion(layer.question) : EMPTY;
      const repr: DnsRepr = {
        id: layer.id ?? 0,
        response: layer.response ?? false,
        opcode: layer.opcode ?? 0,
        authoritative: layer.authoritative ?? false,
        truncated: layer.truncated ?? false,
        recursionDesired: layer.recursionDesired ?? true,
        recursionAvailable: layer.recursionAvailable ?? false,
        reserved: layer.reserved ?? false,
        authenticData: layer.authenticData ?? false,
        checkingDisabled: layer.checkingDisabled ?? false,
        code: layer.code ?? 0,
        questions: layer.questions ?? (layer.question ? 1 : 0),
        answers: layer.answers ?? 0,
        authorities: layer.authorities ?? 0,
        additionals: layer.additionals ?? 0,
      };
      return before(12, concatBytes([question, body]), (out) => emitDns(repr, out));
    }
    case "quic":
      return before(quicLength(layer.quic), body, (out) => emitQuic(layer.quic, out));
  }
}

function ends4(layer: Fields<"ipv4">): { source: Uint8Array; destination: Uint8Array } {
  return {
    source: bytesOf(layer.source, SOURCE_4, parseIpv4),
    destination: bytesOf(layer.destination, DESTINATION_4, parseIpv4),
  };
}

/**
 * Splits an IPv4 packet (header first, not a fragment itself, without options to copy) into fragments of at most `mtu`
 * bytes each. A packet that fits comes back alone, as it is.
 * @throws RangeError for an MTU below 28.
 */
export function fragmentIpv4(packet: Uint8Array, mtu: number): Uint8Array[] {
  const headerLength = (packet[0]! & 15) * 4;
  const step = (mtu - headerLength) & ~7;
  if (step < 8) throw new RangeError(`mtu: need ${headerLength + 8} for a fragment, got ${mtu}`);
  if (packet.length <= mtu) return [packet];
  const out: Uint8Array[] = [];
  for (let at = headerLength; at < packet.length; at += step) {
    const part = packet.subarray(at, at + step);
    const fragment = concatBytes([packet.subarray(0, headerLength), part]);
    const view = viewOf(fragment);
    view.setUint16(2, fragment.length);
    view.setUint16(6, (at + step < packet.length ? 0x2000 : 0) | ((at - headerLength) / 8));
    view.setUint16(10, 0);
    view.setUint16(10, ~sumWords(fragment.subarray(0, headerLength)) & 0xffff);
    out.push(fragment);
  }
  return out;
}

/**
 * Splits an IPv6 packet without extension headers into fragments of at most `mtu` bytes each, all with one
 * `identification`. A packet that fits comes back alone, as it is.
 * @throws RangeError for an MTU below 56.
 */
export function fragmentIpv6(packet: Uint8Array, mtu: number, identification: number): Uint8Array[] {
  const step = (mtu - 48) & ~7;
  if (step < 8) throw new RangeError(`mtu: need 56 for a fragment, got ${mtu}`);
  if (packet.length <= mtu) return [packet];
  const out: Uint8Array[] = [];
  for (let at = 40; at < packet.length; at += step) {
    const part = packet.subarray(at, at + step);
    const fragment = concatBytes([packet.subarray(0, 40), new Uint8Array(8), part]);
    viewOf(fragment).setUint16(4, 8 + part.length);
    fragment[6] = N.IPPROTO_FRAGMENT;
    const moreFragments = at + step < packet.length;
    emitIpv6Fragment({ offset: at - 40, moreFragments, identification }, packet[6]!, fragment.subarray(40));
    out.push(fragment);
  }
  return out;
}
