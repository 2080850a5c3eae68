#include "common.h"
struct vip { u32 addr; u16 port; u8 proto, pad; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 512); __type(key, struct vip); __type(value, u32); } vips SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 65537); __type(key, u32); __type(value, u32); } table SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4096); __type(key, u32); __type(value, u32); } reals SEC(".maps");
static __always_inline u32 rol(u32 x, int n) { return x << n | x >> (32 - n); }
/* Jenkins' final mix of three words, as the kernel's jhash. */
static __always_inline u32 jhash3(u32 a, u32 b, u32 c) {
	a += 0xdeadbeef; b += 0xdeadbeef; c += 0xdeadbeef;
	c ^= b; c -= rol(b, 14);
	a ^= c; a -= rol(c, 11);
	b ^= a; b -= rol(a, 25);
	c ^= b; c -= rol(b, 16);
	a ^= c; a -= rol(c, 4);
	b ^= a; b -= rol(a, 14);
	c ^= b; c -= rol(b, 24);
	return c;
}
SEC("xdp") int prog(struct xdp_md *ctx) {
	void *pos = DATA(ctx), *end = END(ctx);
	TAKE(ethhdr, eth) return XDP_DROP;
	if (eth->h_proto != bpf_htons(ETH_P_IP)) return XDP_PASS;
	pos = eth + 1;
	TAKE(iphdr, ip) return XDP_DROP;
	u32 len = ip->ihl * 4;
	if (len < 20) return XDP_DROP;
	if (ip->frag_off & bpf_htons(0x3fff)) return XDP_PASS;
	if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP) return XDP_PASS;
	pos += len;
	TAKE(udphdr, ports) return XDP_DROP;
	struct vip key = { ip->daddr, ports->dest, ip->protocol, 0 };
	u32 *ring = bpf_map_lookup_elem(&vips, &key);
	if (!ring) return XDP_PASS;
	u32 slot = jhash3(ip->saddr, (u32)ports->source << 16 | ports->dest, *ring) % 65537;
	u32 *index = bpf_map_lookup_elem(&table, &slot);
	if (!index) return XDP_DROP;
	u32 *real = bpf_map_lookup_elem(&reals, index);
	if (!real) return XDP_DROP;
	u32 saddr = (0x0a0a & 0xffff) | (ip->saddr & 0xffff0000), daddr = *real;
	u16 total = bpf_ntohs(ip->tot_len) + 20;
	u8 tos = ip->tos;
	if (bpf_xdp_adjust_head(ctx, -20)) return XDP_DROP;
	pos = DATA(ctx), end = END(ctx);
	if (pos + 34 > end) return XDP_DROP;
	struct ethhdr *neweth = pos, *old = pos + 20;
	struct iphdr *outer = pos + 14;
	__builtin_memcpy(neweth, old, 14);
	*(u8 *)outer = 0x45;
	outer->tos = tos; outer->tot_len = bpf_htons(total); outer->id = 0; outer->frag_off = 0;
	outer->ttl = 64; outer->protocol = IPPROTO_IPIP; outer->saddr = saddr; outer->daddr = daddr;
	u32 sum = bpf_htons(0x4500 | tos) + (u32)bpf_htons(total) + bpf_htons(0x4004);
	sum += (saddr & 0xffff) + (saddr >> 16) + (daddr & 0xffff) + (daddr >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	outer->check = ~sum;
	return XDP_TX;
}
char _license[] SEC("license") = "GPL";
