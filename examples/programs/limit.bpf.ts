/** A token bucket for each source address: what comes faster is dropped. */
import {
  be16,
  be32,
  ETH_P_IP,
  ethernet,
  hash,
  ipv4,
  ktimeGetNs,
  ntohs,
  struct,
  u64,
  XDP_DROP,
  XDP_PASS,
  xdp,
} from "ebplane/bpf";

const Bucket = struct({ tokens: u64, last: u64 });
export const buckets = hash(be32, Bucket, { maxEntries: 4096 });
const RATE = 1000n;
const BURST = 1000000n;

export const limit = xdp((ctx) => {
  const p = ctx.packet();
  const eth = p.take(ethernet);
  if (!eth) return XDP_DROP;
  if (eth.proto !== be16(ETH_P_IP)) return XDP_PASS;
  const ip = p.take(ipv4);
  if (!ip) return XDP_DROP;
  const b = buckets.lookup(ip.saddr);
  if (!b) return XDP_PASS;
  const now = ktimeGetNs();
  const cost = u64(ntohs(ip.totLen)) * 1000n;
  let tokens = b.tokens + (now - b.last) / RATE;
  if (tokens > BURST) tokens = BURST;
  b.last = now;
  if (tokens < cost) {
    b.tokens = tokens;
    return XDP_DROP;
  }
  b.tokens = tokens - cost;
  return XDP_PASS;
});
