// Tracing sections, recognised.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("kprobe/do_unlinkat") int kp(void *ctx) { return 0; }
SEC("kretprobe/do_unlinkat") int krp(void *ctx) { return 0; }
SEC("tracepoint/sched/sched_switch") int tp(void *ctx) { return 0; }
SEC("raw_tp/sys_enter") int rtp(void *ctx) { return 0; }
SEC("perf_event") int perf(void *ctx) { return 0; }
SEC("uprobe//bin/true:main") int up(void *ctx) { return 0; }
SEC("uretprobe.s//bin/true:main") int urp(void *ctx) { return 0; }
SEC("ksyscall/openat") int ks(void *ctx) { return 0; }
SEC("kprobe.multi/tcp_*") int kpm(void *ctx) { return 0; }

char _license[] SEC("license") = "GPL";
