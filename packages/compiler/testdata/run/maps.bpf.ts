//! Maps of all keyed kinds: lookup, update, delete, scalars, flags, structs as keys.
//! run 0102030405060708090a0b0c0d0e0f10 -> 42
import {
  array, atomicAdd, atomicAnd, atomicOr, BPF_EXIST, BPF_NOEXIST, be32, hash, ip4, Lpm4, lpmTrie, lruHash, percpuArray,
  percpuHash, struct, u8, u16, u32, u64, xdp,
} from "ebplane/bpf";

const Key = struct({ a: u32, b: u16, c: u8 });
const Value = struct({ n: u64, m: u32 });
export const byKey = hash(Key, Value, { maxEntries: 16 });
export const counts = array(u64, { maxEntries: 4 });
export const perCpu = percpuArray(Value, { maxEntries: 2 });
export const perCpuHash = percpuHash(u32, u32, { maxEntries: 8 });
export const recent = lruHash(be32, u8, { maxEntries: 8 });
export const prefixes = lpmTrie(Lpm4, u32, { maxEntries: 8 });

export const main = xdp((ctx) => {
  const key = Key({ a: 1, b: 2, c: 3 });
  byKey.delete(key);
  if (byKey.lookup(key)) return 1;
  if (byKey.update(key, Value({ n: 5n })) !== 0) return 2;
  if (byKey.update(key, Value(), BPF_NOEXIST) === 0) return 3;
  const v = byKey.lookup({ a: 1, b: 2, c: 3 });
  if (!v || v.n !== 5n) return 4;
  v.m = 7;
  atomicAdd(v.n, 10n);
  atomicOr(v.m, 8);
  atomicAnd(v.m, 13);
  const again = byKey.lookup(key);
  if (!again || again.n !== 15n || again.m !== 13) return 5;
  if (byKey.delete(key) !== 0 || byKey.delete(key) >= 0) return 6;
  const c = counts.lookup(3);
  if (!c) return 7;
  c.value = 41n;
  c.value += 1n;
  if (counts.lookup(3)?.value !== 42n) return 8;
  if (counts.lookup(4) !== undefined) return 9;
  if (counts.update(2, 9n) !== 0 || counts.lookup(2)?.value !== 9n) return 10;
  const p = perCpu.lookup(1);
  if (!p) return 11;
  p.n = 1n;
  if (perCpu.lookup(1)?.n !== 1n) return 12;
  if (perCpuHash.update(5, 6) !== 0 || perCpuHash.lookup(5)?.value !== 6) return 13;
  if (recent.update(ip4("10.0.0.1"), 3) !== 0) return 14;
  if (recent.lookup(ip4("10.0.0.1"))?.value !== 3 || recent.update(ip4("10.0.0.2"), 1, BPF_EXIST) === 0) return 15;
  if (prefixes.update(Lpm4({ prefixlen: 8, addr: ip4("10.0.0.0") }), 8) !== 0) return 16;
  if (prefixes.update(Lpm4({ prefixlen: 24, addr: ip4("10.1.2.0") }), 24) !== 0) return 17;
  if (prefixes.lookup(Lpm4({ prefixlen: 32, addr: ip4("10.1.2.3") }))?.value !== 24) return 18;
  if (prefixes.lookup(Lpm4({ prefixlen: 32, addr: ip4("10.9.2.3") }))?.value !== 8) return 19;
  if (prefixes.lookup(Lpm4({ prefixlen: 32, addr: ip4("11.9.2.3") }))) return 20;
  return ctx.length > 0 ? 42 : 21;
});
