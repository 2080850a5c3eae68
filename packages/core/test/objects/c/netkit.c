// Netkit programs.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("netkit/primary") int inner(struct __sk_buff *skb) { return -1; }
SEC("netkit/peer") int peer(struct __sk_buff *skb) { return -1; }

char _license[] SEC("license") = "GPL";
