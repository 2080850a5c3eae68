// Cpumap and its second program, frags too.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_CPUMAP);
	__uint(key_size, 4);
	__uint(value_size, sizeof(struct bpf_cpumap_val));
	__uint(max_entries, 2);
} cpus SEC(".maps");
SEC("xdp") int spread(struct xdp_md *ctx) { return bpf_redirect_map(&cpus, ctx->rx_queue_index & 1, 0); }
SEC("xdp/cpumap") int on_cpu(struct xdp_md *ctx) { return XDP_PASS; }
SEC("xdp.frags/cpumap") int on_cpu_frags(struct xdp_md *ctx) { return XDP_PASS; }

char _license[] SEC("license") = "GPL";
