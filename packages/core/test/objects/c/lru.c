// LRU hashes with their flags.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, __u64);
	__type(value, __u64);
	__uint(max_entries, 100);
	__uint(map_flags, BPF_F_NO_COMMON_LRU);
} recent SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH);
	__type(key, __u64);
	__type(value, __u64);
	__uint(max_entries, 100);
} recent_percpu SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u64);
	__type(value, __u64);
	__uint(max_entries, 100);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_NUMA_NODE);
	__uint(numa_node, 0);
} local SEC(".maps");
SEC("xdp") int remember(struct xdp_md *ctx)
{
	__u64 k = ctx->ingress_ifindex, v = bpf_ktime_get_ns();
	bpf_map_update_elem(&recent, &k, &v, BPF_ANY);
	bpf_map_update_elem(&recent_percpu, &k, &v, BPF_ANY);
	bpf_map_delete_elem(&local, &k);
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
