import {
  be16,
  be32,
  copy,
  ETH_P_IP,
  ethernet,
  hash,
  header,
  htonl,
  htons,
  IPPROTO_UDP,
  ipv4,
  ntohl,
  ntohs,
  raw,
  struct,
  u8,
  u32,
  XDP_DROP,
  XDP_PASS,
  XDP_TX,
  xdp,
  xdpAdjustHead,
} from "ebplane/bpf";

const Tunnel = struct({ local: be32, remote: be32, vni: u32 });
/** Ethernet, IPv4, UDP and VXLAN: one bounds check for all. */
const outer = header({
  eth: ethernet,
  versionIhl: u8,
  tos: u8,
  totLen: be16,
  id: be16,
  fragOff: be16,
  ttl: u8,
  protocol: u8,
  check: be16,
  saddr: be32,
  daddr: be32,
  source: be16,
  dest: be16,
  len: be16,
  udpCheck: be16,
  flags: be32,
  vni: be32,
});
export const tunnels = hash(be32, Tunnel, { maxEntries: 1024 });

export const prog = xdp((ctx) => {
  const p = ctx.packet();
  const eth = p.take(ethernet);
  if (!eth) return XDP_DROP;
  if (eth.proto !== be16(ETH_P_IP)) return XDP_PASS;
  const ip = p.peek(ipv4);
  if (!ip) return XDP_DROP;
  if (ip.ihl < 5) return XDP_DROP;
  const len = ntohs(ip.totLen) + 14;
  let entropy: u32 = raw(ip.saddr) ^ raw(ip.daddr);
  entropy ^= entropy >> 16;
  const t = tunnels.lookup(ip.daddr);
  if (!t) return XDP_PASS;
  if (xdpAdjustHead(ctx, -50) !== 0) return XDP_DROP;
  const o = ctx.header(outer);
  const inner = ctx.header(ethernet, 50);
  if (!o || !inner) return XDP_DROP;
  copy(o.eth, inner);
  o.versionIhl = 0x45;
  o.tos = 0;
  o.totLen = htons((len + 36) & 0xffff);
  o.id = be16(0);
  o.fragOff = be16(0x4000);
  o.ttl = 64;
  o.protocol = IPPROTO_UDP;
  o.saddr = t.local;
  o.daddr = t.remote;
  const s = ntohl(t.local);
  const d = ntohl(t.remote);
  let sum: u32 = 0x4500 + ((len + 36) & 0xffff) + 0x4000 + 0x4011 + (s & 0xffff) + (s >> 16) + (d & 0xffff) + (d >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  o.check = htons(~sum & 0xffff);
  o.source = htons((entropy | 0xc000) & 0xffff);
  o.dest = be16(4789);
  o.len = htons((len + 16) & 0xffff);
  o.udpCheck = be16(0);
  o.flags = be32(0x08000000);
  o.vni = htonl(t.vni << 8);
  return XDP_TX;
});
