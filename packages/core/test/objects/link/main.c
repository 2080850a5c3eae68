// Calls what helper.c defines, shares its map and variables, overrides its weak function.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct counter { __u64 packets; struct extra *more; };
struct extra { int x; };
extern int classify(struct xdp_md *ctx, int x);
extern __u32 threshold;
extern struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, struct counter);
	__uint(max_entries, 16);
} counters SEC(".maps");
static volatile int local_state = 4;
int shared_by_name = 6;
const volatile int limit = 11;

__attribute__((noinline)) int policy(int x) { return x + local_state; }
static __attribute__((noinline)) int twice(int x) { return policy(x) * 2; }

SEC("xdp") int entry(struct xdp_md *ctx)
{
	__u32 key = threshold;
	struct counter *c = bpf_map_lookup_elem(&counters, &key);
	if (c)
		c->packets++;
	return classify(ctx, twice(ctx->rx_queue_index)) > limit ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "GPL";
