/**
 * The stateless firewall: the first rule that matches decides.
 *
 * A rule is value and mask of everything it asks (see rule.ts), so one rule is tried without a branch: each compare
 * leaves 0 in `miss` when it fits. That keeps the verifier's work linear in the number of rules.
 * `active` names the bank of rules in use: base and number in one 64-bit word, so that a switch is atomic.
 */
import { array, config, percpuArray, range, struct, u16, u32, u64 } from "ebplane/bpf";
import { Counter, count } from "../packet/count.bpf.ts";
import type { Packet } from "../packet/packet.bpf.ts";
import { CONTINUE, drop } from "../packet/verdict.bpf.ts";

/** Rules a bank holds. */
const CAPACITY = config("CAPACITY", u32(64));
const DEFAULT_DROP = config("DEFAULT_DROP", true);

const REASON_DEFAULT = 0;
const REASON_RULE = 1;

const Rule = struct({
  src0: u64,
  src1: u64,
  srcMask0: u64,
  srcMask1: u64,
  dst0: u64,
  dst1: u64,
  dstMask0: u64,
  dstMask1: u64,
  kind: u64,
  kindMask: u64,
  sportLow: u16,
  sportHigh: u16,
  dportLow: u16,
  dportHigh: u16,
  drop: u32,
  unused: u32,
});

/** Two banks: one in use, one to write the next set into. */
export const rules = array(Rule, { maxEntries: CAPACITY * 2 });
export const hits = percpuArray(Counter, { maxEntries: CAPACITY * 2 });
export const active = array(u64, { maxEntries: 1 });

export function run(packet: Packet): u32 {
  const bank = active.lookup(0);
  if (!bank) return drop(REASON_DEFAULT);
  const base = u32(bank.value);
  const number = u32(bank.value >> 32n);
  const sport = u64(packet.sport);
  const dport = u64(packet.dport);
  for (const i of range(CAPACITY)) {
    if (i >= number) break;
    const rule = rules.lookup(base + i);
    if (!rule) break;
    // Out of a port range, one of the two differences is negative: its sign bit is the miss.
    const ports =
      ((sport - u64(rule.sportLow)) |
        (u64(rule.sportHigh) - sport) |
        (dport - u64(rule.dportLow)) |
        (u64(rule.dportHigh) - dport)) >>
      63n;
    const miss =
      ((packet.kind & rule.kindMask) ^ rule.kind) |
      ((packet.src0 & rule.srcMask0) ^ rule.src0) |
      ((packet.src1 & rule.srcMask1) ^ rule.src1) |
      ((packet.dst0 & rule.dstMask0) ^ rule.dst0) |
      ((packet.dst1 & rule.dstMask1) ^ rule.dst1) |
      ports;
    if (miss === 0n) {
      count(hits.lookup(base + i), u64(packet.length));
      return rule.drop !== 0 ? drop(REASON_RULE) : CONTINUE;
    }
  }
  return DEFAULT_DROP ? drop(REASON_DEFAULT) : CONTINUE;
}
