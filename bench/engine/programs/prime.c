/* Is the number in the packet prime? Trial division: a branchy loop around a remainder. */
#include "bench.h"

PROGRAM(ctx) {
  u8 *data = DATA(ctx), *end = DATA_END(ctx);
  if (data + 64 > end) return XDP_DROP;
  u32 n = *(u32 *)(data + 16);
  if (n < 4) return XDP_PASS;
  NO_UNROLL
  for (u32 i = 2; i < 64; i++) {
    if (i * i > n) break;
    if (n % i == 0) return XDP_DROP;
  }
  return XDP_PASS;
}
