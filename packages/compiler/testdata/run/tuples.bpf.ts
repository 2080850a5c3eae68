//! Tuples: as keys of maps, on the stack, in structs, as global data, taken apart.
//! run 0102030405060708090a0b0c0d0e0f10 -> 42
import { be16, be32, equal, hash, ip4, struct, table, tuple, u16, u32, u64, u8, xdp } from "ebplane/bpf";

const Peer = tuple(be32, be16);
const Row = struct({ peer: Peer, hits: u64 });
export const peers = hash(Peer, u32, { maxEntries: 16 });
export const byPair = hash(tuple(u32, u8), Row, { maxEntries: 16 });
const LIMITS = table(tuple(u16, u32), [[1, 100], [2, 200]]);
const state = Peer([ip4("10.0.0.9"), be16(99)]);

export const main = xdp((ctx) => {
  if (peers.update([ip4("10.0.0.1"), be16(80)], 7) !== 0) return 1;
  if (peers.lookup([ip4("10.0.0.1"), be16(80)])?.value !== 7) return 2;
  if (peers.lookup([ip4("10.0.0.1"), be16(81)])) return 3;
  const key = Peer([ip4("10.0.0.1"), be16(80)]);
  if (peers.lookup(key)?.value !== 7 || Peer.size !== 8) return 4;
  key[1] = be16(81);
  if (key[0] !== ip4("10.0.0.1") || key[1] !== be16(81)) return 5;
  const [addr, port] = key;
  if (addr !== ip4("10.0.0.1") || port !== be16(81)) return 6;
  byPair.update([5, 6], { peer: [ip4("10.0.0.2"), be16(53)], hits: 1n });
  const row = byPair.lookup([5, 6]);
  if (!row || row.peer[1] !== be16(53) || row.hits !== 1n) return 7;
  if (equal(row.peer, key)) return 8;
  if (LIMITS[ctx.length & 1][1] !== 100 || LIMITS[1][0] !== 2) return 9;
  if (state[1] !== be16(99)) return 10;
  return 42;
});
