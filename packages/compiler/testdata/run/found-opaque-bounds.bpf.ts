//! Masks and tests of what the verifier knows nothing of stay: shifts by a variable, remainders, swapped bytes.
//! run 000102030405060708090a0b0c0d0e0f10111213141516171819 -> 42
import { arrayOf, be16, header, ntohs, struct, u8, u32, xdp } from "ebplane/bpf";

const head = header({ a: u8, b: u8, c: be16 });
const Row = struct({ eight: arrayOf(u32, 8), wide: arrayOf(u8, 256) });
const row = Row({ eight: [0, 1, 2, 3, 4] });

export const main = xdp((ctx) => {
  const h = ctx.header(head);
  if (!h) return 1;
  if (row.eight[(4 >> h.b) & 7] !== 2) return 2;
  if (row.eight[(u32(h.b) % 5) & 7] !== 1) return 3;
  const r = (u32(h.b) + 2) % 5;
  if (r < 8 && row.eight[r] !== 3) return 4;
  row.wide[u8(h.b % 100)] = 7;
  if (row.wide[1] !== 7) return 5;
  const far = ntohs(h.c) & 0xff;
  row.wide[far] = 3;
  if (row.wide[3] !== 3) return 6;
  const t = ctx.header(head, ntohs(h.c) & 0xffff);
  return t && t.a === 255 ? 7 : 42;
});
