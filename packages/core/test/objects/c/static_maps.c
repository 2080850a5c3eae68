// Maps that only this file knows.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

static struct { __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, __u32); __type(value, __u32); __uint(max_entries, 1); } first SEC(".maps");
static struct { __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, __u32); __type(value, __u32); __uint(max_entries, 2); } second SEC(".maps");
SEC("xdp") int use(struct xdp_md *ctx)
{
	__u32 k = 0;
	return bpf_map_lookup_elem(&first, &k) && bpf_map_lookup_elem(&second, &k) ? XDP_PASS : XDP_DROP;
}

char _license[] SEC("license") = "GPL";
