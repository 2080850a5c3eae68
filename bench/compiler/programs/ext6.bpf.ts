import {
  be16,
  be32,
  ETH_P_IPV6,
  ethernet,
  header,
  IPPROTO_DSTOPTS,
  IPPROTO_HOPOPTS,
  IPPROTO_ROUTING,
  IPPROTO_UDP,
  ipv6,
  range,
  u8,
  udp,
  XDP_DROP,
  XDP_PASS,
  XDP_TX,
  xdp,
} from "ebplane/bpf";

const ext = header({ nexthdr: u8, hdrlen: u8, type: u8, left: u8, rest: be32 }, { length: (h) => (h.hdrlen + 1) * 8 });

/** Drops routing headers of type 0, wherever they stand. */
export const prog = xdp((ctx) => {
  const p = ctx.packet();
  const eth = p.take(ethernet);
  if (!eth) return XDP_DROP;
  if (eth.proto !== be16(ETH_P_IPV6)) return XDP_PASS;
  const ip = p.take(ipv6);
  if (!ip) return XDP_DROP;
  let next = ip.nexthdr;
  for (const _ of range(6)) {
    if (next !== IPPROTO_HOPOPTS && next !== IPPROTO_ROUTING && next !== IPPROTO_DSTOPTS) break;
    const e = p.take(ext);
    if (!e) return XDP_DROP;
    if (next === IPPROTO_ROUTING && e.type === 0) return XDP_DROP;
    next = e.nexthdr;
  }
  if (next !== IPPROTO_UDP) return XDP_PASS;
  const u = p.take(udp);
  if (!u) return XDP_DROP;
  return u.dest === be16(53) ? XDP_TX : XDP_PASS;
});
