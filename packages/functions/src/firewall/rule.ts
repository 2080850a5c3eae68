/**
 * A firewall rule: its schema in the plane file, its checks, and its bytes in the `rules` map.
 *
 * Every rule is a masked compare, so the program matches without a branch: a packet is 128-bit source and destination
 * addresses, ports, and a 64-bit `kind` word; a rule holds value and mask of each. What is not asked has mask 0.
 */
import { hostBitsSet, parseCidr } from "@ebplane/core/wire";
import { z } from "zod";
import type { ConfigIssue } from "../kind.ts";

/** IP protocol numbers by name. Source: IANA protocol numbers. */
const IP_PROTOCOLS = { icmp: 1, igmp: 2, tcp: 6, udp: 17, gre: 47, esp: 50, ah: 51, icmpv6: 58, sctp: 132 } as const;

/** EtherTypes by name: `arp` and the IP versions may stand as `proto` too. Source: IANA IEEE 802 numbers. */
const ETHERTYPES = { ipv4: 0x0800, arp: 0x0806, ipv6: 0x86dd } as const;

/** ICMP types by name. Source: IANA ICMP parameters. */
const ICMP_TYPES: Record<string, number> = {
  "echo-reply": 0,
  "destination-unreachable": 3,
  redirect: 5,
  "echo-request": 8,
  "time-exceeded": 11,
  "parameter-problem": 12,
};

/** ICMPv6 types by name. Source: IANA ICMPv6 parameters. */
const ICMP6_TYPES: Record<string, number> = {
  "destination-unreachable": 1,
  "packet-too-big": 2,
  "time-exceeded": 3,
  "parameter-problem": 4,
  "echo-request": 128,
  "echo-reply": 129,
  "mld-query": 130,
  "mld-report": 131,
  "router-solicitation": 133,
  "router-advertisement": 134,
  "neighbour-solicitation": 135,
  "neighbour-advertisement": 136,
  "mldv2-report": 143,
};

const PROTO_NAMES = [...Object.keys(IP_PROTOCOLS), ...Object.keys(ETHERTYPES)];

const proto = z
  .union([z.enum(PROTO_NAMES as [string]), z.int().min(0).max(255)], {
    error: `a protocol: ${PROTO_NAMES.join(", ")} or a number from 0 to 255`,
  })
  .describe("IP protocol by name or number, or ipv4, ipv6, arp.");
const PORT = "a port from 0 to 65535 or a range like 8000-8099";
const port = z
  .union([z.int().min(0).max(65535), z.string().regex(/^\d{1,5}-\d{1,5}$/, PORT)], {
    error: PORT,
  })
  .describe("A port or a range `low-high`, both ends included.");
const icmpType = z
  .union(
    [
      z.enum([...new Set([...Object.keys(ICMP_TYPES), ...Object.keys(ICMP6_TYPES)])] as [string]),
      z.int().min(0).max(255),
    ],
    {
      error: "an ICMP type: a name such as echo-request, or a number from 0 to 255",
    },
  )
  .describe("ICMP or ICMPv6 type, as `proto` says, by name or number.");

export const ruleSchema = z.strictObject({
  name: z.string().min(1).max(40).optional().describe("Shown in counters."),
  action: z.enum(["pass", "drop"]).describe("pass hands the packet to the chain's next function."),
  src: z.string().optional().describe("Source prefix, IPv4 or IPv6: 10.0.0.0/8, 2001:db8::1."),
  dst: z.string().optional().describe("Destination prefix, IPv4 or IPv6."),
  proto: proto.optional(),
  sport: port.optional(),
  dport: port.optional(),
  icmpType: icmpType.optional(),
  icmpCode: z.int().min(0).max(255).optional().describe("Needs icmpType."),
  vlan: z.int().min(0).max(4094).optional().describe("Outermost VLAN id; 0 is untagged."),
  fragment: z.boolean().optional().describe("true: only fragments after the first; false: all other packets."),
});

export type RuleConfig = z.infer<typeof ruleSchema>;

/** Bytes of a rule in the map: `struct Rule` of firewall.bpf.ts. */
export const RULE_BYTES = 96;

/** What the schema cannot say: prefixes, and matches that need a protocol. */
export function checkRule(rule: RuleConfig): ConfigIssue[] {
  const issues: ConfigIssue[] = [];
  const family: { [K in "src" | "dst"]?: 4 | 6 } = {};
  for (const end of ["src", "dst"] as const) {
    const text = rule[end];
    if (text === undefined) continue;
    try {
      const cidr = parseCidr(text);
      family[end] = cidr.address.length === 4 ? 4 : 6;
      if (hostBitsSet(cidr))
        issues.push({ path: [end], message: `expected a prefix without host bits, got "${text}"` });
    } catch (e) {
      issues.push({ path: [end], message: (e as Error).message });
    }
  }
  if (family.src && family.dst && family.src !== family.dst) {
    issues.push({ path: ["dst"], message: `expected an IPv${family.src} prefix as in src, got "${rule.dst}"` });
  }
  const ip = family.src ?? family.dst;
  if (ip && (rule.proto === "arp" || (rule.proto === "ipv4" && ip === 6) || (rule.proto === "ipv6" && ip === 4))) {
    issues.push({
      path: ["proto"],
      message: `expected a protocol over IPv${ip}, as in the prefix, got "${rule.proto}"`,
    });
  }
  if ((ip === 6 && rule.proto === "icmp") || (ip === 4 && rule.proto === "icmpv6")) {
    issues.push({
      path: ["proto"],
      message: `expected ${ip === 6 ? "icmpv6 with an IPv6" : "icmp with an IPv4"} prefix, got "${rule.proto}"`,
    });
  }
  for (const end of ["sport", "dport"] as const) {
    const value = rule[end];
    if (value === undefined) continue;
    const [low, high] = portRange(value);
    if (low > high || high > 65535) {
      issues.push({ path: [end], message: `expected a range low-high within 0-65535, got "${value}"` });
    }
    if (!["tcp", "udp", "sctp", 6, 17, 132].includes(rule.proto ?? "")) {
      issues.push({ path: [end], message: `${end} needs proto tcp, udp or sctp` });
    }
    if (rule.fragment)
      issues.push({ path: [end], message: `${end} cannot match later fragments: they carry no ports` });
  }
  const icmp = icmpTable(rule);
  if (rule.icmpType !== undefined && !icmp)
    issues.push({ path: ["icmpType"], message: "icmpType needs proto icmp or icmpv6" });
  if (typeof rule.icmpType === "string" && icmp && icmp[rule.icmpType] === undefined) {
    issues.push({
      path: ["icmpType"],
      message: `expected one of ${Object.keys(icmp).join(", ")}, got "${rule.icmpType}"`,
    });
  }
  if (rule.icmpType !== undefined && rule.fragment) {
    issues.push({ path: ["icmpType"], message: "icmpType cannot match later fragments: they carry no ICMP header" });
  }
  if (rule.icmpCode !== undefined && rule.icmpType === undefined) {
    issues.push({ path: ["icmpCode"], message: "icmpCode needs icmpType" });
  }
  return issues;
}

function icmpTable(rule: RuleConfig): Record<string, number> | undefined {
  if (rule.proto === "icmp" || rule.proto === 1) return ICMP_TYPES;
  if (rule.proto === "icmpv6" || rule.proto === 58) return ICMP6_TYPES;
  return undefined;
}

function portRange(value: number | string): [number, number] {
  if (typeof value === "number") return [value, value];
  const [low, high] = value.split("-").map(Number);
  return [low!, high!];
}

function maskByte(prefixLength: number, index: number): number {
  const bits = Math.min(8, Math.max(0, prefixLength - index * 8));
  return (0xff00 >> bits) & 0xff;
}

/*
 * The `kind` word of a packet, from its low bits: 16 EtherType, 12 VLAN id, 1 later fragment, 1 has layer-4 ports,
 * 1 is IP (protocol 0 is a real one, and non-IP packets have 0 there),
 * 1 unused, 8 IP protocol, 8 ICMP type, 8 ICMP code. packet/packet.bpf.ts builds the same.
 */
const KIND = {
  etherType: 0n,
  vlan: 16n,
  fragment: 28n,
  ports: 29n,
  ip: 30n,
  proto: 32n,
  icmpType: 40n,
  icmpCode: 48n,
} as const;

/** The 96 bytes of a rule that passed `checkRule`; little-endian words, addresses in network order. */
export function encodeRule(rule: RuleConfig): Uint8Array {
  const out = new Uint8Array(RULE_BYTES);
  const view = new DataView(out.buffer);
  let value = 0n;
  let mask = 0n;
  const match = (field: keyof typeof KIND, bits: number, wanted: number): void => {
    mask |= ((1n << BigInt(bits)) - 1n) << KIND[field];
    value |= BigInt(wanted) << KIND[field];
  };
  for (const [end, at] of [
    ["src", 0],
    ["dst", 32],
  ] as const) {
    const text = rule[end];
    if (text === undefined) continue;
    const { address, prefixLength } = parseCidr(text);
    match("etherType", 16, address.length === 4 ? ETHERTYPES.ipv4 : ETHERTYPES.ipv6);
    out.set(address, at);
    for (let i = 0; i < address.length; i++) out[at + 16 + i] = maskByte(prefixLength, i);
  }
  if (typeof rule.proto === "number") {
    match("proto", 8, rule.proto);
    match("ip", 1, 1);
  } else if (rule.proto !== undefined) {
    const ip = IP_PROTOCOLS[rule.proto as keyof typeof IP_PROTOCOLS];
    if (ip !== undefined) {
      match("proto", 8, ip);
      match("ip", 1, 1);
    } else match("etherType", 16, ETHERTYPES[rule.proto as keyof typeof ETHERTYPES]);
  }
  // ICMP belongs to IPv4 and ICMPv6 to IPv6: the number alone would also match the other family's packets.
  if (rule.proto === "icmp") match("etherType", 16, ETHERTYPES.ipv4);
  if (rule.proto === "icmpv6") match("etherType", 16, ETHERTYPES.ipv6);
  if (rule.icmpType !== undefined) {
    match("icmpType", 8, typeof rule.icmpType === "number" ? rule.icmpType : icmpTable(rule)![rule.icmpType]!);
    match("fragment", 1, 0);
  }
  if (rule.icmpCode !== undefined) match("icmpCode", 8, rule.icmpCode);
  if (rule.vlan !== undefined) match("vlan", 12, rule.vlan);
  if (rule.fragment !== undefined) match("fragment", 1, rule.fragment ? 1 : 0);
  if (rule.sport !== undefined || rule.dport !== undefined) match("ports", 1, 1);
  view.setBigUint64(64, value, true);
  view.setBigUint64(72, mask, true);
  const [sportLow, sportHigh] = portRange(rule.sport ?? "0-65535");
  const [dportLow, dportHigh] = portRange(rule.dport ?? "0-65535");
  view.setUint16(80, sportLow, true);
  view.setUint16(82, sportHigh, true);
  view.setUint16(84, dportLow, true);
  view.setUint16(86, dportHigh, true);
  view.setUint32(88, rule.action === "drop" ? 1 : 0, true);
  return out;
}
