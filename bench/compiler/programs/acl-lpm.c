#include "common.h"
struct key { u32 prefixlen; u32 addr; };
struct { __uint(type, BPF_MAP_TYPE_LPM_TRIE); __uint(max_entries, 1024); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key, struct key); __type(value, u64); } acl SEC(".maps");
SEC("xdp") int prog(struct xdp_md *ctx) {
	void *pos = DATA(ctx), *end = END(ctx);
	TAKE(ethhdr, eth) return XDP_DROP;
	if (eth->h_proto != bpf_htons(ETH_P_IP)) return XDP_PASS;
	pos = eth + 1;
	TAKE(iphdr, ip) return XDP_DROP;
	if (ip->ihl < 5) return XDP_DROP;
	struct key k = { 32, ip->saddr };
	u64 *hits = bpf_map_lookup_elem(&acl, &k);
	if (!hits) return XDP_PASS;
	__sync_fetch_and_add(hits, 1);
	return XDP_DROP;
}
char _license[] SEC("license") = "GPL";
