// Format strings.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp") int say(struct xdp_md *ctx)
{
	bpf_printk("queue %d of %d", ctx->rx_queue_index, ctx->ingress_ifindex);
	const char text[] = "a longer constant string that is copied to the stack";
	return text[ctx->rx_queue_index & 31] == 'q' ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "GPL";
