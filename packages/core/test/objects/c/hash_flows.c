// A hash with struct key and value, atomic add.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct flow { __u32 saddr, daddr; __u16 sport, dport; __u8 proto, pad[3]; };
struct stat { __u64 packets; __u64 bytes; __u32 flags; __u32 first; };
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct flow);
	__type(value, struct stat);
	__uint(max_entries, 1024);
} flows SEC(".maps");

SEC("xdp") int track(struct xdp_md *ctx)
{
	struct flow f = { .saddr = ctx->ingress_ifindex, .proto = 6 };
	struct stat *s = bpf_map_lookup_elem(&flows, &f), fresh = { .packets = 1 };
	if (s)
		__sync_fetch_and_add(&s->packets, 1);
	else
		bpf_map_update_elem(&flows, &f, &fresh, BPF_NOEXIST);
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
