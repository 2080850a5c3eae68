#include "common.h"
SEC("xdp") int prog(struct xdp_md *ctx) {
	void *pos = DATA(ctx), *end = END(ctx);
	TAKE(ethhdr, eth) return XDP_DROP;
	u16 type = eth->h_proto;
	pos = eth + 1;
	if (type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETH_P_8021AD)) {
		TAKE(vlan_hdr, tag) return XDP_DROP;
		type = tag->h_vlan_encapsulated_proto;
		pos = tag + 1;
	}
	u8 proto;
	if (type == bpf_htons(ETH_P_IP)) {
		TAKE(iphdr, ip) return XDP_DROP;
		u32 len = ip->ihl * 4;
		if (len < 20) return XDP_DROP;
		if (ip->frag_off & bpf_htons(0x1fff)) return XDP_PASS;
		proto = ip->protocol;
		pos += len;
	} else if (type == bpf_htons(ETH_P_IPV6)) {
		TAKE(ipv6hdr, ip) return XDP_DROP;
		proto = ip->nexthdr;
		pos = ip + 1;
	} else return XDP_PASS;
	u16 port;
	if (proto == IPPROTO_TCP) {
		TAKE(tcphdr, tcp) return XDP_DROP;
		if (tcp->doff < 5) return XDP_DROP;
		port = tcp->dest;
	} else if (proto == IPPROTO_UDP) {
		TAKE(udphdr, udp) return XDP_DROP;
		port = udp->dest;
	} else return XDP_PASS;
	return port == bpf_htons(443) ? XDP_DROP : XDP_PASS;
}
char _license[] SEC("license") = "GPL";
