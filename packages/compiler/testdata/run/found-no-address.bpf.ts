//! Whether something is there, as a value: the machine compares its address with 0, and computes nothing from it.
//! run 000102030405060708090a0b0c0d0e0f -> 42
import { array, hash, header, struct, subprog, u8, u32, u64, xdp, type Infer } from "ebplane/bpf";

const head = header({ a: u8, b: u8 });
const far = header({ a: u64, b: u64, c: u64 });
const Row = struct({ n: u64, on: u8 });
type Row = Infer<typeof Row>;
export const rows = hash(u32, Row, { maxEntries: 4 });
export const flags = array(Row, { maxEntries: 1 });

const missing = subprog((r: Row | undefined): boolean => r === undefined);

export const main = xdp((ctx) => {
  const h = ctx.header(head);
  const f = ctx.header(far);
  if (!h) return 1;
  const odd = (h.b & 1) !== 0;
  const none = rows.lookup(7);
  const some = flags.lookup(0);
  if (odd !== (f === undefined)) return 2;
  if ((f !== undefined) === odd) return 3;
  if (!(odd === !f)) return 4;
  const both = (f === undefined) === (none === undefined);
  if (!both) return 5;
  let seen: u32 = 0;
  for (let i: u32 = 0; i < 4; i++) {
    const r = rows.lookup(i);
    const gone = r === undefined;
    seen += u32(gone !== odd) + u32(gone);
  }
  if (seen !== 4) return 6;
  if (some) some.on = u8(none === undefined) + u8(f !== undefined) * 2;
  if (!some || some.on !== 1) return 7;
  if (missing(none) !== odd || missing(some) === odd) return 8;
  const which = odd ? none : some;
  const there = which !== undefined;
  const at = [there, !which, f === undefined];
  let n: u32 = 0;
  for (const x of at) n = n * 2 + u32(x);
  return n === 3 ? 42 : 100 + n;
});
