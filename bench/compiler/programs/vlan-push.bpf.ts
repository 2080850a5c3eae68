import {
  array,
  be16,
  bytes,
  copy,
  ETH_P_8021Q,
  ethernet,
  header,
  htons,
  u16,
  XDP_DROP,
  XDP_PASS,
  XDP_TX,
  xdp,
  xdpAdjustHead,
} from "ebplane/bpf";

export const ports = array(u16, { maxEntries: 256 });
const macs = header({ addresses: bytes(12) });
const tagged = header({ addresses: bytes(12), tpid: be16, tci: be16, proto: be16 });

export const prog = xdp((ctx) => {
  const eth = ctx.header(ethernet);
  if (!eth) return XDP_DROP;
  if (eth.proto === be16(ETH_P_8021Q)) return XDP_PASS;
  const vid = ports.lookup(ctx.ingressIfindex & 255);
  if (!vid || vid.value === 0) return XDP_PASS;
  const tci = htons(vid.value & 0xfff);
  if (xdpAdjustHead(ctx, -4) !== 0) return XDP_DROP;
  const now = ctx.header(tagged);
  const old = ctx.header(macs, 4);
  if (!now || !old) return XDP_DROP;
  copy(now.addresses, old.addresses);
  now.tpid = be16(ETH_P_8021Q);
  now.tci = tci;
  return XDP_TX;
});
