import {
  be16,
  be32,
  ETH_P_IP,
  ethernet,
  ipv4,
  ktimeGetNs,
  lruHash,
  struct,
  u64,
  XDP_DROP,
  XDP_PASS,
  xdp,
} from "ebplane/bpf";

const Key = struct({ saddr: be32, daddr: be32 });
const State = struct({ last: u64, tokens: u64, dropped: u64 });
export const flows = lruHash(Key, State, { maxEntries: 65536 });
const BURST = 1_000_000n;

export const prog = xdp((ctx) => {
  const length = u64(ctx.length);
  const p = ctx.packet();
  const eth = p.take(ethernet);
  if (!eth) return XDP_DROP;
  if (eth.proto !== be16(ETH_P_IP)) return XDP_PASS;
  const ip = p.peek(ipv4);
  if (!ip) return XDP_DROP;
  const key = Key({ saddr: ip.saddr, daddr: ip.daddr });
  const now = ktimeGetNs();
  const s = flows.lookup(key);
  if (!s) {
    flows.update(key, State({ last: now, tokens: BURST - length }), 1);
    return XDP_PASS;
  }
  let tokens = s.tokens + ((now - s.last) / 1000n) * 125n;
  if (tokens > BURST) tokens = BURST;
  s.last = now;
  if (tokens < length) {
    s.tokens = tokens;
    s.dropped += 1n;
    return XDP_DROP;
  }
  s.tokens = tokens - length;
  return XDP_PASS;
});
