// Fetching atomics of v3.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

__u64 a;
__u32 b;
SEC("xdp") int atomic(struct xdp_md *ctx)
{
	__u64 x = __sync_fetch_and_add(&a, 1);
	x ^= __sync_fetch_and_or(&a, 6) ^ __sync_fetch_and_and(&a, ~4ULL) ^ __sync_fetch_and_xor(&a, 3);
	x += __sync_lock_test_and_set(&a, 9);
	x += __sync_val_compare_and_swap(&a, 9, x);
	x += __sync_fetch_and_add(&b, 2) + __sync_val_compare_and_swap(&b, 2, 5);
	return x & 1 ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "GPL";
