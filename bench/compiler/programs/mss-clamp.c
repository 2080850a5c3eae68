#include "common.h"
#define MSS 1380
SEC("xdp") int prog(struct xdp_md *ctx) {
	void *pos = DATA(ctx), *end = END(ctx);
	TAKE(ethhdr, eth) return XDP_DROP;
	if (eth->h_proto != bpf_htons(ETH_P_IP)) return XDP_PASS;
	pos = eth + 1;
	TAKE(iphdr, ip) return XDP_DROP;
	u32 len = ip->ihl * 4;
	if (len < 20) return XDP_DROP;
	if (ip->protocol != IPPROTO_TCP) return XDP_PASS;
	pos += len;
	TAKE(tcphdr, tcp) return XDP_DROP;
	if (!(((u8 *)tcp)[13] & 2)) return XDP_PASS;
	u32 left = tcp->doff * 4;
	if (left < 20) return XDP_DROP;
	left -= 20;
	u8 *opt = (u8 *)(tcp + 1);
#pragma clang loop unroll(disable)
	for (int i = 0; i < 10; i++) {
		if (left < 4) return XDP_PASS;
		if ((void *)(opt + 4) > end) return XDP_PASS;
		u8 kind = opt[0];
		if (kind == 0) return XDP_PASS;
		if (kind == 1) { opt++; left--; continue; }
		u8 size = opt[1];
		if (kind == 2 && size == 4) {
			u16 *mss = (u16 *)(opt + 2);
			u16 old = *mss;
			if (bpf_ntohs(old) <= MSS) return XDP_PASS;
			*mss = bpf_htons(MSS);
			u32 sum = (u16)~tcp->check + (u16)~old + bpf_htons(MSS);
			sum = (sum & 0xffff) + (sum >> 16);
			sum = (sum & 0xffff) + (sum >> 16);
			tcp->check = ~sum;
			return XDP_TX;
		}
		if (size < 2 || size > left) return XDP_PASS;
		opt += size;
		left -= size;
	}
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
