/* Writes a whole value by source address into a hash: the address is there. */
#include "bench.h"
#include "net.h"

MAP_HASH4(seen, u64, 4096);
MAPS(&seen)

PROGRAM(ctx) {
  u8 *data = DATA(ctx), *end = DATA_END(ctx);
  struct ip4 *ip = (void *)(data + sizeof(struct eth));
  if ((u8 *)(ip + 1) > end) return XDP_DROP;
  u32 key = ip->src;
  u64 value = (u64)ip->dst << 32 | ip->length;
  UPDATE(hash4, seen, &key, &value);
  return XDP_PASS;
}
