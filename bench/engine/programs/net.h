/* Headers as they lie in a packet. */
#pragma once

struct eth {
  u8 dst[6], src[6];
  u16 proto;
} __attribute__((packed));

struct vlan {
  u16 tci, proto;
};

struct ip4 {
  u8 version_ihl, tos;
  u16 length, id, fragment;
  u8 ttl, protocol;
  u16 check;
  u32 src, dst;
};

struct ip6 {
  u32 version_class_flow;
  u16 length;
  u8 next, hops;
  u32 src[4], dst[4];
};

struct ports {
  u16 src, dst;
};

#define PROTO_IP4 0x0008
#define PROTO_IP6 0xdd86
#define PROTO_VLAN 0x0081
#define PROTO_QINQ 0xa888
#define TCP 6
#define UDP 17
