#include "common.h"
struct key { u32 a, b; u16 ap, bp; u32 proto; };
struct entry { u64 last; u32 state; u32 packets; };
struct { __uint(type, BPF_MAP_TYPE_LRU_HASH); __uint(max_entries, 65536); __type(key, struct key); __type(value, struct entry); } flows SEC(".maps");
#define INSIDE 10
#define TIMEOUT 60000000000ULL
SEC("xdp") int prog(struct xdp_md *ctx) {
	void *pos = DATA(ctx), *end = END(ctx);
	TAKE(ethhdr, eth) return XDP_DROP;
	if (eth->h_proto != bpf_htons(ETH_P_IP)) return XDP_PASS;
	pos = eth + 1;
	TAKE(iphdr, ip) return XDP_DROP;
	u32 len = ip->ihl * 4;
	if (len < 20) return XDP_DROP;
	if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP) return XDP_DROP;
	pos += len;
	TAKE(udphdr, ports) return XDP_DROP;
	u32 out = (ip->saddr & 0xff) == INSIDE;
	struct key k = { .proto = ip->protocol };
	if (out) { k.a = ip->saddr; k.b = ip->daddr; k.ap = ports->source; k.bp = ports->dest; }
	else { k.a = ip->daddr; k.b = ip->saddr; k.ap = ports->dest; k.bp = ports->source; }
	u64 now = bpf_ktime_get_ns();
	struct entry *e = bpf_map_lookup_elem(&flows, &k);
	if (e && now - e->last < TIMEOUT) {
		e->last = now;
		e->packets++;
		if (!out) e->state = 2;
		return XDP_PASS;
	}
	if (!out) return XDP_DROP;
	struct entry first = { now, 1, 1 };
	bpf_map_update_elem(&flows, &k, &first, BPF_ANY);
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
