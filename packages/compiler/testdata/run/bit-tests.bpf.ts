//! Bits of a wide value that is cut to 32 are tested in the low half only.
//! run 0000000100000000 0000000000000000 -> 42
//! run 0000000000000001 0000000000000000 -> 43
import { be64, header, ntohll, u32, xdp } from "ebplane/bpf";

const head = header({ word: be64, next: be64 });

export const main = xdp((ctx) => {
  const h = ctx.header(head);
  if (!h) return 1;
  const v = ntohll(h.word);
  if (u32(v & 0x1_0000_0001n) !== 0) return 43;
  if ((v & 0x1_0000_0000n) === 0n) return 2;
  return (u32(v) & 5) !== 0 ? 3 : 42;
});
