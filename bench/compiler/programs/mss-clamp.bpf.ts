import {
  be16,
  csumReplace2,
  ETH_P_IP,
  ethernet,
  header,
  IPPROTO_TCP,
  ipv4,
  ntohs,
  range,
  TCP_SYN,
  tcp,
  u8,
  type u32,
  XDP_DROP,
  XDP_PASS,
  XDP_TX,
  xdp,
} from "ebplane/bpf";

const MSS = 1380;
const option = header({ kind: u8, size: u8, value: be16 });

export const prog = xdp((ctx) => {
  const p = ctx.packet();
  const eth = p.take(ethernet);
  if (!eth) return XDP_DROP;
  if (eth.proto !== be16(ETH_P_IP)) return XDP_PASS;
  const ip = p.take(ipv4);
  if (!ip) return XDP_DROP;
  if (ip.protocol !== IPPROTO_TCP) return XDP_PASS;
  const t = p.peek(tcp);
  if (!t) return XDP_DROP;
  if (!(t.flags & TCP_SYN)) return XDP_PASS;
  const header = t.doff * 4;
  if (header < 20) return XDP_DROP;
  let left: u32 = header - 20;
  p.skip(20);
  for (const _ of range(10)) {
    if (left < 4) return XDP_PASS;
    const o = p.peek(option);
    if (!o) return XDP_PASS;
    if (o.kind === 0) return XDP_PASS;
    if (o.kind === 1) {
      p.skip(1);
      left--;
      continue;
    }
    if (o.kind === 2 && o.size === 4) {
      const old = o.value;
      if (ntohs(old) <= MSS) return XDP_PASS;
      o.value = be16(MSS);
      t.check = csumReplace2(t.check, old, be16(MSS));
      return XDP_TX;
    }
    if (o.size < 2 || o.size > left) return XDP_PASS;
    p.skip(o.size);
    left -= o.size;
  }
  return XDP_PASS;
});
