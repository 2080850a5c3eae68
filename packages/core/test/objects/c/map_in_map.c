// Array of maps with slots, hash of maps without.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 2);
} one SEC(".maps"), two SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 3);
	__type(key, __u32);
	__array(values, struct inner);
} outer SEC(".maps") = { .values = { [0] = &one, [2] = &two } };
struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 8);
	__uint(key_size, 16);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_HASH);
		__type(key, __u64);
		__type(value, __u64);
		__uint(max_entries, 16);
	});
} by_name SEC(".maps");
SEC("xdp") int nested(struct xdp_md *ctx)
{
	__u32 k = 2, k2 = 0;
	char name[16] = "left";
	__u64 key = 1;
	void *m = bpf_map_lookup_elem(&outer, &k);
	__u64 *v = m ? bpf_map_lookup_elem(m, &k2) : 0;
	if (v)
		return *v;
	m = bpf_map_lookup_elem(&by_name, name);
	return m && bpf_map_lookup_elem(m, &key) ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "GPL";
