/* SipHash-2-4 of 32 bytes of the packet (Aumasson, Bernstein 2012), as SYN cookies use it. */
#include "bench.h"

inline_ u64 rol64(u64 x, u32 n) { return x << n | x >> (64 - n); }

#define ROUND                                                                                                          \
  {                                                                                                                    \
    v0 += v1; v1 = rol64(v1, 13); v1 ^= v0; v0 = rol64(v0, 32);                                                        \
    v2 += v3; v3 = rol64(v3, 16); v3 ^= v2;                                                                            \
    v0 += v3; v3 = rol64(v3, 21); v3 ^= v0;                                                                            \
    v2 += v1; v1 = rol64(v1, 17); v1 ^= v2; v2 = rol64(v2, 32);                                                        \
  }

PROGRAM(ctx) {
  u8 *data = DATA(ctx), *end = DATA_END(ctx);
  if (data + 64 > end) return XDP_DROP;
  u64 *words = (u64 *)(data + 16);
  u64 k0 = 0x0706050403020100, k1 = 0x0f0e0d0c0b0a0908;
  u64 v0 = k0 ^ 0x736f6d6570736575, v1 = k1 ^ 0x646f72616e646f6d;
  u64 v2 = k0 ^ 0x6c7967656e657261, v3 = k1 ^ 0x7465646279746573;
  UNROLL
  for (int i = 0; i < 4; i++) {
    v3 ^= words[i];
    ROUND;
    ROUND;
    v0 ^= words[i];
  }
  v3 ^= 32ull << 56;
  ROUND;
  ROUND;
  v0 ^= 32ull << 56;
  v2 ^= 0xff;
  ROUND;
  ROUND;
  ROUND;
  ROUND;
  u64 hash = v0 ^ v1 ^ v2 ^ v3;
  return hash & 1 ? XDP_PASS : XDP_DROP;
}
