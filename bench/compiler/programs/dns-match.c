#include "common.h"
struct dnshdr { u16 id, flags, qd, an, ns, ar; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 4096); __type(key, u32); __type(value, u32); } names SEC(".maps");
SEC("xdp") int prog(struct xdp_md *ctx) {
	void *pos = DATA(ctx), *end = END(ctx);
	TAKE(ethhdr, eth) return XDP_PASS;
	if (eth->h_proto != bpf_htons(ETH_P_IP)) return XDP_PASS;
	pos = eth + 1;
	TAKE(iphdr, ip) return XDP_PASS;
	u32 len = ip->ihl * 4;
	if (len < 20) return XDP_PASS;
	if (ip->protocol != IPPROTO_UDP) return XDP_PASS;
	pos += len;
	TAKE(udphdr, udp) return XDP_PASS;
	if (udp->dest != bpf_htons(53)) return XDP_PASS;
	pos = udp + 1;
	TAKE(dnshdr, dns) return XDP_DROP;
	if (dns->qd != bpf_htons(1)) return XDP_DROP;
	u8 *c = (u8 *)(dns + 1);
	u32 h = 0x811c9dc5;
#pragma clang loop unroll(disable)
	for (int i = 0; i < 64; i++) {
		if ((void *)(c + 1) > end) return XDP_DROP;
		if (!*c) break;
		h = (h ^ *c) * 0x01000193;
		c++;
	}
	u32 *action = bpf_map_lookup_elem(&names, &h);
	return action ? *action : XDP_PASS;
}
char _license[] SEC("license") = "GPL";
