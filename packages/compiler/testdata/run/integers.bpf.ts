//! A value wraps at its width, shifts and divides by its signedness, and casts cut and extend.
//! run 0102030405060708090a0b0c0d0e0f101112131415161718 -> 42
import { bytes, header, i8, i16, i32, i64, struct, u8, u16, u32, u64, xdp } from "ebplane/bpf";

const Small = struct({ a: u8, b: u16, c: i8, d: i16 });
const head = header({ a: u8, b: u8, rest: bytes(14) });

export const main = xdp((ctx) => {
  const h = ctx.header(head);
  if (!h) return 1;
  const one = u32(h.a);
  const two = u32(h.b);
  if (one - two !== 0xffffffff) return 2;
  if (u8(one - two) !== 255) return 3;
  if (i32(one) - i32(two) !== -1) return 4;
  if (i32(one) - i32(two) >= 0) return 5;
  if ((i32(one) - i32(two)) >> 1 !== -1) return 6;
  if ((one - two) >> 1 !== 0x7fffffff) return 7;
  if (u64(one) - u64(two) !== 0xffffffffffffffffn) return 8;
  if (i64(i32(one) - i32(two)) !== -1n) return 9;
  if (u64(one - two) !== 0xffffffffn) return 10;
  if (i8(u8(one + 127)) !== -128) return 11;
  if (i32(i8(one + 127)) + 128 !== 0) return 12;
  const s = Small({ a: 250 });
  s.a += 10;
  if (s.a !== 4) return 13;
  s.b = s.b - 1;
  if (s.b !== 65535) return 14;
  s.c = i8(one + 199);
  if (s.c !== -56) return 15;
  s.d = i16(s.c);
  if (i32(s.d) * 2 !== -112) return 16;
  if ((two * 7 + one) / two !== 7) return 17;
  if ((two * 7 + one) % two !== 1) return 18;
  if (one / (two - 2) !== 0) return 19;
  if (one % (two - 2) !== 1) return 20;
  if ((one << 31) >>> 31 !== 1) return 21;
  if (~one !== 0xfffffffe) return 22;
  if (-one !== 0xffffffff) return 23;
  let n: u8 = 255;
  n++;
  if (n !== 0) return 24;
  let m = i16(one);
  m -= 32767;
  m -= 3;
  if (m !== 32767) return 25;
  if (i32(-7) / i32(two) !== -3) return 26;
  return 42;
});
