#include "common.h"
struct vxlanhdr { u8 flags; u8 reserved[3]; u32 vni; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 1024); __type(key, u32); __type(value, u32); } vnis SEC(".maps");
SEC("xdp") int prog(struct xdp_md *ctx) {
	void *pos = DATA(ctx), *end = END(ctx);
	TAKE(ethhdr, eth) return XDP_PASS;
	if (eth->h_proto != bpf_htons(ETH_P_IP)) return XDP_PASS;
	pos = eth + 1;
	TAKE(iphdr, ip) return XDP_PASS;
	if (ip->ihl != 5 || ip->protocol != IPPROTO_UDP) return XDP_PASS;
	pos = ip + 1;
	TAKE(udphdr, udp) return XDP_PASS;
	if (udp->dest != bpf_htons(4789)) return XDP_PASS;
	pos = udp + 1;
	TAKE(vxlanhdr, vx) return XDP_DROP;
	if (!(vx->flags & 8)) return XDP_DROP;
	u32 vni = bpf_ntohl(vx->vni) >> 8;
	u32 *action = bpf_map_lookup_elem(&vnis, &vni);
	if (!action) return XDP_DROP;
	u32 verdict = *action;
	if (bpf_xdp_adjust_head(ctx, 50)) return XDP_DROP;
	return verdict;
}
char _license[] SEC("license") = "GPL";
