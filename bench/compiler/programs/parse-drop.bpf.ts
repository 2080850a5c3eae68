import { be16, ethernet, ipv4, ipv6, tcp, udp, vlan, XDP_DROP, XDP_PASS, xdp } from "ebplane/bpf";

/** The parser is made from the headers: what is not asked for is not in it. */
export const prog = xdp((ctx) => {
  const h = ctx.packet().parse({ eth: ethernet, tag: vlan, ip: ipv4, ip6: ipv6, tcp, udp });
  if (h.truncated) return XDP_DROP;
  if (h.tcp) return h.tcp.dest === be16(443) ? XDP_DROP : XDP_PASS;
  if (h.udp) return h.udp.dest === be16(443) ? XDP_DROP : XDP_PASS;
  return XDP_PASS;
});
