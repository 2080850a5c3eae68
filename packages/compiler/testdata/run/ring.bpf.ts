//! A ring buffer takes a copy of a struct.
//! run 0102030405060708090a0b0c0d0e0f10 -> 42
import { be32, bytes, ringBuffer, struct, u32, u64, xdp } from "ebplane/bpf";

const Event = struct({ when: u64, who: be32, what: u32, more: bytes(8) });
export const events = ringBuffer({ maxEntries: 4096 });

export const main = xdp((ctx) => {
  const e = Event({ when: 5n, what: ctx.length });
  if (events.output(e) !== 0) return 1;
  return 42;
});
