/* The route of a destination address: longest prefix of a thousand. */
#include "bench.h"
#include "net.h"

MAP_LPM4(routes, u64, 2048);
MAPS(&routes)

PROGRAM(ctx) {
  u8 *data = DATA(ctx), *end = DATA_END(ctx);
  struct ip4 *ip = (void *)(data + sizeof(struct eth));
  if ((u8 *)(ip + 1) > end) return XDP_DROP;
  struct lpm_key key = {32, ip->dst};
  u64 *hop = LOOKUP(lpm4, routes, &key);
  if (!hop) return XDP_DROP;
  return *hop & 1 ? XDP_TX : XDP_PASS;
}
