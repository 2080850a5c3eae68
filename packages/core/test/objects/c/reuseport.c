// Select and migrate in a reuseport group.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 4);
} group SEC(".maps");
SEC("sk_reuseport") int choose(struct sk_reuseport_md *ctx)
{
	__u32 i = ctx->hash & 3;
	return bpf_sk_select_reuseport(ctx, &group, &i, 0) ? SK_DROP : SK_PASS;
}
SEC("sk_reuseport/migrate") int migrate(struct sk_reuseport_md *ctx) { return SK_PASS; }

char _license[] SEC("license") = "GPL";
