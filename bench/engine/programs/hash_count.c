/* Counts packets by source address in a hash: the address is there. */
#include "bench.h"
#include "net.h"

MAP_HASH4(counts, u64, 4096);
MAPS(&counts)

PROGRAM(ctx) {
  u8 *data = DATA(ctx), *end = DATA_END(ctx);
  struct ip4 *ip = (void *)(data + sizeof(struct eth));
  if ((u8 *)(ip + 1) > end) return XDP_DROP;
  u32 key = ip->src;
  u64 *count = LOOKUP(hash4, counts, &key);
  if (!count) return XDP_PASS;
  __sync_fetch_and_add(count, 1);
  return XDP_DROP;
}
