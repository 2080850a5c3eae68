//! A parser of many headers sets what it does not find once; its variables have one home each.
//! run 020000000001 020000000002 0806 00000000000000000000000000000000000000000000000000000000 -> 3
//! run 020000000001 020000000002 0800 4500002800010000 4011 0000 0a000001 0a000002 9c40 0035 0014 0000 000000000000000000000000 -> 80
//! run 020000000001 020000000002 0800 45000028000100004011 -> 1001
//! run 020000000001 020000000002 8100 0005 86dd 60000000 0008 3a 40 0000000000000000000000000000000000000000000000000000000000000000 8007 0000 00000000 -> 77
import { arp, ethernet, geneve, gre, icmp, icmp6, ipv4, ipv6, ipv6Ext, ipv6Frag, sctp, tcp, udp, vlan, vxlan, dns, mpls, u32, xdp } from "ebplane/bpf";
export const main = xdp((ctx) => {
  const h = ctx.packet().parse({ eth: ethernet, vlan, vlan2: vlan, arp, ip: ipv4, ip6: ipv6, hop: ipv6Ext, frag: ipv6Frag, icmp, icmp6, tcp, udp, sctp, gre, vxlan, geneve, dns });
  let n: u32 = 0;
  if (h.eth) n += 1;
  if (h.vlan) n += h.vlan.vid;
  if (h.vlan2) n += h.vlan2.vid;
  if (h.arp) n += 2;
  if (h.ip) n += h.ip.ttl;
  if (h.ip6) n += h.ip6.hopLimit;
  if (h.hop) n += 3;
  if (h.frag) n += 4;
  if (h.icmp) n += h.icmp.code;
  if (h.icmp6) n += h.icmp6.code;
  if (h.tcp) n += h.tcp.doff;
  if (h.udp) n += 5;
  if (h.sctp) n += 6;
  if (h.gre) n += 7;
  if (h.vxlan) n += 8;
  if (h.geneve) n += 9;
  if (h.dns) n += 10;
  if (h.truncated) n += 1000;
  return n;
});
