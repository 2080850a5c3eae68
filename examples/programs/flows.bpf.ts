/** Counts packets and bytes of each flow in an LRU hash. */
import {
  atomicAdd,
  be16,
  be32,
  bytes,
  ETH_P_IP,
  ethernet,
  IPPROTO_TCP,
  IPPROTO_UDP,
  ipv4,
  ktimeGetNs,
  lruHash,
  struct,
  u8,
  u64,
  udp,
  XDP_PASS,
  xdp,
} from "ebplane/bpf";

const Key = struct({ saddr: be32, daddr: be32, sport: be16, dport: be16, proto: u8, pad: bytes(3) });
const Flow = struct({ packets: u64, bytes: u64, last: u64 });
export const flows = lruHash(Key, Flow, { maxEntries: 65536 });

export const countFlows = xdp((ctx) => {
  const p = ctx.packet();
  const length = u64(p.left);
  const eth = p.take(ethernet);
  if (!eth || eth.proto !== be16(ETH_P_IP)) return XDP_PASS;
  const ip = p.take(ipv4);
  if (!ip) return XDP_PASS;
  const key = Key({ saddr: ip.saddr, daddr: ip.daddr, proto: ip.protocol });
  if (ip.protocol === IPPROTO_TCP || ip.protocol === IPPROTO_UDP) {
    const ports = p.peek(udp);
    if (!ports) return XDP_PASS;
    key.sport = ports.source;
    key.dport = ports.dest;
  }
  const now = ktimeGetNs();
  const f = flows.lookup(key);
  if (f) {
    atomicAdd(f.packets, 1n);
    atomicAdd(f.bytes, length);
    f.last = now;
  } else flows.update(key, Flow({ packets: 1n, bytes: length, last: now }));
  return XDP_PASS;
});
