/** Sim's test run against the kernel's: what comes back, and what is refused. */
import { toHex } from "@ebplane/core/bytes";
import { SysError } from "@ebplane/core/errors";
import { ProgType, type Target, type TestRunInput } from "@ebplane/core/object";
import { SimTarget } from "@ebplane/core/sim";
import { linuxTarget } from "@ebplane/linux";
import { asmProgram, collectionOf, kernelSkipReason } from "@ebplane/linux/testing";
import { expect, test } from "vitest";

const skip = kernelSkipReason();
const { BPF_PROG_TYPE_XDP: XDP, BPF_PROG_TYPE_SCHED_CLS: CLS } = ProgType;

/** Eight bytes of metadata, the first four of them the frame's first bytes. */
const META = `
r6 = r1
r2 = -8
call 54
r2 = *(u32 *)(r6 + 8)
r3 = *(u32 *)(r6 + 0)
r4 = *(u32 *)(r6 + 4)
r5 = r2
r5 += 8
if r5 > r3 goto out
r5 = r3
r5 += 4
if r5 > r4 goto out
r5 = *(u32 *)(r3 + 0)
*(u32 *)(r2 + 0) = r5
*(u32 *)(r2 + 4) = 7
out:
r0 = 2
exit`;

/** What the metadata given with the packet is long. */
const META_LENGTH = `
r2 = *(u32 *)(r1 + 8)
r0 = *(u32 *)(r1 + 0)
r0 -= r2
exit`;

/** A shorter frame, and on. */
const SHORTER = "r2 = -6\ncall 65\nr0 = 3\nexit";

/** Length, mark and protocol of an skb in one number; the mark is set. */
const SKB = `
r0 = *(u32 *)(r1 + 0)
r2 = *(u32 *)(r1 + 16)
r0 <<= 16
r0 |= r2
r2 = 5
*(u32 *)(r1 + 8) = r2
exit`;

function md(words: readonly number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(words).buffer);
}

const frame = Uint8Array.from({ length: 64 }, (_, i) => (i * 7) & 255);

const CASES: readonly [name: string, type: number, text: string, input: TestRunInput][] = [
  ["metadata comes back before the packet", XDP, META, { packet: frame }],
  ["metadata goes in before the packet", XDP, META_LENGTH, { packet: frame, ctx: md([12, 64, 0, 0, 0, 0]) }],
  ["a ctx comes back with its offsets", XDP, META, { packet: frame, ctx: md([4, 64, 0, 0, 0, 0]) }],
  ["a tail that is cut", XDP, SHORTER, { packet: frame }],
  ["changes add up over repeats", XDP, SHORTER, { packet: frame, repeat: 3 }],
  ["an skb", CLS, SKB, { packet: frame }],
  ["data_meta must be 0", XDP, META, { packet: frame, ctx: md([4, 64, 4, 0, 0, 0]) }],
  ["metadata is a multiple of 4", XDP, META, { packet: frame, ctx: md([6, 64, 0, 0, 0, 0]) }],
  ["data_end beyond the input", XDP, META, { packet: frame, ctx: md([0, 65, 0, 0, 0, 0]) }],
  ["egress_ifindex is not for a test run", XDP, META, { packet: frame, ctx: md([0, 64, 0, 0, 0, 1]) }],
  ["a queue without a device", XDP, META, { packet: frame, ctx: md([0, 64, 0, 0, 1, 0]) }],
  ["too short for Ethernet", XDP, META, { packet: frame.subarray(0, 13) }],
  ["too short for Ethernet at tc", CLS, SKB, { packet: frame.subarray(0, 13) }],
];

function outcome(target: Target, type: number, text: string, input: TestRunInput): string {
  using live = target.load(collectionOf([asmProgram("p", type, text)]));
  try {
    const { verdict, packet, ctx } = live.programs.get("p")!.testRun(input);
    return `${verdict} ${toHex(packet)} ${ctx ? toHex(ctx) : ""}`;
  } catch (e) {
    if (!(e instanceof SysError)) throw e;
    return e.code;
  }
}

test.skipIf(skip).each(CASES)(
  `%s: as the kernel does it${skip ? ` (skipped: ${skip})` : ""}`,
  (_, type, text, input) => {
    const kernel = outcome(linuxTarget(), type, text, input);
    for (const engine of ["interp", "jit"] as const)
      expect(outcome(new SimTarget({ engine }), type, text, input)).toBe(kernel);
  },
);
