#include "common.h"
struct bucket { u64 tokens, last; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 4096); __type(key, u32); __type(value, struct bucket); } buckets SEC(".maps");
#define RATE 1000
#define BURST 1000000
SEC("xdp") int prog(struct xdp_md *ctx) {
	void *pos = DATA(ctx), *end = END(ctx);
	TAKE(ethhdr, eth) return XDP_DROP;
	if (eth->h_proto != bpf_htons(ETH_P_IP)) return XDP_PASS;
	pos = eth + 1;
	TAKE(iphdr, ip) return XDP_DROP;
	if (ip->ihl < 5) return XDP_DROP;
	u32 key = ip->saddr;
	struct bucket *b = bpf_map_lookup_elem(&buckets, &key);
	if (!b) return XDP_PASS;
	u64 now = bpf_ktime_get_ns();
	u64 cost = (u64)bpf_ntohs(ip->tot_len) * 1000;
	u64 tokens = b->tokens + (now - b->last) / RATE;
	if (tokens > BURST) tokens = BURST;
	b->last = now;
	if (tokens < cost) { b->tokens = tokens; return XDP_DROP; }
	b->tokens = tokens - cost;
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
