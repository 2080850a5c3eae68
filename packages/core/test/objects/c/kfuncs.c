// Kernel functions and a variable, weak ones that are not there.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
extern int bpf_no_such_function(void *x) __ksym __weak;
extern const void no_such_variable __ksym __weak;
SEC("tc") int call(struct __sk_buff *skb)
{
	bpf_rcu_read_lock();
	bpf_rcu_read_unlock();
	if (&no_such_variable)
		return 2;
	return 0;
}

char _license[] SEC("license") = "GPL";
