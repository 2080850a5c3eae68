// Longest prefix match over IPv4 and IPv6, flags.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct v4 { __u32 prefixlen; __u32 addr; };
struct v6 { __u32 prefixlen; __u8 addr[16]; };
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__type(key, struct v4);
	__type(value, __u32);
	__uint(max_entries, 100);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} routes4 SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(key_size, sizeof(struct v6));
	__uint(value_size, 4);
	__uint(max_entries, 100);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} routes6 SEC(".maps");

SEC("xdp") int route(struct xdp_md *ctx)
{
	struct v4 k = { 32, ctx->ingress_ifindex };
	struct v6 k6 = { 128, { ctx->rx_queue_index } };
	__u32 *v = bpf_map_lookup_elem(&routes4, &k);
	if (!v)
		v = bpf_map_lookup_elem(&routes6, &k6);
	return v ? *v & 3 : XDP_PASS;
}

char _license[] SEC("license") = "GPL";
