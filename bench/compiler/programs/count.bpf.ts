import { be16, ETH_P_IP, ethernet, ipv4, percpuArray, struct, u64, XDP_DROP, XDP_PASS, xdp } from "ebplane/bpf";

const Counter = struct({ packets: u64, bytes: u64 });
export const counters = percpuArray(Counter, { maxEntries: 256 });

export const prog = xdp((ctx) => {
  const p = ctx.packet();
  const eth = p.take(ethernet);
  if (!eth) return XDP_DROP;
  if (eth.proto !== be16(ETH_P_IP)) return XDP_PASS;
  const ip = p.take(ipv4);
  if (!ip) return XDP_DROP;
  const c = counters.lookup(ip.protocol);
  if (c) {
    c.packets += 1n;
    c.bytes += u64(ctx.length);
  }
  return ip.protocol === 255 ? XDP_DROP : XDP_PASS;
});
