// A chain of eight frames.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define N static __attribute__((noinline))
N int f7(int x) { return x + bpf_get_smp_processor_id(); }
N int f6(int x) { return f7(x * 2) + 1; }
N int f5(int x) { return f6(x * 2) + 1; }
N int f4(int x) { return f5(x * 2) + 1; }
N int f3(int x) { return f4(x * 2) + 1; }
N int f2(int x) { return f3(x * 2) + 1; }
N int f1(int x) { return f2(x * 2) + 1; }
SEC("xdp") int deep(struct xdp_md *ctx) { return f1(ctx->rx_queue_index) & 1 ? XDP_PASS : XDP_DROP; }

char _license[] SEC("license") = "GPL";
