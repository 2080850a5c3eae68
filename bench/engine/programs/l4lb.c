/*
 * A layer-4 load balancer: service by address, port and protocol; consistent choice of a server by a hash of the flow;
 * destination rewritten with both checksums updated; counters.
 */
#include "bench.h"
#include "jhash.h"
#include "net.h"

#define RING 1024

struct service {
  u32 id;
  u32 flags;
};
struct server {
  u32 addr;
  u16 mac[3];
  u16 pad;
};
struct counter {
  u64 packets, bytes;
};

MAP_HASH8(services, struct service, 64);
MAP_ARRAY(ring, u32, RING * 4);
MAP_ARRAY(servers, struct server, 64);
MAP_ARRAY(counters, struct counter, 64);
MAPS(&services, &ring, &servers, &counters)

inline_ u16 fold(u32 sum) {
  sum = (sum & 0xffff) + (sum >> 16);
  return (sum & 0xffff) + (sum >> 16);
}
inline_ u16 replace(u16 check, u32 from, u32 to) {
  u32 sum = (u16)~check;
  sum += (u16)~from;
  sum += (u16)~(from >> 16);
  sum += (u16)to;
  sum += to >> 16;
  return ~fold(sum);
}

PROGRAM(ctx) {
  u8 *data = DATA(ctx), *end = DATA_END(ctx);
  struct eth *eth = (void *)data;
  struct ip4 *ip = (void *)(data + sizeof *eth);
  u8 *l4 = (u8 *)ip + sizeof *ip;
  if (l4 + 20 > end) return XDP_PASS;
  if (eth->proto != PROTO_IP4 || ip->version_ihl != 0x45) return XDP_PASS;
  if (ip->protocol != TCP) return XDP_PASS;
  struct ports *ports = (void *)l4;
  u64 key = ip->dst | (u64)ports->dst << 32 | (u64)ip->protocol << 48;
  struct service *service = LOOKUP(hash8, services, &key);
  if (!service) return XDP_PASS;
  u32 hash = jhash_3words(ip->src, ip->dst, *(u32 *)ports, 0x5eed);
  u32 slot = service->id * RING + (hash & (RING - 1));
  u32 *index = LOOKUP(array, ring, &slot);
  if (!index) return XDP_DROP;
  u32 which = *index;
  struct server *server = LOOKUP(array, servers, &which);
  if (!server) return XDP_DROP;
  u32 id = service->id;
  struct counter *counter = LOOKUP(array, counters, &id);
  if (!counter) return XDP_DROP;
  counter->packets++;
  counter->bytes += end - data;
  u16 *tcp_check = (u16 *)(l4 + 16);
  u32 old = ip->dst;
  ip->check = replace(ip->check, old, server->addr);
  *tcp_check = replace(*tcp_check, old, server->addr);
  /* The address is not stored: the same packet must find its service in the next round too. */
  u16 *mac = (u16 *)eth->dst;
  mac[0] = server->mac[0];
  mac[1] = server->mac[1];
  mac[2] = server->mac[2];
  return XDP_TX;
}
