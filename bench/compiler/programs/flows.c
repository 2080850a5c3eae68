#include "common.h"
struct key { u32 saddr, daddr; u16 sport, dport; u8 proto, pad[3]; };
struct flow { u64 packets, bytes, last; };
struct { __uint(type, BPF_MAP_TYPE_LRU_HASH); __uint(max_entries, 65536); __type(key, struct key); __type(value, struct flow); } flows SEC(".maps");
SEC("xdp") int prog(struct xdp_md *ctx) {
	void *pos = DATA(ctx), *end = END(ctx);
	u64 length = end - pos;
	TAKE(ethhdr, eth) return XDP_PASS;
	if (eth->h_proto != bpf_htons(ETH_P_IP)) return XDP_PASS;
	pos = eth + 1;
	TAKE(iphdr, ip) return XDP_PASS;
	u32 len = ip->ihl * 4;
	if (len < 20) return XDP_PASS;
	pos += len;
	struct key k = { .saddr = ip->saddr, .daddr = ip->daddr, .proto = ip->protocol };
	if (ip->protocol == IPPROTO_TCP || ip->protocol == IPPROTO_UDP) {
		TAKE(udphdr, ports) return XDP_PASS;
		k.sport = ports->source;
		k.dport = ports->dest;
	}
	u64 now = bpf_ktime_get_ns();
	struct flow *f = bpf_map_lookup_elem(&flows, &k);
	if (f) {
		__sync_fetch_and_add(&f->packets, 1);
		__sync_fetch_and_add(&f->bytes, length);
		f->last = now;
	} else {
		struct flow first = { 1, length, now };
		bpf_map_update_elem(&flows, &k, &first, BPF_ANY);
	}
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
