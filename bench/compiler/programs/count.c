#include "common.h"
struct counter { u64 packets, bytes; };
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 256); __type(key, u32); __type(value, struct counter); } counters SEC(".maps");
SEC("xdp") int prog(struct xdp_md *ctx) {
	void *pos = DATA(ctx), *end = END(ctx);
	TAKE(ethhdr, eth) return XDP_DROP;
	if (eth->h_proto != bpf_htons(ETH_P_IP)) return XDP_PASS;
	pos = eth + 1;
	TAKE(iphdr, ip) return XDP_DROP;
	if (ip->ihl < 5) return XDP_DROP;
	u32 key = ip->protocol;
	struct counter *c = bpf_map_lookup_elem(&counters, &key);
	if (c) { c->packets++; c->bytes += (u32)((long)end - (long)DATA(ctx)); }
	return ip->protocol == 255 ? XDP_DROP : XDP_PASS;
}
char _license[] SEC("license") = "GPL";
