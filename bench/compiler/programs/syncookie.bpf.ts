import {
  array,
  asBe16,
  asBe32,
  be16,
  be32,
  bytes,
  copy,
  ETH_P_IP,
  ethernet,
  header,
  htonl,
  IPPROTO_TCP,
  ipv4,
  ntohl,
  raw,
  struct,
  u8,
  u32,
  XDP_DROP,
  XDP_PASS,
  XDP_TX,
  xdp,
} from "ebplane/bpf";

/** TCP without its options. */
const tcpFixed = header({
  source: be16,
  dest: be16,
  seq: be32,
  ackSeq: be32,
  doff: u8,
  flags: u8,
  window: be16,
  check: be16,
  urgPtr: be16,
});
const Mac = struct({ bytes: bytes(6) });
export const secret = array(u32, { maxEntries: 1 });

function mix(h: u32, v: u32): u32 {
  const x = h ^ (v * 0xcc9e2d51);
  return ((x << 13) | (x >>> 19)) * 5 + 0xe6546b64;
}

function fold(a: u32): u32 {
  return (a & 0xffff) + (a >> 16);
}

export const prog = xdp((ctx) => {
  const p = ctx.packet();
  const eth = p.take(ethernet);
  if (!eth) return XDP_DROP;
  if (eth.proto !== be16(ETH_P_IP)) return XDP_PASS;
  const ip = p.peek(ipv4);
  if (!ip) return XDP_DROP;
  if (ip.ihl !== 5 || ip.protocol !== IPPROTO_TCP) return XDP_PASS;
  p.skip(20);
  const tcp = p.take(tcpFixed);
  if (!tcp) return XDP_DROP;
  if ((tcp.flags & 0x12) !== 0x02) return XDP_PASS;
  const key = secret.lookup(0);
  if (!key) return XDP_DROP;
  let h = mix(key.value, raw(ip.saddr));
  h = mix(h, raw(ip.daddr));
  h = mix(h, (raw(tcp.source) << 16) | raw(tcp.dest));
  const ack = htonl(ntohl(tcp.seq) + 1);
  let sum: u32 = (~raw(tcp.check) & 0xffff) + fold(~raw(tcp.seq)) + fold(h) + fold(~raw(tcp.ackSeq)) + fold(raw(ack));
  // The flags are the high byte of their word as it lies in memory.
  sum += (~(tcp.doff | (tcp.flags << 8)) & 0xffff) + (tcp.doff | 0x1200);
  tcp.flags = 0x12;
  sum = fold(fold(sum));
  tcp.check = asBe16(~sum & 0xffff);
  tcp.seq = asBe32(h);
  tcp.ackSeq = ack;
  const port = tcp.source;
  tcp.source = tcp.dest;
  tcp.dest = port;
  const addr = ip.saddr;
  ip.saddr = ip.daddr;
  ip.daddr = addr;
  const mac = Mac();
  copy(mac.bytes, eth.dst);
  copy(eth.dst, eth.src);
  copy(eth.src, mac.bytes);
  return XDP_TX;
});
