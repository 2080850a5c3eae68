// A program array filled by the object.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp") int drop(struct xdp_md *ctx) { return XDP_DROP; }
SEC("xdp") int pass(struct xdp_md *ctx) { return XDP_PASS; }
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__uint(key_size, sizeof(__u32));
	__array(values, int (struct xdp_md *));
} jumps SEC(".maps") = { .values = { [0] = (void *)&drop, [3] = (void *)&pass } };
SEC("xdp") int entry(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &jumps, ctx->rx_queue_index);
	return XDP_ABORTED;
}

char _license[] SEC("license") = "GPL";
