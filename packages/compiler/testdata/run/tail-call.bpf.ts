//! A tail call to an empty slot goes on with the next statement, and with the headers there were.
//! run 0102030405060708090a0b0c0d0e0f10 -> 43
import { header, progArray, u8, xdp } from "ebplane/bpf";

const head = header({ first: u8, second: u8 });
export const next = progArray({ maxEntries: 4 });

export const main = xdp((ctx) => {
  const h = ctx.header(head);
  if (!h) return 1;
  next.tailCall(ctx, h.first);
  return 41 + h.second;
});
