// Features switched by constants: what is off is dead code.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

const volatile _Bool count_bytes = 1;
const volatile __u32 mode = 2;
__u64 bytes;
SEC("xdp") int switched(struct xdp_md *ctx)
{
	if (count_bytes)
		bytes += ctx->data_end - ctx->data;
	switch (mode) {
	case 0:
		return XDP_DROP;
	case 1:
		return bpf_get_prandom_u32() & 1 ? XDP_DROP : XDP_PASS;
	}
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
