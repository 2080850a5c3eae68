#include "common.h"
struct next { u32 ifindex; u8 dst[6], src[6]; };
struct key { u32 prefixlen; u32 addr; };
struct { __uint(type, BPF_MAP_TYPE_LPM_TRIE); __uint(max_entries, 1024); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key, struct key); __type(value, struct next); } routes SEC(".maps");
SEC("xdp") int prog(struct xdp_md *ctx) {
	void *pos = DATA(ctx), *end = END(ctx);
	TAKE(ethhdr, eth) return XDP_DROP;
	if (eth->h_proto != bpf_htons(ETH_P_IP)) return XDP_PASS;
	pos = eth + 1;
	TAKE(iphdr, ip) return XDP_DROP;
	if (ip->ihl < 5) return XDP_DROP;
	if (ip->ttl <= 1) return XDP_PASS;
	struct key k = { 32, ip->daddr };
	struct next *n = bpf_map_lookup_elem(&routes, &k);
	if (!n) return XDP_PASS;
	u32 sum = (u32)bpf_ntohs(ip->check) + 0x0100;
	sum = (sum & 0xffff) + (sum >> 16);
	ip->check = bpf_htons(sum);
	ip->ttl--;
	__builtin_memcpy(eth->h_dest, n->dst, 6);
	__builtin_memcpy(eth->h_source, n->src, 6);
	return bpf_redirect(n->ifindex, 0);
}
char _license[] SEC("license") = "GPL";
