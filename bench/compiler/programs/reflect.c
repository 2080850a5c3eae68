#include "common.h"
SEC("xdp") int prog(struct xdp_md *ctx) {
	void *pos = DATA(ctx), *end = END(ctx);
	TAKE(ethhdr, eth) return XDP_DROP;
	if (eth->h_proto != bpf_htons(ETH_P_IP)) return XDP_PASS;
	pos = eth + 1;
	TAKE(iphdr, ip) return XDP_DROP;
	u32 len = ip->ihl * 4;
	if (len < 20) return XDP_DROP;
	if (ip->protocol != IPPROTO_ICMP) return XDP_PASS;
	pos += len;
	TAKE(icmphdr, icmp) return XDP_DROP;
	if (icmp->type != 8 || icmp->code != 0) return XDP_PASS;
	u8 mac[6] __attribute__((aligned(2)));
	__builtin_memcpy(mac, eth->h_dest, 6);
	__builtin_memcpy(eth->h_dest, eth->h_source, 6);
	__builtin_memcpy(eth->h_source, mac, 6);
	u32 addr = ip->saddr;
	ip->saddr = ip->daddr;
	ip->daddr = addr;
	icmp->type = 0;
	u32 sum = (u32)bpf_ntohs(icmp->checksum) + 0x0800;
	sum = (sum & 0xffff) + (sum >> 16);
	icmp->checksum = bpf_htons(sum);
	return XDP_TX;
}
char _license[] SEC("license") = "GPL";
