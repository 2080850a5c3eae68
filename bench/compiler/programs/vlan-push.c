#include "common.h"
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 256); __type(key, u32); __type(value, u16); } ports SEC(".maps");
SEC("xdp") int prog(struct xdp_md *ctx) {
	void *pos = DATA(ctx), *end = END(ctx);
	TAKE(ethhdr, eth) return XDP_DROP;
	if (eth->h_proto == bpf_htons(ETH_P_8021Q)) return XDP_PASS;
	u32 port = ctx->ingress_ifindex & 255;
	u16 *vid = bpf_map_lookup_elem(&ports, &port);
	if (!vid || *vid == 0) return XDP_PASS;
	u16 tci = bpf_htons(*vid & 0xfff);
	if (bpf_xdp_adjust_head(ctx, -4)) return XDP_DROP;
	pos = DATA(ctx), end = END(ctx);
	if (pos + 18 > end) return XDP_DROP;
	struct ethhdr *now = pos, *old = pos + 4;
	struct vlan_hdr *tag = pos + 14;
	u8 mac[12] __attribute__((aligned(4)));
	__builtin_memcpy(mac, old, 12);
	__builtin_memcpy(now, mac, 12);
	now->h_proto = bpf_htons(ETH_P_8021Q);
	tag->h_vlan_TCI = tci;
	return XDP_TX;
}
char _license[] SEC("license") = "GPL";
