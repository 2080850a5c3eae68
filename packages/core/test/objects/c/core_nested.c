// Anonymous unions, nested structs and array elements.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
struct in6 { union { __u8 u6_addr8[16]; __u32 u6_addr32[4]; } in6_u; };
struct in6_addr___k { union { __u8 u6_addr8[16]; __u32 u6_addr32[4]; } in6_u; } __attribute__((preserve_access_index));
struct sock_common___k { union { struct { __u32 skc_daddr; __u32 skc_rcv_saddr; }; }; unsigned short skc_family; struct in6_addr___k skc_v6_daddr; } __attribute__((preserve_access_index));
struct sock___k { struct sock_common___k __sk_common; } __attribute__((preserve_access_index));
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, __u32); __type(value, __u64); __uint(max_entries, 1); } out SEC(".maps");
SEC("raw_tp/tcp_probe") int probe(struct bpf_raw_tracepoint_args *ctx)
{
	struct sock___k *sk = (void *)ctx->args[0];
	__u32 k = 0;
	__u64 v = BPF_CORE_READ(sk, __sk_common.skc_daddr) + BPF_CORE_READ(sk, __sk_common.skc_family);
	v += BPF_CORE_READ(sk, __sk_common.skc_v6_daddr.in6_u.u6_addr32[2]);
	bpf_map_update_elem(&out, &k, &v, 0);
	return 0;
}

char _license[] SEC("license") = "GPL";
