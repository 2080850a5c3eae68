// Queue, stack, bloom filter with map_extra.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__type(value, __u32);
	__uint(max_entries, 16);
} todo SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(value_size, 8);
	__uint(max_entries, 16);
} undo SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_BLOOM_FILTER);
	__type(value, __u32);
	__uint(max_entries, 100);
	__uint(map_extra, 3);
} known SEC(".maps");
SEC("xdp") int queue(struct xdp_md *ctx)
{
	__u32 v = ctx->rx_queue_index;
	__u64 w = v;
	if (bpf_map_peek_elem(&known, &v))
		bpf_map_push_elem(&known, &v, 0);
	bpf_map_push_elem(&todo, &v, BPF_EXIST);
	bpf_map_push_elem(&undo, &w, 0);
	return bpf_map_pop_elem(&todo, &v) ? XDP_PASS : XDP_DROP;
}

char _license[] SEC("license") = "GPL";
