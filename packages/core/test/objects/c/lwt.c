// Light-weight tunnels.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("lwt_in") int in(struct __sk_buff *skb) { return BPF_OK; }
SEC("lwt_out") int out(struct __sk_buff *skb) { return skb->len > 1400 ? BPF_DROP : BPF_OK; }
SEC("lwt_xmit") int xmit(struct __sk_buff *skb) { return BPF_OK; }
SEC("lwt_seg6local") int seg6(struct __sk_buff *skb) { return BPF_OK; }

char _license[] SEC("license") = "GPL";
