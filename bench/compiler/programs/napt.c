#include "common.h"
struct key { u32 saddr; u32 daddr; u16 sport; u16 dport; };
struct to { u32 saddr; u16 sport; u16 pad; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 65536); __type(key, struct key); __type(value, struct to); } nat SEC(".maps");
static __always_inline u16 fix(u16 check, u32 diff) {
	u32 sum = (u16)~check + diff;
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}
static __always_inline u32 changed(u32 from, u32 to) {
	return (~from & 0xffff) + (~from >> 16) + (to & 0xffff) + (to >> 16);
}
SEC("xdp") int prog(struct xdp_md *ctx) {
	void *pos = DATA(ctx), *end = END(ctx);
	TAKE(ethhdr, eth) return XDP_DROP;
	if (eth->h_proto != bpf_htons(ETH_P_IP)) return XDP_PASS;
	pos = eth + 1;
	TAKE(iphdr, ip) return XDP_DROP;
	u32 len = ip->ihl * 4;
	if (len < 20) return XDP_DROP;
	if (ip->protocol != IPPROTO_TCP || ip->frag_off & bpf_htons(0x3fff)) return XDP_PASS;
	pos += len;
	TAKE(tcphdr, tcp) return XDP_DROP;
	struct key k = { ip->saddr, ip->daddr, tcp->source, tcp->dest };
	struct to *to = bpf_map_lookup_elem(&nat, &k);
	if (!to) return XDP_PASS;
	u32 ipdiff = changed(ip->saddr, to->saddr);
	u32 diff = ipdiff + (u16)~tcp->source + to->sport;
	ip->check = fix(ip->check, ipdiff);
	tcp->check = fix(tcp->check, diff);
	ip->saddr = to->saddr;
	tcp->source = to->sport;
	return XDP_TX;
}
char _license[] SEC("license") = "GPL";
