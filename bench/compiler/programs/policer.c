#include "common.h"
struct key { u32 saddr, daddr; };
struct state { u64 last, tokens, dropped; };
struct { __uint(type, BPF_MAP_TYPE_LRU_HASH); __uint(max_entries, 65536); __type(key, struct key); __type(value, struct state); } flows SEC(".maps");
SEC("xdp") int prog(struct xdp_md *ctx) {
	void *pos = DATA(ctx), *end = END(ctx);
	u64 length = end - pos;
	TAKE(ethhdr, eth) return XDP_DROP;
	if (eth->h_proto != bpf_htons(ETH_P_IP)) return XDP_PASS;
	pos = eth + 1;
	TAKE(iphdr, ip) return XDP_DROP;
	struct key k = { ip->saddr, ip->daddr };
	u64 now = bpf_ktime_get_ns();
	struct state *s = bpf_map_lookup_elem(&flows, &k);
	if (!s) {
		struct state fresh = { .last = now, .tokens = 1000000 - length };
		bpf_map_update_elem(&flows, &k, &fresh, BPF_NOEXIST);
		return XDP_PASS;
	}
	u64 tokens = s->tokens + (now - s->last) / 1000 * 125;
	if (tokens > 1000000) tokens = 1000000;
	s->last = now;
	if (tokens < length) {
		s->tokens = tokens;
		s->dropped++;
		return XDP_DROP;
	}
	s->tokens = tokens - length;
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
