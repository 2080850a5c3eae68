//! Shorthands of TypeScript: swaps, several steps in a loop's head, optional parameters, variables without a value, a context taken apart.
//! run 0102030405060708090a0b0c0d0e0f1011121314 -> 42 0201040305060708090a0b0c0d0e0f1011121314
//! run 0902030405060708090a0b0c0d0e0f1011121314 -> 35
import { array, bytes, header, type u32, u32 as U32, xdp } from "ebplane/bpf";

const Head = header({ data: bytes(4) });
export const hits = array(U32, { maxEntries: 1 });

function weigh(a: u32, b?: u32, c = 3): u32 {
  return a + (b ?? 10) + c;
}
const hit = (): void => {
  const n = hits.lookup(0);
  if (!n) return;
  n.value++;
};

export const main = xdp((ctx) => {
  const { length } = ctx;
  const h = ctx.header(Head);
  if (!h) return 0;
  let chosen: u32 | undefined;
  if (h.data[0] === 9) chosen = length - 19; // 1
  void hit();
  if (chosen !== undefined) return weigh(1) + weigh(1, 2) + weigh(chosen, chosen, 13); // 14 + 6 + 15
  [h.data[0], h.data[1]] = [h.data[1], h.data[0]];
  let a = h.data[2];
  let b = h.data[3];
  [a, b] = [b, a];
  [h.data[2], h.data[3]] = [a, b];
  let n = 0;
  for (let i = 0, j = 6; i < j; i++, j--) n += j - i; // 6 + 4 + 2
  return n + weigh(20, hits.lookup(0)?.value, 9); // 12 + 20 + hits + 9
});
