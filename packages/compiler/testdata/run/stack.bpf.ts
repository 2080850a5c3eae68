//! Keys of 200 bytes that are not needed at the same time share the stack; one whose address is kept does not.
//! run 0102030405060708090a0b0c0d0e0f10 -> 42
import { arrayOf, bytes, hash, header, struct, u32, xdp } from "ebplane/bpf";

const Key = struct({ words: arrayOf(u32, 50) });
export const first = hash(Key, u32, { maxEntries: 4 });
export const second = hash(Key, u32, { maxEntries: 4 });
const head = header({ b: bytes(4) });

function count(n: u32): u32 {
  const key = Key({ words: [n] });
  if (first.update(key, n) !== 0) return 100;
  return first.lookup(key)?.value ?? 101;
}

function other(n: u32): u32 {
  const key = Key({ words: [0, n] });
  if (second.update(key, n + 1) !== 0) return 100;
  return second.lookup(key)?.value ?? 101;
}

export const main = xdp((ctx) => {
  const h = ctx.header(head);
  if (!h) return 1;
  const small = struct({ list: arrayOf(u32, 8) });
  const kept = small({ list: [1, 2, 3, 4, 5, 6, 7, 8] });
  const i = u32(h.b[0]) & 7;
  const a = count(i);
  const b = other(i);
  const c = count(i + 7);
  if (kept.list[i] !== 2) return 2;
  return a === 1 && b === 2 && c === 8 ? 42 : 3;
});
