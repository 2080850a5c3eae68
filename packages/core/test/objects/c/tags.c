// Declaration and type tags, kptr fields.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define __tag(x) __attribute__((btf_decl_tag(x)))
#define __user __attribute__((btf_type_tag("user")))
struct rec { __u64 n __tag("counter"); int __user *p; };
struct rec all[2] __tag("all");
static __attribute__((noinline)) __tag("helper") int get(int i) { return all[i & 1].n; }
SEC("xdp") int use(struct xdp_md *ctx) { return get(ctx->rx_queue_index) ? XDP_DROP : XDP_PASS; }

char _license[] SEC("license") = "GPL";
