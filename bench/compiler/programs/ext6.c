#include "common.h"
struct ext { u8 nexthdr, hdrlen, type, left; u32 rest; };
SEC("xdp") int prog(struct xdp_md *ctx) {
	void *pos = DATA(ctx), *end = END(ctx);
	TAKE(ethhdr, eth) return XDP_DROP;
	if (eth->h_proto != bpf_htons(ETH_P_IPV6)) return XDP_PASS;
	pos = eth + 1;
	TAKE(ipv6hdr, ip) return XDP_DROP;
	u8 next = ip->nexthdr;
	pos = ip + 1;
#pragma clang loop unroll(disable)
	for (int i = 0; i < 6; i++) {
		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS) break;
		TAKE(ext, e) return XDP_DROP;
		if (next == IPPROTO_ROUTING && e->type == 0) return XDP_DROP;
		next = e->nexthdr;
		pos += (e->hdrlen + 1) * 8;
	}
	if (next != IPPROTO_UDP) return XDP_PASS;
	TAKE(udphdr, udp) return XDP_DROP;
	return udp->dest == bpf_htons(53) ? XDP_TX : XDP_PASS;
}
char _license[] SEC("license") = "GPL";
