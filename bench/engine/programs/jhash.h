/* Bob Jenkins' lookup3 (public domain), the parts that are used here. */
#pragma once

inline_ u32 rol32(u32 x, u32 n) { return x << n | x >> (32 - n); }

#define JHASH_MIX(a, b, c)                                                                                             \
  {                                                                                                                    \
    a -= c; a ^= rol32(c, 4); c += b;                                                                                  \
    b -= a; b ^= rol32(a, 6); a += c;                                                                                  \
    c -= b; c ^= rol32(b, 8); b += a;                                                                                  \
    a -= c; a ^= rol32(c, 16); c += b;                                                                                 \
    b -= a; b ^= rol32(a, 19); a += c;                                                                                 \
    c -= b; c ^= rol32(b, 4); b += a;                                                                                  \
  }
#define JHASH_FINAL(a, b, c)                                                                                           \
  {                                                                                                                    \
    c ^= b; c -= rol32(b, 14);                                                                                         \
    a ^= c; a -= rol32(c, 11);                                                                                         \
    b ^= a; b -= rol32(a, 25);                                                                                         \
    c ^= b; c -= rol32(b, 16);                                                                                         \
    a ^= c; a -= rol32(c, 4);                                                                                          \
    b ^= a; b -= rol32(a, 14);                                                                                         \
    c ^= b; c -= rol32(b, 24);                                                                                         \
  }

inline_ u32 jhash_3words(u32 a, u32 b, u32 c, u32 seed) {
  seed += 0xdeadbeef + (3 << 2);
  a += seed;
  b += seed;
  c += seed;
  JHASH_FINAL(a, b, c);
  return c;
}
