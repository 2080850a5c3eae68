// The kernel samples' bpf_map_def: an inner map by number, a NUMA node; beside it gobpf's maps/NAME sections.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct bpf_map_def { unsigned int type, key_size, value_size, max_entries, map_flags, inner_map_idx, numa_node; };
struct bpf_map_def inner SEC("maps") = { BPF_MAP_TYPE_HASH, 4, 8, 16, BPF_F_NUMA_NODE, 0, 0 };
struct bpf_map_def outer SEC("maps") = { BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 0, 2, 0, 0 };
struct gobpf_map_def { unsigned int type, key_size, value_size, max_entries, map_flags, pinning; char namespace[256]; };
struct gobpf_map_def own SEC("maps/own") = { BPF_MAP_TYPE_ARRAY, 4, 8, 4 };
SEC("xdp") int count(struct xdp_md *ctx)
{
	__u32 k = 1;
	__u64 *v = bpf_map_lookup_elem(&own, &k);
	if (v)
		*v += 1;
	void *m = bpf_map_lookup_elem(&outer, &k);
	return m && bpf_map_lookup_elem(m, &k) ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "GPL";
