import {
  asBe16,
  be16,
  be32,
  bytes,
  copy,
  ETH_P_IP,
  ethernet,
  fibLookup,
  ipv4,
  license,
  ntohs,
  raw,
  redirect,
  struct,
  u8,
  u16,
  u32,
  XDP_DROP,
  XDP_PASS,
  xdp,
} from "ebplane/bpf";

license("GPL");

/** `struct bpf_fib_lookup` of an IPv4 packet. */
const Fib = struct({
  family: u8,
  l4Protocol: u8,
  sport: be16,
  dport: be16,
  totLen: u16,
  ifindex: u32,
  tos: u8,
  pad: bytes(3),
  src: be32,
  src6: bytes(12),
  dst: be32,
  dst6: bytes(12),
  vlan: u32,
  smac: bytes(6),
  dmac: bytes(6),
});

export const prog = xdp((ctx) => {
  const p = ctx.packet();
  const eth = p.take(ethernet);
  if (!eth) return XDP_DROP;
  if (eth.proto !== be16(ETH_P_IP)) return XDP_PASS;
  const ip = p.peek(ipv4);
  if (!ip) return XDP_DROP;
  if (ip.ihl < 5) return XDP_DROP;
  if (ip.ttl <= 1) return XDP_PASS;
  const fib = Fib({
    family: 2,
    tos: ip.tos,
    l4Protocol: ip.protocol,
    totLen: ntohs(ip.totLen),
    src: ip.saddr,
    dst: ip.daddr,
    ifindex: ctx.ingressIfindex,
  });
  const r = fibLookup(ctx, fib, 0);
  if (r !== 0) return r === 1 ? XDP_DROP : XDP_PASS;
  const sum = raw(ip.check) + raw(be16(0x0100));
  ip.check = asBe16((sum + (sum >> 16)) & 0xffff);
  ip.ttl -= 1;
  copy(eth.dst, fib.dmac);
  copy(eth.src, fib.smac);
  return u32(redirect(fib.ifindex));
});
