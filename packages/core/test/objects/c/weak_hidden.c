// A weak global function and a hidden one.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

__attribute__((noinline)) __weak int policy(int x) { return x & 1; }
__attribute__((noinline)) __hidden int inside(void *ctx, int x) { return policy(x) + ((struct xdp_md *)ctx)->rx_queue_index; }
SEC("xdp") int main_prog(struct xdp_md *ctx) { return inside(ctx, ctx->ingress_ifindex) ? XDP_PASS : XDP_DROP; }

char _license[] SEC("license") = "GPL";
