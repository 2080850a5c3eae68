import {
  be16,
  dns,
  ETH_P_IP,
  ethernet,
  hash,
  header,
  IPPROTO_UDP,
  ipv4,
  u8,
  u32,
  udp,
  XDP_DROP,
  XDP_PASS,
  xdp,
} from "ebplane/bpf";

const octet = header({ value: u8 });
export const names = hash(u32, u32, { maxEntries: 4096 });

export const prog = xdp((ctx) => {
  const p = ctx.packet();
  const eth = p.take(ethernet);
  if (!eth) return XDP_PASS;
  if (eth.proto !== be16(ETH_P_IP)) return XDP_PASS;
  const ip = p.take(ipv4);
  if (!ip) return XDP_PASS;
  if (ip.protocol !== IPPROTO_UDP) return XDP_PASS;
  const u = p.take(udp);
  if (!u) return XDP_PASS;
  if (u.dest !== be16(53)) return XDP_PASS;
  const query = p.take(dns);
  if (!query) return XDP_DROP;
  if (query.qdcount !== be16(1)) return XDP_DROP;
  let h: u32 = 0x811c9dc5;
  for (let i = 0; i < 64; i++) {
    const c = p.take(octet);
    if (!c) return XDP_DROP;
    if (c.value === 0) break;
    h = (h ^ c.value) * 0x01000193;
  }
  return names.lookup(h)?.value ?? XDP_PASS;
});
