/** Counts packets and bytes by IP protocol, and drops one protocol that the configuration names. */
import { be16, config, ETH_P_IP, ethernet, ipv4, percpuArray, struct, u64, XDP_DROP, XDP_PASS, xdp } from "ebplane/bpf";

const Counter = struct({ packets: u64, bytes: u64 });
export const counters = percpuArray(Counter, { maxEntries: 256 });
const BLOCKED = config("BLOCKED", 255);

export const count = xdp((ctx) => {
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
  return ip.protocol === BLOCKED ? XDP_DROP : XDP_PASS;
});
