/** Counts by protocol. A protocol's row is made when its first packet comes; what does not fit is counted in row 0. */
import { BPF_NOEXIST, percpuHash, struct, u8, u16, type u32, u64 } from "ebplane/bpf";
import { Counter, count } from "../packet/count.bpf.ts";
import type { Packet } from "../packet/packet.bpf.ts";
import { CONTINUE } from "../packet/verdict.bpf.ts";

const Key = struct({ etherType: u16, proto: u8, unused: u8 });

/** Key 0 takes the packets of protocols that came after the map was full. */
export const protocols = percpuHash(Key, Counter, { maxEntries: 256 });

export function run(packet: Packet): u32 {
  const key = Key({ etherType: u16(packet.kind), proto: u8(packet.kind >> 32n) });
  const length = u64(packet.length);
  const row = protocols.lookup(key);
  if (row) {
    count(row, length);
    return CONTINUE;
  }
  if (protocols.update(key, Counter({ packets: 1n, bytes: length }), BPF_NOEXIST) !== 0) {
    // Full, or another CPU made the row in between: both count, one packet may be counted under "others".
    count(protocols.lookup(Key()), length);
  }
  return CONTINUE;
}
