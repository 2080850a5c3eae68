//! Functions of their own: numbers, structs, optional values and ctx as arguments, static and global, generic over maps.
//! run 0102030405060708090a0b0c0d0e0f10 -> 42
import { array, bytes, copy, header, hash, i16, i32, struct, subprog, u8, u16, u32, u64, xdp, type Infer, type XdpContext } from "ebplane/bpf";

const Pair = struct({ a: u32, b: u64 });
type Pair = Infer<typeof Pair>;
const head = header({ bytes: bytes(8) });
export const counts = array(u64, { maxEntries: 4 });
export const pairs = array(Pair, { maxEntries: 2 });
export const sums = hash(u32, u64, { maxEntries: 4 });

const mix = subprog((a: u32, b: u8, c: i32, d: u64, e: boolean): u64 => {
  let n = u64(a) * 3n + u64(b) + d;
  if (c < 0) n += 1000n;
  if (e) n <<= 1n;
  return n;
});

const fill = subprog((p: Pair, n: u32) => {
  p.a += n;
  p.b = u64(p.a) * 2n;
});

const larger = subprog((p: Pair, q: Pair): Pair => {
  if (p.a > q.a) return p;
  return q;
});

const orZero = subprog((p: Pair | undefined): u32 => (p ? p.a : 0));
const orSeven = subprog((n: u32 | undefined): u32 => n ?? 7);

/** One function for each map. */
const bump = subprog((m: typeof counts, k: u32, by: u64): u32 => {
  const v = m.lookup(k);
  if (!v) return 0;
  v.value += by;
  return 1;
});

const third = subprog((ctx: XdpContext, offset: u16): u32 => {
  const h = ctx.header(head, offset);
  if (!h) return 99;
  return h.bytes[2];
});

const narrow = subprog.global((x: u8, y: i16, z: u16): u32 => u32(i32(x) + i32(y) + i32(z)));

const total = subprog.global((p: Pair, n: u32): u64 => {
  let s: u64 = p.b;
  for (let i = 0; i < 4; i++) s += u64(n);
  return s + u64(p.a);
});

/** Calls another. */
const twice = subprog((n: u32): u32 => narrow(u8(n), i16(-1), u16(n)) * 2);

export const main = xdp((ctx) => {
  if (mix(5, 6, -1, 7n, true) !== 2056n) return 1;
  if (mix(5, 6, 1, 7n, false) !== 28n) return 2;
  const p = Pair({ a: 10 });
  const q = Pair({ a: 3, b: 9n });
  fill(p, 5);
  if (p.a !== 15 || p.b !== 30n) return 3;
  const x = pairs.lookup(0);
  const y = pairs.lookup(1);
  if (!x || !y) return 40;
  copy(x, p);
  copy(y, q);
  const l = larger(x, y);
  l.b += 1n;
  if (x.b !== 31n || y.b !== 9n) return 4;
  if (orZero(q) !== 3 || orZero(undefined) !== 0) return 5;
  const c = counts.lookup(1);
  if (!c) return 6;
  const seen = c.value > 100n ? 5 : undefined;
  if (orSeven(seen) !== 7 || orSeven(u32(c.value) + 4) !== 4 + u32(c.value)) return 7;
  c.value = 0n;
  if (bump(counts, 1, 5n) !== 1 || bump(counts, 9, 1n) !== 0) return 8;
  if (c.value !== 5n) return 9;
  sums.update(1, 1n);
  if (bump(sums, 1, 2n) !== 1 || sums.lookup(1)?.value !== 3n) return 10;
  if (third(ctx, 4) !== 7 || third(ctx, 9) !== 99) return 11;
  if (narrow(255, i16(-300), 100) !== 55) return 12;
  if (total(p, 2) !== 53n) return 13;
  if (twice(21) !== 82) return 14;
  const h = ctx.header(head);
  if (!h || h.bytes[0] !== 1) return 15;
  return 42;
});
