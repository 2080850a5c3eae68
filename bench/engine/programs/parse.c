/* Ethernet, up to two VLAN tags, IPv4 with options or IPv6, TCP or UDP: one port is dropped. */
#include "bench.h"
#include "net.h"

PROGRAM(ctx) {
  u8 *data = DATA(ctx), *end = DATA_END(ctx);
  struct eth *eth = (void *)data;
  if (data + sizeof *eth > end) return XDP_DROP;
  u16 proto = eth->proto;
  u8 *at = data + sizeof *eth;
  UNROLL
  for (int i = 0; i < 2; i++) {
    if (proto != PROTO_VLAN && proto != PROTO_QINQ) break;
    struct vlan *vlan = (void *)at;
    if (at + sizeof *vlan > end) return XDP_DROP;
    proto = vlan->proto;
    at += sizeof *vlan;
  }
  u8 l4;
  if (proto == PROTO_IP4) {
    struct ip4 *ip = (void *)at;
    if (at + sizeof *ip > end) return XDP_DROP;
    u32 ihl = (ip->version_ihl & 15) * 4;
    if (ihl < sizeof *ip) return XDP_DROP;
    if (ip->fragment & 0xff1f) return XDP_PASS;
    l4 = ip->protocol;
    at += ihl;
  } else if (proto == PROTO_IP6) {
    struct ip6 *ip = (void *)at;
    if (at + sizeof *ip > end) return XDP_DROP;
    l4 = ip->next;
    at += sizeof *ip;
  } else
    return XDP_PASS;
  if (l4 != TCP && l4 != UDP) return XDP_PASS;
  struct ports *ports = (void *)at;
  if (at + sizeof *ports > end) return XDP_DROP;
  return bswap16(ports->dst) == 4242 ? XDP_DROP : XDP_PASS;
}
