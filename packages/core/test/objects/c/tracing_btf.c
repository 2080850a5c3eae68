// Sections that attach by BTF.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("tp_btf/sched_switch") int sw(__u64 *ctx) { return 0; }
SEC("iter/bpf_map") int it(__u64 *ctx) { return 0; }
SEC("syscall") int sys(void *ctx) { return 0; }

char _license[] SEC("license") = "GPL";
