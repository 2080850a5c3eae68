import { atomicAdd, be16, ETH_P_IP, ethernet, ipv4, Lpm4, lpmTrie, u64, XDP_DROP, XDP_PASS, xdp } from "ebplane/bpf";

export const acl = lpmTrie(Lpm4, u64, { maxEntries: 1024 });

export const prog = xdp((ctx) => {
  const p = ctx.packet();
  const eth = p.take(ethernet);
  if (!eth) return XDP_DROP;
  if (eth.proto !== be16(ETH_P_IP)) return XDP_PASS;
  const ip = p.take(ipv4);
  if (!ip) return XDP_DROP;
  const hits = acl.lookup(Lpm4({ prefixlen: 32, addr: ip.saddr }));
  if (!hits) return XDP_PASS;
  atomicAdd(hits.value, 1n);
  return XDP_DROP;
});
