// Socket creation, release and bind, devices.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("cgroup/sock_create") int create(struct bpf_sock *sk) { return sk->family != 17; }
SEC("cgroup/sock_release") int release(struct bpf_sock *sk) { return 1; }
SEC("cgroup/sock") int sock(struct bpf_sock *sk) { return 1; }
SEC("cgroup/post_bind4") int bound4(struct bpf_sock *sk) { return sk->src_port > 1023; }
SEC("cgroup/post_bind6") int bound6(struct bpf_sock *sk) { return 1; }
SEC("cgroup/dev") int device(struct bpf_cgroup_dev_ctx *ctx) { return ctx->major == 1; }

char _license[] SEC("license") = "GPL";
