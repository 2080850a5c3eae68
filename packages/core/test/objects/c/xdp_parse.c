// Headers with bounds checks, VLANs in a loop.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/in.h>
#include <bpf/bpf_endian.h>

struct vlan { __be16 tci, proto; };

SEC("xdp") int parse(struct xdp_md *ctx)
{
	void *p = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = p;
	if (eth + 1 > (struct ethhdr *)end)
		return XDP_ABORTED;
	__be16 proto = eth->h_proto;
	p = eth + 1;
#pragma unroll
	for (int i = 0; i < 2; i++) {
		if (proto != bpf_htons(ETH_P_8021Q) && proto != bpf_htons(ETH_P_8021AD))
			break;
		struct vlan *v = p;
		if (v + 1 > (struct vlan *)end)
			return XDP_ABORTED;
		proto = v->proto;
		p = v + 1;
	}
	if (proto == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = p;
		if (ip + 1 > (struct iphdr *)end)
			return XDP_ABORTED;
		if (ip->protocol != IPPROTO_TCP || ip->ihl != 5)
			return XDP_PASS;
		p = ip + 1;
	} else if (proto == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip6 = p;
		if (ip6 + 1 > (struct ipv6hdr *)end)
			return XDP_ABORTED;
		if (ip6->nexthdr != IPPROTO_TCP)
			return XDP_PASS;
		p = ip6 + 1;
	} else {
		return XDP_PASS;
	}
	struct tcphdr *tcp = p;
	if (tcp + 1 > (struct tcphdr *)end)
		return XDP_ABORTED;
	return tcp->dest == bpf_htons(80) ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "GPL";
