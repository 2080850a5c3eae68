//! Loads that are equal but for what they load from stay apart: the kernel wants the context from an instruction every time.
//! run 000102030405060708090a0b0c0d0e0f -> 0
//! run 010102030405060708090a0b0c0d0e0f -> 1
import { array, header, ktimeGetNs, struct, u8, u32, xdp } from "ebplane/bpf";

const head = header({ a: u8, b: u8 });
const Row = struct({ a: u32, b: u32, c: u32, d: u32 });
export const rows = array(Row, { maxEntries: 1 });

export const main = xdp((ctx) => {
  const h = ctx.header(head);
  if (!h) return 2;
  const which = h.a;
  const then = ktimeGetNs();
  if (which === 0) {
    const row = rows.lookup(0);
    if (!row) return 3;
    if (ktimeGetNs() < then) return 4;
    return row.d;
  }
  return ctx.ingressIfindex;
});
