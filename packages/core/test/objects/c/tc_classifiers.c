// Tc, tcx and the old names.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("tc") int legacy(struct __sk_buff *skb) { skb->mark = 1; return 0; }
SEC("classifier") int older(struct __sk_buff *skb) { return skb->mark ? 0 : 2; }
SEC("tcx/ingress") int in(struct __sk_buff *skb) { return skb->protocol == 8 ? 0 : -1; }
SEC("tcx/egress") int out(struct __sk_buff *skb) { return -1; }
SEC("tc/ingress") int in_alias(struct __sk_buff *skb) { return 0; }
SEC("action") int act(struct __sk_buff *skb) { return 0; }

char _license[] SEC("license") = "GPL";
