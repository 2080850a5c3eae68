import {
  asBe16,
  be16,
  be32,
  ETH_P_IP,
  ethernet,
  hash,
  header,
  IPPROTO_TCP,
  ipv4,
  raw,
  struct,
  u16,
  type u32,
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
  flags: be16,
  window: be16,
  check: be16,
  urgPtr: be16,
});
const Key = struct({ saddr: be32, daddr: be32, sport: be16, dport: be16 });
const To = struct({ saddr: be32, sport: be16, pad: u16 });
export const nat = hash(Key, To, { maxEntries: 65536 });

function fix(check: be16, diff: u32): be16 {
  let sum: u32 = (~raw(check) & 0xffff) + diff;
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return asBe16(~sum & 0xffff);
}

function changed(from: u32, to: u32): u32 {
  return (~from & 0xffff) + (~from >>> 16) + (to & 0xffff) + (to >> 16);
}

export const prog = xdp((ctx) => {
  const p = ctx.packet();
  const eth = p.take(ethernet);
  if (!eth) return XDP_DROP;
  if (eth.proto !== be16(ETH_P_IP)) return XDP_PASS;
  const ip = p.take(ipv4);
  if (!ip) return XDP_DROP;
  if (ip.protocol !== IPPROTO_TCP || (raw(ip.fragOff) & raw(be16(0x3fff))) !== 0) return XDP_PASS;
  const tcp = p.take(tcpFixed);
  if (!tcp) return XDP_DROP;
  const to = nat.lookup(Key({ saddr: ip.saddr, daddr: ip.daddr, sport: tcp.source, dport: tcp.dest }));
  if (!to) return XDP_PASS;
  const ipDiff = changed(raw(ip.saddr), raw(to.saddr));
  const diff = ipDiff + (~raw(tcp.source) & 0xffff) + raw(to.sport);
  ip.check = fix(ip.check, ipDiff);
  tcp.check = fix(tcp.check, diff);
  ip.saddr = to.saddr;
  tcp.source = to.sport;
  return XDP_TX;
});
