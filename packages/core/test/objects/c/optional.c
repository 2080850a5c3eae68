// A program that is loaded only when asked for.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("?xdp") int never(struct xdp_md *ctx) { return *(int *)0; }
SEC("xdp") int always(struct xdp_md *ctx) { return XDP_PASS; }

char _license[] SEC("license") = "GPL";
