//! The address of a function's own object comes first in the sum with an index: of the sum the other way round, Linux 6.18
//! believes that it points into the caller's frame, where it would have overwritten the header's address.
//! run 000102030405060708090a0b0c0d0e0f -> 52
import { arrayOf, header, struct, subprog, u8, u32, u64, xdp } from "ebplane/bpf";

const head = header({ a: u8, b: u8 });
const Row = struct({ n: u64, h: arrayOf(u64, 8) });
const row = Row({ n: 5n, h: [1n, 2n, 3n, 4n] });

const second = subprog((i: u32, x: u64): u64 => {
  const own = Row({ n: x, h: [x, x, x] });
  if (x > 2n) own.h[i & 7] += 1n;
  return own.h[(i + 2) & 7] + own.h[1];
});

/** The object of a caller that has a caller. */
const third = subprog((r: Row, i: u32): u64 => {
  const own = Row({ h: [3n, 4n] });
  if (i > 0) own.h[i & 1] += r.n;
  r.h[(i + 1) & 7] += own.h[0];
  return r.h[i & 7];
});
const fourth = subprog((r: Row, i: u32): u64 => {
  const own = Row({ n: 1n });
  return third(r, i) + third(own, i);
});
const fifth = subprog((a: u64, b: u64, c: u64, d: u64): u64 => fourth(Row({ n: 7n, h: [a, b, c, d] }), 1));

export const main = xdp((ctx) => {
  const h = ctx.header(head);
  if (!h) return 1;
  const a = row.n;
  const b = row.h[0];
  const c = row.h[1];
  const d = row.h[2];
  const e = row.h[3];
  const first = second(u32(a), a);
  // Header and numbers are more than the registers that a call leaves alone.
  return u32(first + fifth(a, b, c, d) + a * b + b * c + c * d + d * e + e * a) + h.b;
});
