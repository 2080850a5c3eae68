/* The Internet checksum of a packet of up to 1,500 bytes, in 32-bit steps. */
#include "bench.h"

PROGRAM(ctx) {
  u8 *data = DATA(ctx), *end = DATA_END(ctx);
  u64 sum = 0;
  u8 *at = data;
  NO_UNROLL
  for (int i = 0; i < 375; i++) {
    if (at + 4 > end) break;
    sum += *(u32 *)at;
    at += 4;
  }
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return (u16)~sum ? XDP_PASS : XDP_DROP;
}
