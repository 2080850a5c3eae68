// Events to a perf event array of unsaid size.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct event { __u32 ifindex; __u32 len; };
struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(int));
	__uint(value_size, sizeof(int));
} events SEC(".maps");
SEC("xdp") int report(struct xdp_md *ctx)
{
	struct event e = { ctx->ingress_ifindex, ctx->data_end - ctx->data };
	bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, &e, sizeof(e));
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
