// TCP events into a sockhash.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct key { __u32 a, b, c, d; };
struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__type(key, struct key);
	__type(value, __u64);
	__uint(max_entries, 64);
} socks SEC(".maps");
SEC("sockops") int ops(struct bpf_sock_ops *ctx)
{
	struct key k = { ctx->local_ip4, ctx->remote_ip4, ctx->local_port, ctx->remote_port };
	if (ctx->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
		bpf_sock_hash_update(ctx, &socks, &k, BPF_ANY);
	return 0;
}

char _license[] SEC("license") = "GPL";
