/** Routes IPv4 by longest prefix: next hop's addresses, TTL and checksum, out of another interface. */
import {
  be16,
  bytes,
  copy,
  ETH_P_IP,
  ethernet,
  htons,
  ipv4,
  Lpm4,
  lpmTrie,
  ntohs,
  redirect,
  struct,
  u32,
  XDP_DROP,
  XDP_PASS,
  xdp,
} from "ebplane/bpf";

const Next = struct({ ifindex: u32, dst: bytes(6), src: bytes(6) });
export const routes = lpmTrie(Lpm4, Next, { maxEntries: 1024 });

export const route = xdp((ctx) => {
  const p = ctx.packet();
  const eth = p.take(ethernet);
  if (!eth) return XDP_DROP;
  if (eth.proto !== be16(ETH_P_IP)) return XDP_PASS;
  const ip = p.take(ipv4);
  if (!ip) return XDP_DROP;
  if (ip.ttl <= 1) return XDP_PASS;
  const n = routes.lookup(Lpm4({ prefixlen: 32, addr: ip.daddr }));
  if (!n) return XDP_PASS;
  let sum = ntohs(ip.check) + 0x0100;
  sum = (sum & 0xffff) + (sum >> 16);
  ip.check = htons(sum & 0xffff);
  ip.ttl--;
  copy(eth.dst, n.dst);
  copy(eth.src, n.src);
  return redirect(n.ifindex);
});
