#include "common.h"
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, u32); __type(value, u32); } secret SEC(".maps");
static __always_inline u32 mix(u32 h, u32 v) {
	h ^= v * 0xcc9e2d51;
	h = h << 13 | h >> 19;
	return h * 5 + 0xe6546b64;
}
static __always_inline u32 fold(u32 a) { return (a & 0xffff) + (a >> 16); }
SEC("xdp") int prog(struct xdp_md *ctx) {
	void *pos = DATA(ctx), *end = END(ctx);
	TAKE(ethhdr, eth) return XDP_DROP;
	if (eth->h_proto != bpf_htons(ETH_P_IP)) return XDP_PASS;
	pos = eth + 1;
	TAKE(iphdr, ip) return XDP_DROP;
	if (ip->ihl != 5 || ip->protocol != IPPROTO_TCP) return XDP_PASS;
	pos = ip + 1;
	TAKE(tcphdr, tcp) return XDP_DROP;
	u8 *flags = (u8 *)tcp + 13;
	if ((*flags & 0x12) != 0x02) return XDP_PASS;
	u32 zero = 0;
	u32 *key = bpf_map_lookup_elem(&secret, &zero);
	if (!key) return XDP_DROP;
	u32 h = mix(*key, ip->saddr);
	h = mix(h, ip->daddr);
	h = mix(h, (u32)tcp->source << 16 | tcp->dest);
	u32 ack = bpf_htonl(bpf_ntohl(tcp->seq) + 1);
	u32 sum = (u16)~tcp->check + fold(~tcp->seq) + fold(h) + fold(~tcp->ack_seq) + fold(ack);
	u16 old = *(u16 *)((u8 *)tcp + 12);
	*flags = 0x12;
	sum += (u16)~old + *(u16 *)((u8 *)tcp + 12);
	sum = fold(fold(sum));
	tcp->check = ~sum;
	tcp->seq = h;
	tcp->ack_seq = ack;
	u16 port = tcp->source;
	tcp->source = tcp->dest;
	tcp->dest = port;
	u32 addr = ip->saddr;
	ip->saddr = ip->daddr;
	ip->daddr = addr;
	u8 mac[6] __attribute__((aligned(2)));
	__builtin_memcpy(mac, eth->h_dest, 6);
	__builtin_memcpy(eth->h_dest, eth->h_source, 6);
	__builtin_memcpy(eth->h_source, mac, 6);
	return XDP_TX;
}
char _license[] SEC("license") = "GPL";
