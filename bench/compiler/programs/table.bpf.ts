import { be16, ETH_P_IP, ethernet, ipv4, percpuArray, table, u16, u64, XDP_DROP, XDP_PASS, xdp } from "ebplane/bpf";

const CLASSES = table(u16, [100, 200, 300, 400, 500, 600, 700, 800, 900, 1000, 1100, 1200, 1300, 1400, 1500, 1600]);
export const total = percpuArray(u64, { maxEntries: 1 });

export const prog = xdp((ctx) => {
  const p = ctx.packet();
  const eth = p.take(ethernet);
  if (!eth) return XDP_DROP;
  if (eth.proto !== be16(ETH_P_IP)) return XDP_PASS;
  const ip = p.peek(ipv4);
  if (!ip) return XDP_DROP;
  const sum = total.lookup(0);
  if (!sum) return XDP_DROP;
  sum.value += u64(CLASSES[(ip.tos >> 2) & 15]);
  return XDP_PASS;
});
