// Every kind of CO-RE question.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
struct sk_buff { unsigned int len; unsigned char cloned: 1; unsigned char ip_summed: 2; __u16 protocol; } __attribute__((preserve_access_index));
struct no_such_struct { int x; } __attribute__((preserve_access_index));
enum bpf_map_type___mine { BPF_MAP_TYPE_RINGBUF___mine = 1, BPF_MAP_TYPE_NOT_THERE = 2 };
enum no_such_enum { NO_SUCH_VALUE = 3 };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, __u32); __type(value, __u64); __uint(max_entries, 16); } out SEC(".maps");
static __always_inline void put(__u32 k, __u64 v) { bpf_map_update_elem(&out, &k, &v, 0); }
SEC("raw_tp/kfree_skb") int ask(struct bpf_raw_tracepoint_args *ctx)
{
	struct sk_buff *skb = (void *)ctx->args[0];
	put(0, bpf_core_field_exists(skb->len));
	put(1, bpf_core_field_size(skb->protocol));
	put(2, BPF_CORE_READ_BITFIELD_PROBED(skb, ip_summed));
	put(3, BPF_CORE_READ_BITFIELD_PROBED(skb, cloned));
	put(4, bpf_core_type_exists(struct sk_buff));
	put(5, bpf_core_type_exists(struct no_such_struct));
	put(6, bpf_core_type_size(struct sk_buff));
	put(7, bpf_core_type_id_local(struct sk_buff));
	put(8, bpf_core_type_id_kernel(struct sk_buff));
	put(9, bpf_core_enum_value_exists(enum bpf_map_type___mine, BPF_MAP_TYPE_RINGBUF___mine));
	put(10, bpf_core_enum_value(enum bpf_map_type___mine, BPF_MAP_TYPE_RINGBUF___mine));
	put(11, bpf_core_enum_value_exists(enum bpf_map_type___mine, BPF_MAP_TYPE_NOT_THERE));
	put(12, bpf_core_enum_value_exists(enum no_such_enum, NO_SUCH_VALUE));
	put(13, bpf_core_field_exists(((struct no_such_struct *)0)->x));
	return 0;
}

char _license[] SEC("license") = "GPL";
