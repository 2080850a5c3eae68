#include "common.h"
SEC("xdp") int prog(struct xdp_md *ctx) {
	void *pos = DATA(ctx), *end = END(ctx);
	TAKE(ethhdr, eth) return XDP_PASS;
	pos = eth + 1;
	u8 proto;
	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		TAKE(iphdr, ip) return XDP_PASS;
		u32 len = ip->ihl * 4;
		if (len < 20) return XDP_PASS;
		proto = ip->protocol;
		pos += len;
	} else if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
		TAKE(ipv6hdr, ip) return XDP_PASS;
		proto = ip->nexthdr;
		pos = ip + 1;
	} else return XDP_PASS;
	if (proto != IPPROTO_UDP) return XDP_PASS;
	TAKE(udphdr, udp) return XDP_PASS;
	return udp->dest == bpf_htons(53) ? XDP_DROP : XDP_PASS;
}
char _license[] SEC("license") = "GPL";
