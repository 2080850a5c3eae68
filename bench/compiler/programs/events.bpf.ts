import {
  be16,
  be32,
  bytes,
  ETH_P_IP,
  ethernet,
  header,
  IPPROTO_TCP,
  ipv4,
  ringBuffer,
  struct,
  u8,
  u32,
  u64,
  XDP_DROP,
  XDP_PASS,
  xdp,
} from "ebplane/bpf";

const Event = struct({ bytes: u64, saddr: be32, daddr: be32, sport: be16, dport: be16, proto: u32 });
/** TCP without its options. */
const tcpFixed = header({ source: be16, dest: be16, numbers: bytes(9), flags: u8, rest: bytes(6) });
export const ring = ringBuffer({ maxEntries: 65536 });

export const prog = xdp((ctx) => {
  const p = ctx.packet();
  const eth = p.take(ethernet);
  if (!eth) return XDP_DROP;
  if (eth.proto !== be16(ETH_P_IP)) return XDP_PASS;
  const ip = p.take(ipv4);
  if (!ip) return XDP_DROP;
  if (ip.protocol !== IPPROTO_TCP) return XDP_PASS;
  const tcp = p.take(tcpFixed);
  if (!tcp) return XDP_DROP;
  if ((tcp.flags & 0x12) !== 2) return XDP_PASS;
  const e = ring.reserve(Event);
  if (!e) return XDP_PASS;
  e.bytes = u64(ctx.length);
  e.saddr = ip.saddr;
  e.daddr = ip.daddr;
  e.sport = tcp.source;
  e.dport = tcp.dest;
  e.proto = ip.protocol;
  ring.submit(e, 1n);
  return XDP_PASS;
});
