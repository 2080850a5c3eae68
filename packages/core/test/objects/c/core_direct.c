// CO-RE in loads themselves: widths that follow the target, a signed field that must not.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
struct task_struct { int pid; unsigned int utime; struct task_struct *group_leader; char comm[16]; } __attribute__((preserve_access_index));
struct task_struct___signed { int stime; } __attribute__((preserve_access_index));
struct task_struct___long { char comm[64]; } __attribute__((preserve_access_index));
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, __u32); __type(value, __u64); __uint(max_entries, 1); } out SEC(".maps");
SEC("tp_btf/sys_enter") int enter(__u64 *ctx)
{
	struct task_struct *t = (void *)bpf_get_current_task_btf();
	__u32 k = 0;
	__u64 v = t->pid + t->utime + t->group_leader->pid + t->comm[3];
	if (bpf_core_field_exists(((struct task_struct___long *)t)->comm[40]))
		v += ((struct task_struct___long *)t)->comm[40];
	if (v == 1)
		v += ((struct task_struct___signed *)t)->stime;
	bpf_map_update_elem(&out, &k, &v, 0);
	return 0;
}

char _license[] SEC("license") = "GPL";
