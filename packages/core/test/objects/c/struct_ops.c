// A congestion control in a struct.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct sock;
struct tcp_congestion_ops { unsigned int (*ssthresh)(struct sock *sk); unsigned int (*undo_cwnd)(struct sock *sk); void (*cong_avoid)(struct sock *sk, unsigned int ack, unsigned int acked); char name[16]; };
SEC("struct_ops/ssthresh") unsigned int ssthresh(__u64 *ctx) { return 2; }
SEC("struct_ops/undo_cwnd") unsigned int undo(__u64 *ctx) { return 2; }
SEC("struct_ops/cong_avoid") void avoid(__u64 *ctx) { }
SEC(".struct_ops") struct tcp_congestion_ops mine = { .ssthresh = (void *)ssthresh, .undo_cwnd = (void *)undo, .cong_avoid = (void *)avoid, .name = "ebp_mine" };

char _license[] SEC("license") = "GPL";
