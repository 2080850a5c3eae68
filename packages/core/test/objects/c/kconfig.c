// Externs that the kernel configuration fills.
#include <linux/version.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

extern int LINUX_KERNEL_VERSION __kconfig;
extern _Bool CONFIG_BPF_SYSCALL __kconfig;
extern enum libbpf_tristate CONFIG_NO_SUCH_OPTION __kconfig __weak;
extern int CONFIG_HZ __kconfig __weak;
SEC("xdp") int check(struct xdp_md *ctx)
{
	if (LINUX_KERNEL_VERSION < KERNEL_VERSION(4, 18, 0) || !CONFIG_BPF_SYSCALL)
		return XDP_ABORTED;
	return CONFIG_NO_SUCH_OPTION || CONFIG_HZ == 7 ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "GPL";
