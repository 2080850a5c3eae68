import {
  be16,
  be32,
  ETH_P_IP,
  ethernet,
  IPPROTO_TCP,
  IPPROTO_UDP,
  ipv4,
  ktimeGetNs,
  lruHash,
  raw,
  struct,
  u32,
  u64,
  udp,
  XDP_DROP,
  XDP_PASS,
  xdp,
} from "ebplane/bpf";

const Key = struct({ a: be32, b: be32, ap: be16, bp: be16, proto: u32 });
const Entry = struct({ last: u64, state: u32, packets: u32 });
export const flows = lruHash(Key, Entry, { maxEntries: 65536 });
const INSIDE = 10;
const TIMEOUT = 60_000_000_000n;

export const prog = xdp((ctx) => {
  const p = ctx.packet();
  const eth = p.take(ethernet);
  if (!eth) return XDP_DROP;
  if (eth.proto !== be16(ETH_P_IP)) return XDP_PASS;
  const ip = p.take(ipv4);
  if (!ip) return XDP_DROP;
  if (ip.protocol !== IPPROTO_TCP && ip.protocol !== IPPROTO_UDP) return XDP_DROP;
  const ports = p.take(udp);
  if (!ports) return XDP_DROP;
  const out = (raw(ip.saddr) & 0xff) === INSIDE;
  const k = Key({ proto: ip.protocol });
  if (out) {
    k.a = ip.saddr;
    k.b = ip.daddr;
    k.ap = ports.source;
    k.bp = ports.dest;
  } else {
    k.a = ip.daddr;
    k.b = ip.saddr;
    k.ap = ports.dest;
    k.bp = ports.source;
  }
  const now = ktimeGetNs();
  const e = flows.lookup(k);
  if (e && now - e.last < TIMEOUT) {
    e.last = now;
    e.packets++;
    if (!out) e.state = 2;
    return XDP_PASS;
  }
  if (!out) return XDP_DROP;
  flows.update(k, Entry({ last: now, state: 1, packets: 1 }));
  return XDP_PASS;
});
