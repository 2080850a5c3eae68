/* What the wrong programs share: the usual headers, and one map of each kind. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#define noinline __attribute__((noinline))
#define MAP(NAME, TYPE, KEY, VALUE, N) \
	struct { __uint(type, BPF_MAP_TYPE_##TYPE); __type(key, KEY); __type(value, VALUE); __uint(max_entries, N); } NAME SEC(".maps")
struct flow { __u32 src, dst; __u16 sport, dport; };
struct stats { __u64 packets, bytes; };
struct locked { struct bpf_spin_lock lock; __u32 tokens; };
struct timed { struct bpf_timer timer; __u32 hits; };
MAP(flows, HASH, struct flow, struct stats, 64);
MAP(counts, ARRAY, __u32, __u64, 16);
MAP(names, ARRAY, __u32, char[16], 4);
MAP(percpu, PERCPU_ARRAY, __u32, struct stats, 1);
MAP(limits, HASH, __u32, struct locked, 16);
MAP(timers, ARRAY, __u32, struct timed, 1);
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } events SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 4); __type(key, __u32); __type(value, __u32); } jumps SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_DEVMAP); __uint(max_entries, 4); __type(key, __u32); __type(value, __u32); } ports SEC(".maps");
char _license[] SEC("license") = "GPL";
