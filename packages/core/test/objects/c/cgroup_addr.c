// Every address hook of a cgroup.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define HOOK(n) SEC("cgroup/" #n) int on_##n(struct bpf_sock_addr *ctx) { return 1; }
HOOK(bind4) HOOK(bind6) HOOK(connect4) HOOK(connect6) HOOK(sendmsg4) HOOK(sendmsg6) HOOK(recvmsg4) HOOK(recvmsg6)
HOOK(getpeername4) HOOK(getpeername6) HOOK(getsockname4) HOOK(getsockname6)
SEC("cgroup/connect4") int rewrite(struct bpf_sock_addr *ctx)
{
	if (ctx->user_port == __builtin_bswap16(80))
		ctx->user_ip4 = __builtin_bswap32(0x7f000001);
	return 1;
}

char _license[] SEC("license") = "GPL";
