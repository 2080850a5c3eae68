// Thousands of instructions.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

volatile __u32 acc;
#define R4(x) x x x x
SEC("xdp") int big(struct xdp_md *ctx)
{
	R4(R4(R4(R4(acc = acc * 3 + ctx->rx_queue_index;))))
	return acc & 1 ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "GPL";
