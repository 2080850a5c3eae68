#include "common.h"
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1024); __type(key, u32); __type(value, u32); } backends SEC(".maps");
SEC("xdp") int prog(struct xdp_md *ctx) {
	void *pos = DATA(ctx), *end = END(ctx);
	TAKE(ethhdr, eth) return XDP_DROP;
	if (eth->h_proto != bpf_htons(ETH_P_IP)) return XDP_PASS;
	pos = eth + 1;
	TAKE(iphdr, ip) return XDP_DROP;
	u32 len = ip->ihl * 4;
	if (len < 20) return XDP_DROP;
	if (ip->protocol != IPPROTO_TCP) return XDP_PASS;
	pos += len;
	TAKE(udphdr, ports) return XDP_DROP;
	u32 h = ip->saddr * 0x9e3779b1 ^ (((u32)ports->source << 16 | ports->dest) * 0x85ebca6b);
	h ^= h >> 15;
	h &= 1023;
	u32 *to = bpf_map_lookup_elem(&backends, &h);
	if (!to) return XDP_DROP;
	u32 saddr = ip->daddr, daddr = *to;
	u16 total = bpf_ntohs(ip->tot_len) + 20;
	if (bpf_xdp_adjust_head(ctx, -20)) return XDP_DROP;
	pos = DATA(ctx), end = END(ctx);
	TAKE(ethhdr, neweth) return XDP_DROP;
	pos = neweth + 1;
	TAKE(iphdr, outer) return XDP_DROP;
	pos = (void *)neweth + 20;
	TAKE(ethhdr, old) return XDP_DROP;
	__builtin_memcpy(neweth, old, 14);
	outer->version = 4; outer->ihl = 5;
	outer->tos = 0; outer->tot_len = bpf_htons(total); outer->id = 0; outer->frag_off = 0;
	outer->ttl = 64; outer->protocol = IPPROTO_IPIP; outer->saddr = saddr; outer->daddr = daddr;
	u32 sum = 0x4500 + total + 0x4004;
	sum += bpf_ntohs(saddr & 0xffff) + bpf_ntohs(saddr >> 16) + bpf_ntohs(daddr & 0xffff) + bpf_ntohs(daddr >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	outer->check = bpf_htons((u16)~sum);
	return XDP_TX;
}
char _license[] SEC("license") = "GPL";
