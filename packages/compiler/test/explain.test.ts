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
});
