// Byte swaps, 64-bit constants, division, signed shifts and comparisons.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

volatile __u64 in = 0x1122334455667788ULL;
volatile __s64 s = -5;
SEC("xdp") int compute(struct xdp_md *ctx)
{
	__u64 x = in;
	__u32 y = x;
	x = __builtin_bswap64(x) ^ __builtin_bswap32(y) ^ __builtin_bswap16(y);
	x *= 0x9e3779b97f4a7c15ULL;
	x = x / (in | 1) + x % (y | 1);
	if (s < -3)
		x += s >> 3;
	if ((__s32)y > (__s32)x || y * 7u < 100u)
		x = -x;
	return x & 0x100000000ULL ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "GPL";
