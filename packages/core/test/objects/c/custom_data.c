// Data sections with names of their own.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

int plain SEC(".data.hot") = 7;
const volatile int limit SEC(".rodata.cfg") = 9;
int counted SEC(".bss.stat");
SEC("xdp") int use(struct xdp_md *ctx)
{
	plain += 1;
	counted += plain;
	return counted > limit ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "GPL";
