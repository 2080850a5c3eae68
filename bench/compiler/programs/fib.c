#include "common.h"
SEC("xdp") int prog(struct xdp_md *ctx) {
	void *pos = DATA(ctx), *end = END(ctx);
	TAKE(ethhdr, eth) return XDP_DROP;
	if (eth->h_proto != bpf_htons(ETH_P_IP)) return XDP_PASS;
	pos = eth + 1;
	TAKE(iphdr, ip) return XDP_DROP;
	if (ip->ihl < 5) return XDP_DROP;
	if (ip->ttl <= 1) return XDP_PASS;
	struct bpf_fib_lookup fib = {};
	fib.family = 2;
	fib.tos = ip->tos;
	fib.l4_protocol = ip->protocol;
	fib.tot_len = bpf_ntohs(ip->tot_len);
	fib.ipv4_src = ip->saddr;
	fib.ipv4_dst = ip->daddr;
	fib.ifindex = ctx->ingress_ifindex;
	int r = bpf_fib_lookup(ctx, &fib, sizeof(fib), 0);
	if (r != BPF_FIB_LKUP_RET_SUCCESS) return r == BPF_FIB_LKUP_RET_BLACKHOLE ? XDP_DROP : XDP_PASS;
	u32 sum = (u32)ip->check + bpf_htons(0x0100);
	ip->check = (u16)(sum + (sum >> 16));
	ip->ttl--;
	__builtin_memcpy(eth->h_dest, fib.dmac, 6);
	__builtin_memcpy(eth->h_source, fib.smac, 6);
	return bpf_redirect(fib.ifindex, 0);
}
char _license[] SEC("license") = "GPL";
