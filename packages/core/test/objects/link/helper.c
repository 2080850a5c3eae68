// Defines what main.c calls; its policy is weak and loses.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct extra;
struct counter { __u64 packets; struct extra *more; };
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, struct counter);
	__uint(max_entries, 16);
} counters SEC(".maps");
__u32 threshold = 9;
extern int shared_by_name;
static volatile int local_state = 5;
const volatile short small = 3;

__attribute__((noinline)) __weak int policy(int x) { return x - 1; }
static __attribute__((noinline)) int twice(int x) { return x * 3 + local_state + bpf_get_smp_processor_id(); }
__attribute__((noinline)) int classify(struct xdp_md *ctx, int x)
{
	bpf_printk("class %d", x);
	return twice(x) + policy(x) + shared_by_name + small + ctx->ingress_ifindex;
}

SEC("tc") int other(struct __sk_buff *skb) { return policy(skb->len) > 3 ? 2 : 0; }
SEC("xdp") int beside(struct xdp_md *ctx) { return twice(ctx->rx_queue_index) & 1 ? XDP_DROP : XDP_PASS; }

char _license[] SEC("license") = "GPL";
