#include "common.h"
struct rule { u32 saddr, smask, daddr, dmask; u16 lo, hi; u8 proto, any; u16 drop; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 64); __type(key, u32); __type(value, struct rule); } rules SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 64); __type(key, u32); __type(value, u64); } hits SEC(".maps");
SEC("xdp") int prog(struct xdp_md *ctx) {
	void *pos = DATA(ctx), *end = END(ctx);
	TAKE(ethhdr, eth) return XDP_DROP;
	if (eth->h_proto != bpf_htons(ETH_P_IP)) return XDP_PASS;
	pos = eth + 1;
	TAKE(iphdr, ip) return XDP_DROP;
	u32 len = ip->ihl * 4;
	if (len < 20) return XDP_DROP;
	pos += len;
	u32 port = 0, proto = ip->protocol, saddr = ip->saddr, daddr = ip->daddr;
	if (proto == IPPROTO_TCP || proto == IPPROTO_UDP) {
		TAKE(udphdr, udp) return XDP_DROP;
		port = bpf_ntohs(udp->dest);
	}
	for (u32 i = 0; i < 64; i++) {
		u32 k = i;
		struct rule *r = bpf_map_lookup_elem(&rules, &k);
		if (!r) break;
		if ((saddr & r->smask) != r->saddr) continue;
		if ((daddr & r->dmask) != r->daddr) continue;
		if (!r->any && r->proto != proto) continue;
		if (port < r->lo || port > r->hi) continue;
		u64 *h = bpf_map_lookup_elem(&hits, &k);
		if (h) (*h)++;
		return r->drop ? XDP_DROP : XDP_PASS;
	}
	return XDP_DROP;
}
char _license[] SEC("license") = "GPL";
