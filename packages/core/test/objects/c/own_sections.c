// Sections without meaning to eBPF, and a section of unknown type.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

int settings[2] SEC("xdp_metadata") = { 1, 2 };
int note SEC(".run_config") = 3;
SEC("my_prog") int mine(struct xdp_md *ctx) { return XDP_PASS; }
SEC("xdp_filter") int old_name(struct xdp_md *ctx) { return XDP_PASS; }

char _license[] SEC("license") = "GPL";
