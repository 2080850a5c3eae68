// Sysctl and socket options.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("cgroup/sysctl") int sysctl(struct bpf_sysctl *ctx) { return !ctx->write; }
SEC("cgroup/getsockopt") int get(struct bpf_sockopt *ctx) { return 1; }
SEC("cgroup/setsockopt") int set(struct bpf_sockopt *ctx) { ctx->optlen = -1; return 1; }

char _license[] SEC("license") = "GPL";
