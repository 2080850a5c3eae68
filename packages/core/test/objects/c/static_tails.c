// Tail calls to static functions that only a slot refers to, beside a static subprogram, all in a section of no type.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, sizeof(__u32));
	__array(values, int (struct xdp_md *));
} jumps SEC(".maps");
static __attribute__((noinline, section("tails"))) int twice(int x) { return x * 2 + bpf_get_smp_processor_id(); }
static __attribute__((used, section("tails"))) int long_way(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &jumps, 1);
	return twice(ctx->rx_queue_index) > 7 ? XDP_DROP : XDP_PASS;
}
static __attribute__((used, section("tails"))) int short_way(struct xdp_md *ctx) { return XDP_TX; }
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, sizeof(__u32));
	__array(values, int (struct xdp_md *));
} ways SEC(".maps") = { .values = { [0] = (void *)&long_way, [1] = (void *)&short_way } };
SEC("xdp") int entry(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &ways, ctx->rx_queue_index & 1);
	return XDP_ABORTED;
}

char _license[] SEC("license") = "GPL";
