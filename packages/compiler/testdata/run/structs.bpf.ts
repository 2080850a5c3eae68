//! Layout is C's; copies copy, references refer; unions overlay; bit fields pack; nested initialisers.
//! run 0102030405060708090a0b0c0d0e0f10 -> 42
import { arrayOf, be32, bits, bytes, copy, equal, header, sizeOf, struct, u8, u16, u32, u64, union, xdp } from "ebplane/bpf";

const Inner = struct({ x: u8, y: u32 });
const Outer = struct({ a: u8, inner: Inner, b: u64, list: arrayOf(u16, 3), c: u8 });
const Tight = struct({ a: u8, b: u32, c: u16 }, { packed: true });
const Both = union({ word: u32, halves: arrayOf(u16, 2), bytes: bytes(4) });
const Flags = struct({ low: bits(3), high: bits(5), rest: bits(24), next: u32 });
const head = header({ bytes: bytes(16) });

export const main = xdp((ctx) => {
  if (sizeOf(Outer) !== 32 || Tight.size !== 7 || sizeOf(Both) !== 4 || sizeOf(Flags) !== 8) return 1;
  const h = ctx.header(head);
  if (!h) return 2;
  const o = Outer({ a: 1, inner: { y: 7 }, list: [1, 2, 3] });
  if (o.inner.y !== 7 || o.inner.x !== 0 || o.b !== 0n || o.list[2] !== 3) return 3;
  const same = o;
  same.a = 9;
  if (o.a !== 9) return 4;
  const other = Outer(o);
  other.a = 10;
  if (o.a !== 9 || other.a !== 10 || other.list[1] !== 2) return 5;
  other.inner = Inner({ x: 3, y: 4 });
  if (other.inner.x !== 3 || other.inner.y !== 4) return 6;
  if (equal(o.inner, other.inner)) return 7;
  copy(o.inner, other.inner);
  if (!equal(o.inner, other.inner)) return 8;
  const t = Tight({ a: 1, b: 0x01020304, c: 5 });
  if (t.b !== 0x01020304 || t.c !== 5 || t.a !== 1) return 9;
  const u = Both({ word: 0x00010002 });
  if (u.halves[0] !== 2 || u.halves[1] !== 1 || u.bytes[2] !== 1) return 10;
  u.bytes[3] = 1;
  if (u.word !== 0x01010002) return 11;
  const f = Flags({ low: 5, high: 17, rest: 0x123456, next: 8 });
  f.high = 30;
  if (f.low !== 5 || f.high !== 30 || f.rest !== 0x123456 || f.next !== 8) return 12;
  const { a, inner } = other;
  if (a !== 10 || inner.y !== 4) return 13;
  let i = u32(h.bytes[0]);
  if (i > 2) return 14;
  o.list[i] = 77;
  if (o.list[1] !== 77) return 15;
  const four = Both();
  copy(four.bytes, u.bytes);
  if (four.word !== u.word) return 16;
  return 42;
});
