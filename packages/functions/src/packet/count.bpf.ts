/** Packets and bytes, as every counter of a plane holds them. Per-CPU maps: plain adds lose nothing. */
import { type Infer, struct, u64 } from "ebplane/bpf";

export const Counter = struct({ packets: u64, bytes: u64 });
export type Counter = Infer<typeof Counter>;

export function count(counter: Counter | undefined, length: u64): void {
  if (!counter) return;
  counter.packets += 1n;
  counter.bytes += length;
}
