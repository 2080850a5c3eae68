//! if, switch with fall-through, loops of each kind, labels, ?:, &&, ||, ??, ?.
//! run 0102030405060708090a0b0c0d0e0f10 -> 42
import { bytes, header, range, u32, xdp } from "ebplane/bpf";

const head = header({ bytes: bytes(8) });

function classify(n: u32): u32 {
  switch (n) {
    case 0:
      return 10;
    case 1:
    case 2:
      n += 5;
    case 7: {
      n++;
      break;
    }
    default:
      n = 99;
  }
  return n;
}

function maybe(n: u32): u32 | undefined {
  if (n > 4) return undefined;
  return n * 2;
}

export const main = xdp((ctx) => {
  const h = ctx.header(head);
  if (!h) return 1;
  let sum = 0;
  for (let i = 0; i < 8; i++) sum += h.bytes[i];
  if (sum !== 36) return 2;
  sum = 0;
  for (const i of range(2, 8)) {
    if (i === 3) continue;
    if (i === 6) break;
    sum += i;
  }
  if (sum !== 11) return 3;
  let k = 0;
  while (k < 5) k += 2;
  if (k !== 6) return 4;
  do k--;
  while (k > 2);
  if (k !== 2) return 5;
  let found = 0;
  outer: for (const i of range(4)) {
    for (const j of range(4)) {
      if (j > i) continue outer;
      if (i * j === 4) {
        found = i * 10 + j;
        break outer;
      }
    }
  }
  if (found !== 22) return 6;
  if (classify(0) !== 10 || classify(1) !== 7 || classify(7) !== 8 || classify(50) !== 99) return 7;
  const a = u32(h.bytes[0]);
  if ((maybe(a) ?? 100) !== 2) return 8;
  if ((maybe(a + 9) ?? 100) !== 100) return 9;
  if (maybe(a + 9) === 20 || maybe(a) !== 2) return 10;
  const both = a === 1 && sum === 11;
  if (!both) return 11;
  const either = a === 2 || sum > 12;
  if (either) return 12;
  const pick = a > 0 ? (sum > 100 ? 1 : 2) : 3;
  if (pick !== 2) return 13;
  if (ctx.header(head, 200)?.bytes[0] !== undefined) return 14;
  if ((ctx.header(head, 8)?.bytes[7] ?? 0) !== 16) return 15;
  return 42;
});
