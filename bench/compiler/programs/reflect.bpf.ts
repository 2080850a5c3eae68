import {
  be16,
  bytes,
  copy,
  ETH_P_IP,
  ethernet,
  htons,
  IPPROTO_ICMP,
  icmp,
  ipv4,
  ntohs,
  struct,
  XDP_DROP,
  XDP_PASS,
  XDP_TX,
  xdp,
} from "ebplane/bpf";

const Mac = struct({ bytes: bytes(6) });

export const prog = xdp((ctx) => {
  const p = ctx.packet();
  const eth = p.take(ethernet);
  if (!eth) return XDP_DROP;
  if (eth.proto !== be16(ETH_P_IP)) return XDP_PASS;
  const ip = p.take(ipv4);
  if (!ip) return XDP_DROP;
  if (ip.protocol !== IPPROTO_ICMP) return XDP_PASS;
  const echo = p.take(icmp);
  if (!echo) return XDP_DROP;
  if (echo.type !== 8 || echo.code !== 0) return XDP_PASS;
  const mac = Mac();
  copy(mac.bytes, eth.dst);
  copy(eth.dst, eth.src);
  copy(eth.src, mac.bytes);
  const addr = ip.saddr;
  ip.saddr = ip.daddr;
  ip.daddr = addr;
  echo.type = 0;
  let sum = ntohs(echo.check) + 0x0800;
  sum = (sum & 0xffff) + (sum >> 16);
  echo.check = htons(sum & 0xffff);
  return XDP_TX;
});
