#include "common.h"
struct event { u64 bytes; u32 saddr, daddr; u16 sport, dport; u32 proto; };
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 65536); } ring SEC(".maps");
SEC("xdp") int prog(struct xdp_md *ctx) {
	void *pos = DATA(ctx), *end = END(ctx);
	u64 length = end - pos;
	TAKE(ethhdr, eth) return XDP_DROP;
	if (eth->h_proto != bpf_htons(ETH_P_IP)) return XDP_PASS;
	pos = eth + 1;
	TAKE(iphdr, ip) return XDP_DROP;
	u32 len = ip->ihl * 4;
	if (len < 20) return XDP_DROP;
	if (ip->protocol != IPPROTO_TCP) return XDP_PASS;
	pos += len;
	TAKE(tcphdr, tcp) return XDP_DROP;
	if ((((u8 *)tcp)[13] & 0x12) != 2) return XDP_PASS;
	struct event *e = bpf_ringbuf_reserve(&ring, sizeof(*e), 0);
	if (!e) return XDP_PASS;
	e->bytes = length;
	e->saddr = ip->saddr; e->daddr = ip->daddr;
	e->sport = tcp->source; e->dport = tcp->dest;
	e->proto = ip->protocol;
	bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
