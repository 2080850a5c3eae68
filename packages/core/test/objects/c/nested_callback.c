// A callback whose address is taken in a subprogram, so in .text itself; one callback calls another function.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct state { __u64 sum; };
static __attribute__((noinline)) int weigh(__u32 i) { return i * 3 + bpf_get_prandom_u32() % 2; }
static long add(__u32 i, struct state *s) { s->sum += weigh(i); return 0; }
static __attribute__((noinline)) int run(int n)
{
	struct state s = {};
	bpf_loop(n & 7, add, &s, 0);
	return s.sum;
}
SEC("xdp") int first(struct xdp_md *ctx) { return run(ctx->rx_queue_index) & 1 ? XDP_DROP : XDP_PASS; }
SEC("tc") int second(struct __sk_buff *skb) { return run(skb->len) & 1 ? 2 : 0; }

char _license[] SEC("license") = "GPL";
