/*
 * What the C versions share: headers as the kernel has them, and the bounds check that each needs.
 *
 * struct ethhdr is the one of vmlinux.h: the UAPI's is declared packed, for which clang reads the EtherType byte by byte
 * and which would flatter us. icmphdr is here because <linux/icmp.h> drags in the C library's sockets.
 */
#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;

#define ETH_P_IP 0x0800
#define ETH_P_8021Q 0x8100
#define ETH_P_8021AD 0x88A8
#define ETH_P_IPV6 0x86DD

struct ethhdr { u8 h_dest[6]; u8 h_source[6]; __be16 h_proto; };
struct icmphdr { u8 type, code; __sum16 checksum; __be16 id, sequence; };
struct vlan_hdr { __be16 h_vlan_TCI; __be16 h_vlan_encapsulated_proto; };

#define DATA(ctx) ((void *)(long)(ctx)->data)
#define END(ctx) ((void *)(long)(ctx)->data_end)
#define TAKE(type, name) \
	struct type *name = pos; \
	if ((void *)(name + 1) > end)
