import {
  array,
  asBe16,
  asBe32,
  be16,
  be32,
  copy,
  ETH_P_IP,
  ethernet,
  hash,
  header,
  htons,
  IPPROTO_IPIP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  ipv4,
  ntohs,
  raw,
  struct,
  u8,
  u16,
  u32,
  udp,
  XDP_DROP,
  XDP_PASS,
  XDP_TX,
  xdp,
  xdpAdjustHead,
} from "ebplane/bpf";

const Vip = struct({ addr: be32, port: be16, proto: u8, pad: u8 });
export const vips = hash(Vip, u32, { maxEntries: 512 });
export const table = array(u32, { maxEntries: 65537 });
export const reals = array(be32, { maxEntries: 4096 });

/** Ethernet, IPv4 and the Ethernet header that was there: one bounds check for all. */
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
});

function rol(x: u32, n: u32): u32 {
  return (x << n) | (x >> (32 - n));
}

/** Jenkins' final mix of three words, as the kernel's jhash. */
function jhash3(x: u32, y: u32, z: u32): u32 {
  let a: u32 = x + 0xdeadbeef;
  let b: u32 = y + 0xdeadbeef;
  let c: u32 = z + 0xdeadbeef;
  c ^= b;
  c -= rol(b, 14);
  a ^= c;
  a -= rol(c, 11);
  b ^= a;
  b -= rol(a, 25);
  c ^= b;
  c -= rol(b, 16);
  a ^= c;
  a -= rol(c, 4);
  b ^= a;
  b -= rol(a, 14);
  c ^= b;
  c -= rol(b, 24);
  return c;
}

export const prog = xdp((ctx) => {
  const p = ctx.packet();
  const eth = p.take(ethernet);
  if (!eth) return XDP_DROP;
  if (eth.proto !== be16(ETH_P_IP)) return XDP_PASS;
  const ip = p.take(ipv4);
  if (!ip) return XDP_DROP;
  if ((ip.fragOff & be16(0x3fff)) !== be16(0)) return XDP_PASS;
  if (ip.protocol !== IPPROTO_TCP && ip.protocol !== IPPROTO_UDP) return XDP_PASS;
  const ports = p.take(udp);
  if (!ports) return XDP_DROP;
  const ring = vips.lookup({ addr: ip.daddr, port: ports.dest, proto: ip.protocol });
  if (!ring) return XDP_PASS;
  const slot = jhash3(raw(ip.saddr), (raw(ports.source) << 16) | raw(ports.dest), ring.value) % 65537;
  const index = table.lookup(slot);
  if (!index) return XDP_DROP;
  const real = reals.lookup(index.value);
  if (!real) return XDP_DROP;
  const saddr = asBe32(0x0a0a | (raw(ip.saddr) & 0xffff0000));
  const daddr = real.value;
  const total = u16(ntohs(ip.totLen) + 20);
  const tos = ip.tos;
  if (xdpAdjustHead(ctx, -20) !== 0) return XDP_DROP;
  const o = ctx.header(outer);
  const old = ctx.header(ethernet, 20);
  if (!o || !old) return XDP_DROP;
  copy(o.eth, old);
  o.versionIhl = 0x45;
  o.tos = tos;
  o.totLen = htons(total);
  o.id = be16(0);
  o.fragOff = be16(0);
  o.ttl = 64;
  o.protocol = IPPROTO_IPIP;
  o.saddr = saddr;
  o.daddr = daddr;
  let sum: u32 = raw(htons(0x4500 | tos)) + raw(htons(total)) + raw(be16(0x4004));
  sum += (raw(saddr) & 0xffff) + (raw(saddr) >> 16) + (raw(daddr) & 0xffff) + (raw(daddr) >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  o.check = asBe16(~sum & 0xffff);
  return XDP_TX;
});
