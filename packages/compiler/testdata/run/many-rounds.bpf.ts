//! Loops of more rounds than a verifier walks: over the kernel's counter, left by break, continue and return.
//! run 0102030405060708090a0b0c0d0e0f1011121314 -> 42
//! run 0202030405060708090a0b0c0d0e0f1011121314 -> 77
//! run 0302030405060708090a0b0c0d0e0f1011121314 -> 9
//! run 0402030405060708090a0b0c0d0e0f1011121314 -> 190
//! run 0502030405060708090a0b0c0d0e0f1011121314 -> 3
//! run 0602030405060708090a0b0c0d0e0f1011121314 -> 100
import { array, arrayOf, header, license, range, subprog, u32, u64, u8, xdp } from "ebplane/bpf";

license("GPL");
const First = header({ kind: u8 });
const Big = arrayOf(u32, 16384);
export const big = array(Big, { maxEntries: 1 });

function firstAbove(n: u32, most: u32): u32 {
  for (const i of range(n)) if (i * i > most) return i;
  return n;
}
const sumTo = subprog((n: u32): u32 => {
  let sum: u32 = 0;
  for (const i of range(n)) sum += i;
  return sum;
});

export const main = xdp((ctx) => {
  const first = ctx.header(First);
  if (!first) return 0;
  if (first.kind === 1) {
    let n: u64 = 0n;
    for (const i of range(1_000_000)) n += u64(i & 1);
    return n === 500_000n ? 42 : 1;
  }
  if (first.kind === 2) {
    let last: u32 = 0;
    for (const i of range(10, 100_000)) {
      if (i < 77) continue;
      last = i;
      break;
    }
    return last;
  }
  if (first.kind === 3) return firstAbove(ctx.length * 1000, 80);
  if (first.kind === 4) return sumTo(ctx.length);
  if (first.kind === 5) {
    const v = big.lookup(0);
    if (!v) return 1;
    for (const i of range(v.length)) v[i] = i + 1;
    return v[2];
  }
  let rounds: u32 = 0;
  outer: for (const i of range(50_000)) {
    for (const j of range(ctx.length * 500)) {
      if (j === 10) continue outer;
      if (i === 10) break outer;
      rounds += 1;
    }
  }
  return rounds;
});
