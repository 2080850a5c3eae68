// Addresses of functions: bpf_loop and for_each_map_elem.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 8);
} cells SEC(".maps");
struct state { __u64 sum; };
static long add(__u32 i, struct state *s) { s->sum += i; return s->sum > 100; }
static long each(void *map, __u32 *key, __u64 *value, struct state *s) { s->sum += *value; return 0; }
SEC("xdp") int walk(struct xdp_md *ctx)
{
	struct state s = {};
	bpf_loop(10, add, &s, 0);
	bpf_for_each_map_elem(&cells, each, &s, 0);
	return s.sum & 1 ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "GPL";
