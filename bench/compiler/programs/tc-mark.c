#include "common.h"
struct class { u32 mark; u32 priority; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 64); __type(key, u32); __type(value, struct class); } classes SEC(".maps");
SEC("tc") int prog(struct __sk_buff *ctx) {
	void *pos = DATA(ctx), *end = END(ctx);
	TAKE(ethhdr, eth) return 2;
	u32 dscp;
	pos = eth + 1;
	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		TAKE(iphdr, ip) return 2;
		dscp = ip->tos >> 2;
	} else if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
		TAKE(ipv6hdr, ip) return 2;
		dscp = (bpf_ntohs(*(u16 *)ip) >> 6) & 63;
	} else return 0;
	struct class *c = bpf_map_lookup_elem(&classes, &dscp);
	if (!c || !c->mark) return 0;
	ctx->mark = c->mark;
	ctx->priority = c->priority;
	return c->priority > 7 ? 2 : 0;
}
char _license[] SEC("license") = "GPL";
