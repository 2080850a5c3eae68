//! Assembly with operands: numbers, memory of all kinds, jumps, loops, registers of its own, signs and widths.
//! run 0102030405060708090a0b0c0d0e0f10 -> 42 fffdfcfbfaf9f8fe090a0b0c0d0e0f10
//! run ff02030405060708090a0b0c0d0e0f10 -> 42 01fdfcfbfaf9f8fe090a0b0c0d0e0f10
import { array, asm, be16, bool, bytes, hash, i16, i32, i64, range, struct, subprog, u16, u32, u64, u8, xdp } from "ebplane/bpf";

const Pair = struct({ a: u64, b: u32, c: u32 });
const Head = struct({ raw: bytes(8) });
export const counts = array(u64, { maxEntries: 4 });
export const pairs = hash(u32, Pair, { maxEntries: 4 });
let total: u64 = 5n;
const state = Pair({ a: 1n });
const TEXT = "r0 = r1; r0 *= 3";

const parity = subprog((x: u64): u32 => asm(u32, `
  r0 = 0              # bits counted so far
again:
  if r1 == 0 goto done
  r2 = r1
  r2 -= 1
  r1 &= r2            // the lowest set bit goes
  r0 += 1
  goto again
done:
  r0 &= 1
`, [x]));

/** Memory of whoever calls it. */
const raise = subprog((pair: Pair): u32 => {
  asm("w2 = *(u32 *)(r1 + 12); w2 += 5; r1 += 12; *(u32 *)(r1 + 0) = w2", [pair]);
  return pair.c;
});

export const main = xdp((ctx) => {
  const p = ctx.packet();
  const head = p.take(Head);
  if (!head) return 1;
  const x = u64(head.raw[0]) + 1n;
  const y = u64(head.raw[1]);
  // Values that live across a block that changes every register.
  const [v1, v2, v3, v4, v5] = [x + y, x ^ y, x * 3n, y - x, x | 8n];
  const sum = asm(u64, "r0 = r1; r0 += r2; r0 += r3; r0 += r4; r0 += r5; r6 = 1; r7 = 2; r8 = 3; r9 = 4; r1 = 0; r2 = 0; r3 = 0; r4 = 0; r5 = 0", [v1, v2, v3, v4, v5]);
  if (sum !== v1 + v2 + v3 + v4 + v5) return 2;
  if (asm(u64, TEXT, [x]) !== x * 3n) return 3;
  // Signs and widths.
  const minus = i32(head.raw[1]) - 4;
  if (asm(bool, "r0 = 0; if r1 s>= 0 goto +1; r0 = 1", [minus]) !== true) return 4;
  if (asm(i64, "r0 = r1", [minus]) !== -2n || asm(i16, "r0 = 0x18000", []) !== -32768) return 5;
  if (asm(u8, "r0 = 0x1ff") !== 255 || asm(u16, "r0 = -1") !== 65535 || asm(u32, "r0 = -1") !== 0xffffffff) return 6;
  if (asm(be16, "r0 = r1", [be16(0x1234)]) !== be16(0x1234)) return 7;
  if (asm(u64, "r0 = 0x1122334455667788 ll") !== 0x1122334455667788n) return 8;
  if (!asm(bool, "r0 = r1", [x !== 0n]) || asm(bool, "r0 = 0")) return 9;
  // Memory: the stack, a map's value, global data, the packet, the context.
  const pair = Pair({ a: x, b: 7, c: 9 });
  pair.b = 70;
  const old = asm(u32, "w0 = *(u32 *)(r1 + 8); *(u32 *)(r1 + 12) = w0; r1 += 8; *(u32 *)(r1 + 0) = w2", [pair, 71]);
  if (old !== 70 || pair.b !== 71 || pair.c !== 70 || pair.a !== x) return 10;
  const slot = counts.lookup(2);
  if (!slot) return 11;
  slot.value = 10n;
  asm("*(u64 *)(r1 + 0) = r2; r3 = 5; lock *(u64 *)(r1 + 0) += r3", [slot, 100n]);
  if (slot.value !== 105n) return 12;
  state.b = 3;
  asm("r2 = 11; *(u32 *)(r1 + 8) = w2", [state]);
  if (state.b !== 11 || state.a !== 1n) return 13;
  total += 1n;
  if (asm(u64, "r0 = 6; r2 = 9; r0 = cmpxchg_64(r1 + 0, r0, r2)", [pair]) === 6n) return 14;
  if (raise(pair) !== 75 || pair.c !== 75) return 18;
  // Mnemonics; a block in a loop that is unrolled, with a register of its own across another.
  let sum2: u32 = 0;
  for (const k of range(4)) sum2 = asm(u32, "mov %r0, %r1\nadd %r0, %r2\nmov %r6, %r2", [sum2, k]);
  if (sum2 !== 6) return 19;
  // A bounds check of its own.
  const last = asm(u32, `
    w2 = *(u32 *)(r1 + 0); w3 = *(u32 *)(r1 + 4)
    r0 = 0
    r4 = r2; r4 += 16
    if r4 > r3 goto end
    r0 = *(u8 *)(r2 + 15)
  end:`, [ctx]);
  if (last !== 16) return 20;
  if (parity(0xf1n) !== 1 || parity(0xf0n) !== 0) return 15;
  let length = 0;
  for (let k = 0; k < 3; k++) length += asm(u32, "r2 = *(u32 *)(r1 + 4); r0 = *(u32 *)(r1 + 0); r2 -= r0; r0 = r2", [ctx]);
  if (length !== 48) return 16;
  // A value that was read before the block writes it.
  const before = head.raw[7];
  asm("r2 = *(u64 *)(r1 + 0); r2 = -r2; *(u64 *)(r1 + 0) = r2", [head]);
  asm("r2 = 0xfe; *(u8 *)(r1 + 7) = r2", [head]);
  if (before !== 8 || head.raw[7] !== 0xfe) return 17;
  return 42;
});
