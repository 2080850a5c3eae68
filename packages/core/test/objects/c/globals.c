// Constants, data, zero data, statics, arrays and structs.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct limit { __u32 rate; __u16 burst[4]; __u8 on; };
const volatile __u32 mode = 2;
const volatile struct limit limits[2] = { { 10, { 1, 2, 3, 4 }, 1 }, { 20, { 5 }, 0 } };
__u64 seen = 5;
__u64 zero;
static volatile __u32 hits;
static volatile __s16 bias = -3;
char label[8] = "edge";
SEC("xdp") int use(struct xdp_md *ctx)
{
	seen++;
	zero += limits[ctx->rx_queue_index & 1].rate;
	hits += bias;
	if (label[0] == 'x')
		return XDP_ABORTED;
	return mode;
}

char _license[] SEC("license") = "GPL";
