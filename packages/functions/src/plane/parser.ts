/** The step before every chain: it takes the packet apart (packet/packet.bpf.ts) and drops what is malformed. */

/** In the order of the program's codes, which count from 1. */
export const PARSER_REASONS: readonly string[] = [
  "truncated Ethernet or VLAN header",
  "malformed IPv4 header",
  "malformed IPv6 header",
  "too many IPv6 extension headers",
  "malformed fragment",
  "malformed TCP header",
  "malformed UDP header",
  "malformed SCTP header",
  "malformed ICMP header",
];
