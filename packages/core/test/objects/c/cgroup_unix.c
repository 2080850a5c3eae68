// Address hooks of Unix sockets.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define HOOK(n) SEC("cgroup/" #n) int on_##n(struct bpf_sock_addr *ctx) { return 1; }
HOOK(connect_unix) HOOK(sendmsg_unix) HOOK(recvmsg_unix) HOOK(getpeername_unix) HOOK(getsockname_unix)

char _license[] SEC("license") = "GPL";
