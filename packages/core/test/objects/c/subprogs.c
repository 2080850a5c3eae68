// Static and global subprograms, called across sections and from each other.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

static __attribute__((noinline)) int leaf(int x) { return x * 3 + bpf_get_prandom_u32(); }
__attribute__((noinline)) int shared(int x) { return leaf(x) ^ leaf(x + 1); }
static __attribute__((noinline)) int only_tc(int x) { return shared(x) & 7; }
SEC("xdp") int first(struct xdp_md *ctx) { return shared(ctx->rx_queue_index) & 1 ? XDP_PASS : XDP_DROP; }
SEC("xdp") int second(struct xdp_md *ctx) { return leaf(ctx->ingress_ifindex) & 1 ? XDP_PASS : XDP_DROP; }
SEC("tc") int third(struct __sk_buff *skb) { return only_tc(skb->len) ? 0 : 2; }

char _license[] SEC("license") = "GPL";
