//! Two blocks that do the same with different tables are not one block.
//! run 0102030405060708090a0b0c0d0e0f10 -> 42
import { table, u32, xdp } from "ebplane/bpf";

const A = table(u32, [1, 2, 3, 4]);
const B = table(u32, [10, 20, 30, 40]);

export const main = xdp((ctx) => {
  let n: u32 = 0;
  if (ctx.length === 16) n = A[ctx.length & 3];
  else n = B[ctx.length & 3];
  return n === 1 ? 42 : n;
});
