// Fentry, fexit, fmod_ret, lsm and freplace, for which this machine may lack the right.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("fentry/do_unlinkat") int fe(__u64 *ctx) { return 0; }
SEC("fexit.s/__x64_sys_getpid") int fx(__u64 *ctx) { return 0; }
SEC("lsm/file_open") int lsm(__u64 *ctx) { return 0; }

char _license[] SEC("license") = "GPL";
