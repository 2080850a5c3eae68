// CO-RE offsets through BPF_CORE_READ.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
struct task_struct { int pid; int tgid; struct task_struct *real_parent; char comm[16]; } __attribute__((preserve_access_index));
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, __u32); __type(value, __u64); __uint(max_entries, 1); } out SEC(".maps");
SEC("raw_tp/sched_switch") int enter(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *t = (void *)ctx->args[1];
	__u32 k = 0;
	__u64 v = BPF_CORE_READ(t, real_parent, tgid);
	char comm[16];
	BPF_CORE_READ_INTO(&comm, t, comm);
	v += comm[0] + BPF_CORE_READ(t, pid);
	bpf_map_update_elem(&out, &k, &v, 0);
	return 0;
}

char _license[] SEC("license") = "GPL";
