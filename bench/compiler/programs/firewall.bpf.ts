import {
  array,
  be16,
  be32,
  ETH_P_IP,
  ethernet,
  IPPROTO_TCP,
  IPPROTO_UDP,
  ipv4,
  ntohs,
  percpuArray,
  range,
  struct,
  u8,
  u16,
  type u32,
  u64,
  udp,
  XDP_DROP,
  XDP_PASS,
  xdp,
} from "ebplane/bpf";

const Rule = struct({
  saddr: be32,
  smask: be32,
  daddr: be32,
  dmask: be32,
  lo: u16,
  hi: u16,
  proto: u8,
  any: u8,
  drop: u16,
});
export const rules = array(Rule, { maxEntries: 64 });
export const hits = percpuArray(u64, { maxEntries: 64 });

export const prog = xdp((ctx) => {
  const p = ctx.packet();
  const eth = p.take(ethernet);
  if (!eth) return XDP_DROP;
  if (eth.proto !== be16(ETH_P_IP)) return XDP_PASS;
  const ip = p.take(ipv4);
  if (!ip) return XDP_DROP;
  let port: u32 = 0;
  const proto = ip.protocol;
  const saddr = ip.saddr;
  const daddr = ip.daddr;
  if (proto === IPPROTO_TCP || proto === IPPROTO_UDP) {
    const u = p.take(udp);
    if (!u) return XDP_DROP;
    port = ntohs(u.dest);
  }
  for (const i of range(64)) {
    const r = rules.lookup(i);
    if (!r) break;
    if ((saddr & r.smask) !== r.saddr) continue;
    if ((daddr & r.dmask) !== r.daddr) continue;
    if (!r.any && r.proto !== proto) continue;
    if (port < r.lo || port > r.hi) continue;
    const h = hits.lookup(i);
    if (h) h.value += 1n;
    return r.drop ? XDP_DROP : XDP_PASS;
  }
  return XDP_DROP;
});
