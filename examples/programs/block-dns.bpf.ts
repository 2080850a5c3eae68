/** Drops DNS queries over UDP, IPv4 and IPv6, and passes the rest. */
import {
  be16,
  ETH_P_IP,
  ETH_P_IPV6,
  ethernet,
  IPPROTO_UDP,
  ipv4,
  ipv6,
  type Packet,
  type u8,
  udp,
  XDP_DROP,
  XDP_PASS,
  xdp,
} from "ebplane/bpf";

function transport(p: Packet): u8 | undefined {
  const eth = p.take(ethernet);
  if (!eth) return undefined;
  if (eth.proto === be16(ETH_P_IP)) return p.take(ipv4)?.protocol;
  if (eth.proto === be16(ETH_P_IPV6)) return p.take(ipv6)?.nexthdr;
  return undefined;
}

export const blockDns = xdp((ctx) => {
  const p = ctx.packet();
  if (transport(p) !== IPPROTO_UDP) return XDP_PASS;
  const u = p.take(udp);
  if (!u) return XDP_PASS;
  return u.dest === be16(53) ? XDP_DROP : XDP_PASS;
});
