//! bpfLoop and forEach with state, maps in maps, tail calls with their programs, queues, bloom filters, spin locks.
//! run 0102030405060708090a0b0c0d0e0f10 -> 42
import {
  array, arrayOfMaps, bloomFilter, bpfLoop, bpfSpinLock, hash, hashOfMaps, percpuArray, progArray, queue, spinLock, spinUnlock, stack,
  struct, u32, u64, xdp, type Infer, type ProgArray,
} from "ebplane/bpf";

const Sum = struct({ total: u64, last: u32, limit: u32 });
type Sum = Infer<typeof Sum>;
const Guarded = struct({ lock: bpfSpinLock, a: u32, b: u64 });

export const numbers = array(u32, { maxEntries: 6 });
export const table = hash(u32, u64, { maxEntries: 8 });
export const guarded = array(Guarded, { maxEntries: 2 });
export const one = array(u64, { maxEntries: 4 });
export const two = array(u64, { maxEntries: 4 });
export const outer = arrayOfMaps(one, { maxEntries: 3, maps: [one, two] });
export const byName = hashOfMaps(u32, array(u32, { maxEntries: 2 }), { maxEntries: 4 });
export const waiting = queue(u32, { maxEntries: 4 });
export const pile = stack(Sum, { maxEntries: 4 });
export const seen = bloomFilter(u32, { maxEntries: 64 });
export const perCpu = percpuArray(u32, { maxEntries: 2 });

export const next = xdp((ctx) => {
  const v = numbers.lookup(0);
  return v && ctx.length === 16 ? v.value : 1;
});
export const programs: ProgArray = progArray({ maxEntries: 2, programs: [next] });

function stopAt(s: Sum, n: u32): boolean {
  return n >= s.limit;
}

export const main = xdp((ctx) => {
  const s = Sum({ limit: 1000 });
  const ran = bpfLoop(500, (i, state) => {
    state.total += u64(i);
    state.last = i;
  }, s);
  if (ran !== 500 || s.total !== 124750n || s.last !== 499) return 1;
  s.limit = 7;
  s.total = 0n;
  const stopped = bpfLoop(100, (i, state) => {
    state.total += 1n;
    return stopAt(state, i);
  }, s);
  if (stopped !== 8 || s.total !== 8n) return 2;
  if (bpfLoop(3, () => {
    const v = numbers.lookup(5);
    if (v) v.value += 2;
  }) !== 3 || numbers.lookup(5)?.value !== 6) return 3;
  for (let i = 0; i < 6; i++) numbers.update(i, i * 10);
  s.total = 0n;
  const visited = numbers.forEach((key, value, state) => {
    state.total += u64(value.value);
    if (key.value === 2) value.value = 21;
    return key.value === 4;
  }, s);
  if (visited !== 5 || s.total !== 100n || numbers.lookup(2)?.value !== 21) return 4;
  table.update(7, 70n);
  table.update(8, 80n);
  s.total = 0n;
  if (table.forEach((k, v, state) => {
    state.total += v.value * u64(k.value);
  }, s) !== 2 || s.total !== 1130n) return 5;
  const g = guarded.lookup(1);
  if (!g) return 6;
  spinLock(g.lock);
  g.a += 1;
  g.b += u64(g.a) * 3n;
  spinUnlock(g.lock);
  if (g.a === 0 || g.b < 3n) return 7;
  const first = outer.lookup(0);
  const second = outer.lookup(1);
  if (!first || !second || outer.lookup(2)) return 8;
  const a = first.lookup(3);
  const b = second.lookup(3);
  if (!a || !b) return 9;
  a.value = 5n;
  b.value = 6n;
  if (one.lookup(3)?.value !== 5n || two.lookup(3)?.value !== 6n) return 10;
  if (second.update(2, 9n) !== 0 || two.lookup(2)?.value !== 9n) return 11;
  if (byName.lookup(1)?.lookup(0)) return 12;
  if (waiting.push(11) !== 0 || waiting.push(12) !== 0) return 13;
  if (waiting.peek() !== 11 || (waiting.pop() ?? 0) !== 11 || waiting.pop() !== 12 || waiting.pop() !== undefined) return 14;
  pile.push(s);
  const top = pile.pop();
  if (!top || top.total !== 1130n || pile.pop()) return 15;
  seen.add(77);
  if (!seen.has(77)) return 16;
  const c = perCpu.lookupCpu(1, 0);
  if (!c) return 17;
  numbers.update(0, 42);
  programs.tailCall(ctx, 0);
  return 18;
});
