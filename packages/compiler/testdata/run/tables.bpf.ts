//! Constant data indexed at run time, read at compile time, gone over, given to a helper.
//! run 0000000000000000000000000000 -> 1011
//! run 0100000000000000000000000000 -> 1122
//! run 0200000000000000000000000000 -> 1233
//! run 0300000000000000000000000000 -> 1344
//! run 0700000000000000000000000000 -> 7
import { array, arrayOf, be16, bytes, header, struct, table, u8, u16, u32, u64, xdp } from "ebplane/bpf";

const First = header({ kind: u8 });
const Route = struct({ port: be16, weight: u8, big: u64, more: arrayOf(u16, 3), mac: bytes(6) });

const SQUARES = table(u32, [0, 1, 4, 9, 16, 25, 36, 49]);
const ROUTES = table(Route, [
  { port: be16(80), weight: 11, more: [1, 2] },
  { port: be16(443), weight: 22, big: 0x1_0000_0001n },
  { weight: 33, mac: [1, 2, 3, 4, 5, 0xff] },
  { weight: 44, more: [7, 8, 9] },
]);
const UNUSED = table(u64, [1n, 2n]);
export const seen = array(u32, { maxEntries: 8 });

export const main = xdp((ctx) => {
  const first = ctx.header(First);
  if (!first) return 0;
  const k = first.kind;
  if (ROUTES[1].big !== 0x1_0000_0001n || ROUTES[3].more[2] !== 9) return 2;
  if (ROUTES.length !== 4) return 3;
  let sum = 0;
  for (const n of SQUARES) sum += n;
  if (sum !== 140) return 4;
  if (k === 7) {
    const v = seen.lookup(SQUARES[k & 1]);
    return v ? 7 : 5;
  }
  if (k >= 4) return 6;
  const r = ROUTES[k];
  if (k === 2 && r.mac[5] !== 0xff) return 8;
  if (k === 1 && r.port !== be16(443)) return 9;
  return 1000 + 100 * k + r.weight + SQUARES[k] - k * k + u32(UNUSED.length) - 2;
});
