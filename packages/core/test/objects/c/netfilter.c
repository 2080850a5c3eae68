// A netfilter program.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct bpf_nf_ctx { const void *state; void *skb; };
SEC("netfilter") int hook(struct bpf_nf_ctx *ctx) { return 1; }

char _license[] SEC("license") = "GPL";
