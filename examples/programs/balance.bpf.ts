/** Balances TCP over backends by a hash of the flow, in IPIP towards them. */
import {
  array,
  be16,
  be32,
  copy,
  ETH_P_IP,
  ethernet,
  htons,
  IPPROTO_IPIP,
  IPPROTO_TCP,
  ipv4,
  ntohl,
  ntohs,
  raw,
  type u32,
  udp,
  XDP_DROP,
  XDP_PASS,
  XDP_TX,
  xdp,
  xdpAdjustHead,
} from "ebplane/bpf";

export const backends = array(be32, { maxEntries: 1024 });

export const balance = xdp((ctx) => {
  const p = ctx.packet();
  const eth = p.take(ethernet);
  if (!eth) return XDP_DROP;
  if (eth.proto !== be16(ETH_P_IP)) return XDP_PASS;
  const ip = p.take(ipv4);
  if (!ip) return XDP_DROP;
  if (ip.protocol !== IPPROTO_TCP) return XDP_PASS;
  const ports = p.take(udp);
  if (!ports) return XDP_DROP;
  let h = (raw(ip.saddr) * 0x9e3779b1) ^ (((raw(ports.source) << 16) | raw(ports.dest)) * 0x85ebca6b);
  h ^= h >> 15;
  const to = backends.lookup(h & 1023);
  if (!to) return XDP_DROP;
  const saddr = ip.daddr;
  const daddr = to.value;
  const total = (ntohs(ip.totLen) + 20) & 0xffff;
  if (xdpAdjustHead(ctx, -20) !== 0) return XDP_DROP;
  const now = ctx.header(ethernet);
  const outer = ctx.header(ipv4, 14);
  const old = ctx.header(ethernet, 20);
  if (!now || !outer || !old) return XDP_DROP;
  copy(now, old);
  outer.version = 4;
  outer.ihl = 5;
  outer.tos = 0;
  outer.totLen = htons(total);
  outer.id = be16(0);
  outer.fragOff = be16(0);
  outer.ttl = 64;
  outer.protocol = IPPROTO_IPIP;
  outer.saddr = saddr;
  outer.daddr = daddr;
  const s = ntohl(saddr);
  const d = ntohl(daddr);
  let sum: u32 = 0x4500 + total + 0x4004 + (s & 0xffff) + (s >> 16) + (d & 0xffff) + (d >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  outer.check = htons(~sum & 0xffff);
  return XDP_TX;
});
