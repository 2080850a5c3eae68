/* 64 rounds of jhash over 24 bytes of the packet. */
#include "bench.h"
#include "jhash.h"

PROGRAM(ctx) {
  u8 *data = DATA(ctx), *end = DATA_END(ctx);
  if (data + 64 > end) return XDP_DROP;
  u32 *words = (u32 *)(data + 16);
  u32 hash = 0;
  NO_UNROLL
  for (u32 i = 0; i < 64; i++) {
    u32 a = 0xdeadbeef + 24 + hash, b = a, c = a;
    a += words[0];
    b += words[1];
    c += words[2];
    JHASH_MIX(a, b, c);
    a += words[3];
    b += words[4];
    c += words[5] + i;
    JHASH_FINAL(a, b, c);
    hash ^= c;
  }
  return hash & 1 ? XDP_PASS : XDP_DROP;
}
