// Exceptions and what a program makes of them: as libbpf's __exception_cb, on every engine and in the kernel.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define CALLBACK(name) __attribute__((btf_decl_tag("exception_callback:" #name)))

extern void bpf_throw(__u64 cookie) __ksym;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} seen SEC(".maps");

int from_static(struct __sk_buff *skb);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, int(void *));
} next SEC(".maps") = {
	.values = {[0] = (void *)&from_static},
};

static __noinline void note(__u32 slot, __u64 value)
{
	__u64 *at = bpf_map_lookup_elem(&seen, &slot);
	if (at)
		*at = value;
}

__noinline int handler(__u64 cookie)
{
	note(0, cookie);
	return (cookie >> 32) + 3;
}

__noinline int other(__u64 cookie)
{
	volatile __u64 own[8] = {};
	own[cookie & 7] = cookie;
	return own[cookie & 7] + own[(cookie + 1) & 7] + 1000;
}

static __noinline int deeper(struct __sk_buff *skb, __u64 cookie)
{
	volatile __u64 local[4] = {1, 2, 3, 4};
	note(1, local[skb->len & 3]);
	if (skb->len > 60)
		bpf_throw(cookie | skb->len);
	return local[skb->len & 3];
}

__noinline int global(struct __sk_buff *skb)
{
	return deeper(skb, 0x500000000) + 1;
}

SEC("tc") CALLBACK(handler) int from_main(struct __sk_buff *skb)
{
	bpf_throw(0x1122334455667788);
	return 1;
}

SEC("tc") CALLBACK(handler) int from_static(struct __sk_buff *skb)
{
	return deeper(skb, 0x700000000) + 1;
}

SEC("tc") CALLBACK(other) int from_global(struct __sk_buff *skb)
{
	return global(skb) + 1;
}

SEC("tc") int without(struct __sk_buff *skb)
{
	return global(skb) + 1;
}

SEC("tc") CALLBACK(handler) int never(struct __sk_buff *skb)
{
	return 9;
}

SEC("tc") CALLBACK(other) int tail(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &next, 0);
	return 8;
}

SEC("tc") int tail_from_none(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &next, 0);
	return 8;
}

char _license[] SEC("license") = "GPL";
