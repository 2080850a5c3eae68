import {
  be16,
  ETH_P_IP,
  ethernet,
  hash,
  IPPROTO_UDP,
  ipv4,
  u32,
  udp,
  vxlan,
  XDP_DROP,
  XDP_PASS,
  xdp,
  xdpAdjustHead,
} from "ebplane/bpf";

export const vnis = hash(u32, u32, { maxEntries: 1024 });

export const prog = xdp((ctx) => {
  const p = ctx.packet();
  const eth = p.take(ethernet);
  if (!eth) return XDP_PASS;
  if (eth.proto !== be16(ETH_P_IP)) return XDP_PASS;
  const ip = p.peek(ipv4);
  if (!ip) return XDP_PASS;
  if (ip.ihl !== 5 || ip.protocol !== IPPROTO_UDP) return XDP_PASS;
  p.skip(20);
  const u = p.take(udp);
  if (!u) return XDP_PASS;
  if (u.dest !== be16(4789)) return XDP_PASS;
  const vx = p.take(vxlan);
  if (!vx) return XDP_DROP;
  if ((vx.flags & 8) === 0) return XDP_DROP;
  const action = vnis.lookup(vx.vni);
  if (!action) return XDP_DROP;
  const verdict = action.value;
  if (xdpAdjustHead(ctx, 50) !== 0) return XDP_DROP;
  return verdict;
});
