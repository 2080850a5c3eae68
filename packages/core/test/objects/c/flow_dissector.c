// A dissector.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("flow_dissector") int dissect(struct __sk_buff *skb)
{
	skb->flow_keys->addr_proto = 0x0800;
	return BPF_OK;
}

char _license[] SEC("license") = "GPL";
