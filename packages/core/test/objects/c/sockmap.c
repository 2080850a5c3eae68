// Sk_skb in three forms and sk_msg over a sockmap.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(key_size, 4);
	__uint(value_size, 4);
	__uint(max_entries, 8);
} peers SEC(".maps");
SEC("sk_skb/stream_parser") int parser(struct __sk_buff *skb) { return skb->len; }
SEC("sk_skb/stream_verdict") int verdict(struct __sk_buff *skb) { return bpf_sk_redirect_map(skb, &peers, 0, 0); }
SEC("sk_skb/verdict") int simple(struct __sk_buff *skb) { return SK_PASS; }
SEC("sk_skb") int any(struct __sk_buff *skb) { return SK_PASS; }
SEC("sk_msg") int message(struct sk_msg_md *msg) { return bpf_msg_redirect_map(msg, &peers, 1, BPF_F_INGRESS); }

char _license[] SEC("license") = "GPL";
