#include "common.h"
static const u16 classes[16] = { 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000, 1100, 1200, 1300, 1400, 1500, 1600 };
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 1); __type(key, u32); __type(value, u64); } total SEC(".maps");
SEC("xdp") int prog(struct xdp_md *ctx) {
	void *pos = DATA(ctx), *end = END(ctx);
	TAKE(ethhdr, eth) return XDP_DROP;
	if (eth->h_proto != bpf_htons(ETH_P_IP)) return XDP_PASS;
	pos = eth + 1;
	TAKE(iphdr, ip) return XDP_DROP;
	u32 key = 0;
	u64 *sum = bpf_map_lookup_elem(&total, &key);
	if (!sum) return XDP_DROP;
	*sum += classes[(ip->tos >> 2) & 15];
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
