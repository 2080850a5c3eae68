// Two flavours of one struct, chosen by what exists.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
struct task_struct___old { long state; } __attribute__((preserve_access_index));
struct task_struct___new { unsigned int __state; } __attribute__((preserve_access_index));
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, __u32); __type(value, __u64); __uint(max_entries, 1); } out SEC(".maps");
SEC("raw_tp/sched_switch") int state(struct bpf_raw_tracepoint_args *ctx)
{
	void *t = (void *)ctx->args[1];
	__u32 k = 0;
	__u64 v;
	if (bpf_core_field_exists(((struct task_struct___new *)0)->__state))
		v = BPF_CORE_READ((struct task_struct___new *)t, __state);
	else
		v = BPF_CORE_READ((struct task_struct___old *)t, state);
	bpf_map_update_elem(&out, &k, &v, 0);
	return 0;
}

char _license[] SEC("license") = "GPL";
