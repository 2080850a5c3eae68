import {
  array,
  be16,
  bytes,
  copy,
  ethernet,
  struct,
  u32,
  vlan,
  XDP_DROP,
  XDP_PASS,
  xdp,
  xdpAdjustHead,
} from "ebplane/bpf";

const Macs = struct({ dst: bytes(6), src: bytes(6) });
export const vids = array(u32, { maxEntries: 4096 });

export const prog = xdp((ctx) => {
  const p = ctx.packet();
  const eth = p.take(ethernet);
  if (!eth) return XDP_DROP;
  if (eth.proto !== be16(0x8100)) return XDP_PASS;
  const tag = p.take(vlan);
  if (!tag) return XDP_DROP;
  const found = vids.lookup(tag.vid);
  if (!found || found.value === 0) return XDP_DROP;
  const macs = Macs({ dst: eth.dst, src: eth.src });
  const verdict = found.value;
  if (xdpAdjustHead(ctx, 4) !== 0) return XDP_DROP;
  const now = ctx.header(ethernet);
  if (!now) return XDP_DROP;
  copy(now.dst, macs.dst);
  copy(now.src, macs.src);
  return verdict;
});
