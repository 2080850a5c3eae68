/** What a verifier's rejection of compiled code says at the TypeScript line. */
import { compile } from "@ebplane/compiler";
import { VerifierError } from "@ebplane/core/errors";
import type { Target } from "@ebplane/core/object";
import { SimTarget } from "@ebplane/core/sim";
import { linuxTarget } from "@ebplane/linux";
import { kernelSkipReason } from "@ebplane/linux/testing";
import { describe, expect, test } from "vitest";

const skip = kernelSkipReason();
const ARRAY = `import { array, arrayOf, struct, u32, xdp } from "ebplane/bpf";
const Slots = struct({ used: arrayOf(u32, 4) });
export const slots = array(Slots, { maxEntries: 1 });
export const main = xdp((ctx) => {
  const s = slots.lookup(0);
  if (!s) return 1;
  const queue = ctx.rxQueueIndex;
  s.used[queue] += 1;
  return 2;
});`;
const TABLE = `import { table, u8, xdp } from "ebplane/bpf";
const CLASSES = table(u8, [1, 2, 3]);
export const main = xdp((ctx) => {
  if (ctx.length < 100) return 1;
  return CLASSES[ctx.ingressIfindex & 3];
});`;

const STALE = `import { ethernet, xdp, xdpAdjustHead } from "ebplane/bpf";
export const main = xdp((ctx) => {
  const eth = ctx.header(ethernet);
  if (!eth) return 1;
  xdpAdjustHead(ctx, 4);
  eth.src[0] = 7;
  return eth.dst[0] === 1 ? 1 : 2;
});`;
const FAR = `import { ethernet, header, ntohs, range, u8, xdp } from "ebplane/bpf";
const last = header({ value: u8 });
export const main = xdp((ctx) => {
  const p = ctx.packet();
  const eth = p.take(ethernet);
  if (!eth) return 1;
  for (const _ of range(8)) p.skip(ntohs(eth.proto));
  const end = p.take(last);
  return end ? end.value : 1;
});`;
const ENDLESS = `import { type u32, xdp } from "ebplane/bpf";
export const main = xdp((ctx) => {
  let n: u32 = 0;
  while (ctx.rxQueueIndex !== 5) n += 0;
  return n;
});`;
const SIZE = `import { bytes, csumDiff, struct, u32, xdp } from "ebplane/bpf";
const Buffer = struct({ data: bytes(64) });
export const main = xdp((ctx) => {
  const buffer = Buffer();
  const length = ctx.rxQueueIndex & 127;
  return u32(csumDiff(undefined, [buffer, length], 0) & 0xffffn);
});`;
const WRITE = `import { arrayOf, struct, u32, xdp } from "ebplane/bpf";
const Slots = struct({ used: arrayOf(u32, 8) });
export const main = xdp((ctx) => {
  const slots = Slots();
  const queue = ctx.rxQueueIndex;
  if (queue > 8) return 1;
  slots.used[queue] = 5;
  return slots.used[queue & 7];
});`;
const ASM = `import { asm, struct, u32, xdp } from "ebplane/bpf";
const Word = struct({ value: u32 });
export const main = xdp((ctx) => {
  const word = ctx.header(Word);
  if (!word) return 1;
  return asm(u32, \`
    r0 = *(u32 *)(r1 + 0)
    r2 = *(u32 *)(r1 + 4)
    r0 += r2
  \`, [word]);
});`;
/** A tail call in a function is that function's return: with what the other program gives, and in another packet. */
const tailCalled = (
  rest: string,
) => `import { array, arrayOf, header, progArray, struct, subprog, u8, u32, xdp, type ProgArray, type XdpContext } from "ebplane/bpf";
const Slots = struct({ used: arrayOf(u32, 4) });
const head = header({ a: u8 });
export const slots = array(Slots, { maxEntries: 1 });
export const second = xdp(() => 77);
export const next: ProgArray = progArray({ maxEntries: 1, programs: [second] });
const f = subprog((ctx: XdpContext): u32 => { next.tailCall(ctx, 0); return 1; });
export const main = xdp((ctx) => {
${rest}
});`;
const TAIL_RESULT = tailCalled(`const s = slots.lookup(0);
  if (!s) return 1;
  const i = f(ctx);
  return s.used[i];`);
const TAIL_PACKET = tailCalled(`const h = ctx.header(head);
  if (!h) return 1;
  const i = f(ctx);
  return h.a + i;`);

function explained(source: string, target: Target): string {
  const compiled = compile({ entry: "p.bpf.ts", files: new Map([["p.bpf.ts", source]]) });
  try {
    target.load(compiled.spec).close();
  } catch (e) {
    if (!(e instanceof VerifierError)) throw e;
    expect(e.pc).toBeDefined();
    const d = compiled.explain("main", e.pc!, e.log);
    return `${d.line}:${d.col}: ${d.message}`;
  }
  return "accepted";
}

describe.each([
  ["our verifier", () => new SimTarget(), undefined],
  ["the kernel's", linuxTarget, skip],
] as const)("%s", (_, target, why) => {
  test.skipIf(why)("an index without a bound is named, with the test that is missing", () => {
    expect(explained(ARRAY, target())).toBe(
      "8:10: `queue` may lie outside `s.used` here, which has 4 elements: test it (if (queue < 4) …), or mask it (queue & 3)",
    );
  });
  test.skipIf(why)("an index with too wide a mask is found", () => {
    expect(explained(TABLE, target())).toBe(
      "5:18: the index may lie outside `CLASSES` here, which has 3 elements: test it (if (i < 3) …)",
    );
  });
  test.skipIf(why)("what is rejected in assembly is said at its own line", () => {
    expect(explained(ASM, target())).toMatch(/^8:5: /);
  });
  test.skipIf(why).each([
    [
      "a header that was taken before the packet moved",
      STALE,
      "6:3: `eth.src` was taken before the packet moved (a helper that changes it was called since): take it again after the call",
    ],
    [
      "what a tail call in a function may have given instead",
      TAIL_RESULT,
      "12:17: `i` may lie outside `s.used` here, which has 4 elements: test it (if (i < 4) …), or mask it (i & 3)",
    ],
    [
      "a header that was taken before a tail call in a function",
      TAIL_PACKET,
      "12:10: `h` was taken before the packet moved (a helper that changes it was called since): take it again after the call",
    ],
    [
      "an offset that may be too large",
      FAR,
      "9:16: `end` may lie beyond the packet end here: test it (if (!end) return …), or take it again with take(last); an offset that the program computes must stay below 65536 with the header's size",
    ],
    [
      "a loop that may never end",
      ENDLESS,
      "4:10: this loop may never end: change what its condition tests on every round",
    ],
    [
      "memory that is shorter than what a helper is told",
      SIZE,
      "6:14: `length` may be more than `buffer` has, or 0: it has 64 bytes: test it (if (length > 0 && length <= 64) …)",
    ],
    [
      "a write by an index that its test does not bound",
      WRITE,
      "7:3: `queue` may lie outside `slots.used` here, which has 8 elements: test it (if (queue < 8) …), or mask it (queue & 7)",
    ],
  ])("%s is named", (_title, source, message) => expect(explained(source, target())).toBe(message));
});
