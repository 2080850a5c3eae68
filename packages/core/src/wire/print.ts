/**
 * One line for a packet, through all its layers, in tcpdump's words: `IP 192.0.2.1.40000 > 192.0.2.2.80: Flags [S], …`.
 * Where the words are tcpdump's they are the ones of `tcpdump -nn -t -S`; unlike it, VLAN tags are always shown and a
 * tunnel's inner packet stays on the line. What is malformed is told in brackets, after all that could be read.
 */
import { viewOf } from "../bytes/index.ts";
import { formatIp } from "./address.ts";
import { parseArp, printArp, viewArp } from "./arp.ts";
import { LINKTYPE_ETHERNET, LINKTYPE_RAW } from "./capture-model.ts";
import { DNS_PORT, MDNS_PORT, parseDns, printDns, viewDns } from "./dns.ts";
import { ETHERNET_HEADER, parseEthernet, printEthernet, viewEthernet } from "./ethernet.ts";
import { GENEVE_PORT, parseGeneve, printGeneve, viewGeneve } from "./geneve.ts";
import { parseGre, printGre, viewGre } from "./gre.ts";
import { GUE_PORT, parseGue, printGue, viewGue } from "./gue.ts";
import { ICMP_DEST_UNREACH, ICMP_TIME_EXCEEDED, parseIcmp, printIcmp, viewIcmp } from "./icmp.ts";
import { parseIcmpv6, printIcmpv6, viewIcmpv6 } from "./icmpv6.ts";
import { IPV4_FIELD, IPV4_HEADER, parseIpv4Header } from "./ipv4.ts";
import { IPV6_HEADER, parseIpv6Header, walkIpv6 } from "./ipv6.ts";
import { parseMpls, printMpls, viewMpls } from "./mpls.ts";
import * as N from "./numbers.ts";
import { PPP_IP, PPP_IPV6, PPPOE_SESSION, parsePppoe, pppPayload, printPppoe, viewPppoe } from "./pppoe.ts";
import { parseQuic, printQuic, QUIC_PORT, viewQuic } from "./quic.ts";
import { parseSctp, printSctp, viewSctp } from "./sctp.ts";
import { parseTcp, printTcp, viewTcp } from "./tcp.ts";
import { parseUdp, printUdp, viewUdp } from "./udp.ts";
import { parseVlan, printVlan, viewVlan } from "./vlan.ts";
import { parseVxlan, printVxlan, VXLAN_PORT, viewVxlan } from "./vxlan.ts";

export interface PrintOptions {
  /** Of the bytes; default Ethernet. Others than Ethernet and raw IP are printed as their length. */
  readonly linkType?: number;
  /** Put the MAC addresses and the EtherType in front, like `tcpdump -e`. */
  readonly link?: boolean;
}

/** Tunnels inside tunnels end here: each level costs at least a header, this only keeps the line short. */
const MAX_DEPTH = 8;

/** Never throws, whatever the bytes. */
export function printPacket(bytes: Uint8Array, options: PrintOptions = {}): string {
  const { linkType = LINKTYPE_ETHERNET, link = false } = options;
  if (linkType === LINKTYPE_RAW) return printRaw(bytes, 0);
  if (linkType !== LINKTYPE_ETHERNET) return `link type ${linkType}, length ${bytes.length}`;
  return printFrame(bytes, link, 0);
}

function printRaw(bytes: Uint8Array, depth: number): string {
  if (bytes.length === 0) return "[|ip]";
  return bytes[0]! >> 4 === 6 ? printIp6(bytes, depth) : printIp4(bytes, depth);
}

function printFrame(bytes: Uint8Array, link: boolean, depth: number): string {
  const layer = viewEthernet(bytes);
  if (!layer) {
    // An 802.3 length beyond the frame leaves the addresses readable; fewer than 14 bytes leave nothing.
    return bytes.length < ETHERNET_HEADER ? `[|ether] length ${bytes.length}` : "802.3 [length beyond the frame]";
  }
  const ethernet = parseEthernet(layer.header);
  const front = link ? `${printEthernet(ethernet)}, length ${bytes.length}: ` : "";
  if (ethernet.type < N.ETH_P_802_3_MIN) return `${front}802.3, length ${ethernet.type}`;
  return front + printEthertype(ethernet.type, layer.payload, depth);
}

function printEthertype(type: number, bytes: Uint8Array, depth: number): string {
  if (depth > MAX_DEPTH) return "[too many layers]";
  switch (type) {
    case N.ETH_P_IP:
      return printIp4(bytes, depth);
    case N.ETH_P_IPV6:
      return printIp6(bytes, depth);
    case N.ETH_P_ARP: {
      const layer = viewArp(bytes);
      return layer ? printArp(parseArp(layer.header), bytes.length) : "ARP, [|arp]";
    }
    case N.ETH_P_8021Q:
    case N.ETH_P_8021AD: {
      const layer = viewVlan(bytes);
      if (!layer) return "[|vlan]";
      const vlan = parseVlan(layer.header);
      return `${printVlan(vlan)}, ${printEthertype(vlan.type, layer.payload, depth + 1)}`;
    }
    case N.ETH_P_MPLS_UC:
    case N.ETH_P_MPLS_MC:
      return printLabels(bytes, depth);
    case N.ETH_P_PPP_DISC:
    case N.ETH_P_PPP_SES:
      return printPpp(bytes, depth);
    case N.ETH_P_TEB:
      return printFrame(bytes, true, depth + 1);
    case N.ETH_P_LLDP:
      return `LLDP, length ${bytes.length}`;
    default:
      if (type < N.ETH_P_802_3_MIN) return `802.3, length ${type}`;
      return `ethertype 0x${type.toString(16).padStart(4, "0")}, length ${bytes.length}`;
  }
}

/** The label stack, then what the first nibble behind it looks like: the type itself is not in the packet. */
function printLabels(bytes: Uint8Array, depth: number): string {
  const parts: string[] = [];
  let rest = bytes;
  for (;;) {
    const layer = viewMpls(rest);
    if (!layer) return [...parts, "[|mpls]"].join(" ");
    const mpls = parseMpls(layer.header);
    parts.push(printMpls(mpls));
    rest = layer.payload;
    if (mpls.bottom || parts.length > MAX_DEPTH) break;
  }
  const version = (rest[0] ?? 0) >> 4;
  const inner = version === 4 || version === 6 ? printRaw(rest, depth + 1) : `length ${rest.length}`;
  return `${parts.join(" ")}, ${inner}`;
}

function printPpp(bytes: Uint8Array, depth: number): string {
  const layer = viewPppoe(bytes);
  if (!layer) return "[|pppoe]";
  const pppoe = parsePppoe(layer.header);
  const head = printPppoe(pppoe);
  if (pppoe.code !== PPPOE_SESSION) return `${head}, length ${layer.payload.length}`;
  const ppp = pppPayload(layer.payload);
  if (!ppp) return `${head} [|ppp]`;
  if (ppp.protocol === PPP_IP) return `${head} ${printIp4(ppp.payload, depth + 1)}`;
  if (ppp.protocol === PPP_IPV6) return `${head} ${printIp6(ppp.payload, depth + 1)}`;
  return `${head} ppp 0x${ppp.protocol.toString(16).padStart(4, "0")}, length ${ppp.payload.length}`;
}

/** Addresses and what is under them; a transport's ports become part of the addresses. */
interface Ends {
  readonly family: "IP" | "IP6";
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  /** Says, before the addresses, how many bytes of the packet are missing. */
  readonly cut: string;
  /** Extension headers, said before the transport. */
  readonly note: string;
}

function lineOf(ends: Ends, what: string, ports?: { sourcePort: number; destinationPort: number }): string {
  const source = formatIp(ends.source) + (ports ? `.${ports.sourcePort}` : "");
  const destination = formatIp(ends.destination) + (ports ? `.${ports.destinationPort}` : "");
  return `${ends.family} ${ends.cut}${source} > ${destination}: ${ends.note}${what}`;
}

function printIp4(bytes: Uint8Array, depth: number): string {
  if (depth > MAX_DEPTH) return "[too many layers]";
  if (bytes.length < IPV4_HEADER) return "IP [|ip]";
  const version = bytes[0]! >> 4;
  const headerLength = (bytes[0]! & 15) * 4;
  const total = viewOf(bytes).getUint16(IPV4_FIELD.totalLength);
  if (version !== 4) return `IP [version ${version}]`;
  if (headerLength < IPV4_HEADER) return `IP [bad header length ${headerLength}]`;
  if (total < headerLength) return `IP [bad total length ${total}]`;
  if (headerLength > bytes.length) return `IP [header length ${headerLength}, have ${bytes.length}]`;
  const missing = total - bytes.length;
  const payload = bytes.subarray(headerLength, Math.min(total, bytes.length));
  const ip = parseIpv4Header(bytes.subarray(0, headerLength));
  const cut = missing > 0 ? `truncated-ip - ${missing} bytes missing! ` : "";
  const ends: Ends = { family: "IP", source: ip.source, destination: ip.destination, cut, note: "" };
  if (ip.fragmentOffset > 0) return lineOf(ends, `ip-proto-${ip.protocol}, fragment at ${ip.fragmentOffset}`);
  return printTransport(ends, ip.protocol, payload, depth);
}

function printIp6(bytes: Uint8Array, depth: number): string {
  if (depth > MAX_DEPTH) return "[too many layers]";
  if (bytes.length < IPV6_HEADER) return "IP6 [|ip6]";
  if (bytes[0]! >> 4 !== 6) return `IP6 [version ${bytes[0]! >> 4}]`;
  const ip = parseIpv6Header(bytes.subarray(0, IPV6_HEADER));
  const payload = bytes.subarray(IPV6_HEADER, IPV6_HEADER + ip.payloadLength);
  const missing = ip.payloadLength - payload.length;
  const cut = missing > 0 ? `truncated-ip6 - ${missing} bytes missing! ` : "";
  const ends: Ends = { family: "IP6", source: ip.source, destination: ip.destination, cut, note: "" };
  const chain = walkIpv6(ip.nextHeader, payload);
  if (!chain) return lineOf(ends, "[malformed extension header]");
  const names = chain.extensions
    .filter((e) => e.type !== N.IPPROTO_FRAGMENT)
    .map((e) => EXTENSION_NAMES[e.type] ?? "EXT");
  const shown = names.length > 4 ? [...names.slice(0, 3), `… ${names.length} extension headers`] : names;
  const { fragment } = chain;
  if (fragment) {
    shown.push(`frag (${fragment.offset}|${chain.payload.length})`);
    if (fragment.offset > 0) return lineOf(ends, shown.join(" "));
  }
  const note = shown.length ? `${shown.join(" ")} ` : "";
  return printTransport({ ...ends, note }, chain.protocol, chain.payload, depth);
}

const EXTENSION_NAMES: Readonly<Record<number, string>> = {
  [N.IPPROTO_HOPOPTS]: "HBH",
  [N.IPPROTO_ROUTING]: "RT6",
  [N.IPPROTO_DSTOPTS]: "DSTOPT",
  [N.IPPROTO_AH]: "AH",
};

function printTransport(ends: Ends, protocol: number, bytes: Uint8Array, depth: number): string {
  const line = (what: string, ports?: Parameters<typeof lineOf>[2]) => lineOf(ends, what, ports);
  switch (protocol) {
    case N.IPPROTO_TCP: {
      const layer = viewTcp(bytes);
      if (!layer) return line("[|tcp]", portsOf(bytes));
      const tcp = parseTcp(layer.header);
      return line(printTcp(tcp, layer.payload.length), tcp);
    }
    case N.IPPROTO_UDP: {
      const layer = viewUdp(bytes);
      // A first fragment, or a packet cut short, has less than the length field says; the ports still stand.
      if (!layer) return line(bytes.length < 8 ? "[|udp]" : printCutUdp(bytes), portsOf(bytes));
      const udp = parseUdp(layer.header);
      return line(
        printDatagram(udp.sourcePort, udp.destinationPort, layer.payload, depth) ?? printUdp(udp, layer.payload.length),
        udp,
      );
    }
    case N.IPPROTO_ICMP: {
      const layer = viewIcmp(bytes);
      if (!layer) return line("[|icmp]");
      const icmp = parseIcmp(layer.header);
      const about =
        icmp.type === ICMP_DEST_UNREACH || icmp.type === ICMP_TIME_EXCEEDED
          ? ` (about ${printRaw(layer.payload, depth + 1)})`
          : "";
      return line(printIcmp(icmp, bytes.length) + about);
    }
    case N.IPPROTO_ICMPV6: {
      const layer = viewIcmpv6(bytes);
      return line(layer ? printIcmpv6(parseIcmpv6(layer.header), layer.payload) : "[|icmp6]");
    }
    case N.IPPROTO_IPIP:
      return line(printIp4(bytes, depth + 1));
    case N.IPPROTO_IPV6:
      return line(printIp6(bytes, depth + 1));
    case N.IPPROTO_GRE: {
      const layer = viewGre(bytes);
      if (!layer) return line("[|gre]");
      const gre = parseGre(layer.header);
      return line(`${printGre(gre, bytes.length)}: ${printEthertype(gre.protocol, layer.payload, depth + 1)}`);
    }
    case N.IPPROTO_MPLS:
      return line(printLabels(bytes, depth + 1));
    case N.IPPROTO_SCTP: {
      const layer = viewSctp(bytes);
      if (!layer) return line("[|sctp]", portsOf(bytes));
      const sctp = parseSctp(layer.header);
      return line(printSctp(sctp, layer.payload), sctp);
    }
    case N.IPPROTO_ESP:
      return line(
        bytes.length < 8
          ? "[|esp]"
          : `ESP(spi=0x${viewOf(bytes).getUint32(0).toString(16).padStart(8, "0")}), length ${bytes.length}`,
      );
    case N.IPPROTO_NONE:
      return line("no next header");
    default:
      return line(`ip-proto-${protocol}, length ${bytes.length}`);
  }
}

function portsOf(bytes: Uint8Array): { sourcePort: number; destinationPort: number } | undefined {
  if (bytes.length < 4) return undefined;
  const view = viewOf(bytes);
  return { sourcePort: view.getUint16(0), destinationPort: view.getUint16(2) };
}

function printCutUdp(bytes: Uint8Array): string {
  const { length } = parseUdp(bytes.subarray(0, 8));
  return length < 8 ? `UDP, bad length ${length}` : `UDP, length ${length - 8} [have ${bytes.length - 8}]`;
}

/** What well-known ports carry; undefined when it is nothing known, or does not look like it. */
function printDatagram(source: number, destination: number, payload: Uint8Array, depth: number): string | undefined {
  const either = (port: number) => source === port || destination === port;
  if (either(DNS_PORT) || either(MDNS_PORT)) {
    const layer = viewDns(payload);
    return layer && printDns(parseDns(layer.header), payload);
  }
  if (destination === VXLAN_PORT) {
    const layer = viewVxlan(payload);
    return layer && `${printVxlan(parseVxlan(layer.header))}: ${printFrame(layer.payload, true, depth + 1)}`;
  }
  if (destination === GENEVE_PORT) {
    const layer = viewGeneve(payload);
    if (!layer) return undefined;
    const geneve = parseGeneve(layer.header);
    return `${printGeneve(geneve)}: ${printEthertype(geneve.protocol, layer.payload, depth + 1)}`;
  }
  if (destination === GUE_PORT) {
    const layer = viewGue(payload);
    if (!layer) return undefined;
    const gue = parseGue(layer.header);
    if (!gue) return `${printGue(gue)}: ${printRaw(layer.payload, depth + 1)}`;
    if (gue.control) return printGue(gue);
    const inner =
      gue.protocol === N.IPPROTO_IPIP
        ? printIp4(layer.payload, depth + 1)
        : gue.protocol === N.IPPROTO_IPV6
          ? printIp6(layer.payload, depth + 1)
          : `length ${layer.payload.length}`;
    return `${printGue(gue)}: ${inner}`;
  }
  if (either(QUIC_PORT)) {
    const layer = viewQuic(payload);
    return layer && printQuic(parseQuic(layer.header), payload.length);
  }
  return undefined;
}
