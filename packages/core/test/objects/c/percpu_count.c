// A per-CPU array counted by length class.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct counter { __u64 packets, bytes; };
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct counter);
	__uint(max_entries, 4);
} counters SEC(".maps");

SEC("xdp") int count(struct xdp_md *ctx)
{
	__u32 len = ctx->data_end - ctx->data, key = len > 1000 ? 2 : len > 100;
	struct counter *c = bpf_map_lookup_elem(&counters, &key);
	if (c) {
		c->packets++;
		c->bytes += len;
	}
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
