// Maps pinned by name.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 1);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} ebplane_test_pinned SEC(".maps");
SEC("xdp") int use(struct xdp_md *ctx)
{
	__u32 k = 0;
	return bpf_map_lookup_elem(&ebplane_test_pinned, &k) ? XDP_PASS : XDP_DROP;
}

char _license[] SEC("license") = "GPL";
