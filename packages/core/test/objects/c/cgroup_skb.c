// Cgroup packet filters.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("cgroup_skb/ingress") int in(struct __sk_buff *skb) { return skb->len < 1500; }
SEC("cgroup_skb/egress") int out(struct __sk_buff *skb) { return 1; }
SEC("cgroup/skb") int either(struct __sk_buff *skb) { return 1; }

char _license[] SEC("license") = "GPL";
