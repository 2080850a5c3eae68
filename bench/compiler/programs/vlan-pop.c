#include "common.h"

struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4096); __type(key, u32); __type(value, u32); } vids SEC(".maps");
SEC("xdp") int prog(struct xdp_md *ctx) {
	void *pos = DATA(ctx), *end = END(ctx);
	TAKE(ethhdr, eth) return XDP_DROP;
	if (eth->h_proto != bpf_htons(ETH_P_8021Q)) return XDP_PASS;
	pos = eth + 1;
	TAKE(vlan_hdr, tag) return XDP_DROP;
	u32 vid = bpf_ntohs(tag->h_vlan_TCI) & 0xfff;
	u32 *verdict = bpf_map_lookup_elem(&vids, &vid);
	if (!verdict || !*verdict) return XDP_DROP;
	u8 mac[12] __attribute__((aligned(4)));
	__builtin_memcpy(mac, eth, 12);
	u32 v = *verdict;
	if (bpf_xdp_adjust_head(ctx, 4)) return XDP_DROP;
	pos = DATA(ctx), end = END(ctx);
	TAKE(ethhdr, now) return XDP_DROP;
	__builtin_memcpy(now, mac, 12);
	return v;
}
char _license[] SEC("license") = "GPL";
