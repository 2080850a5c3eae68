/** Hostile programs end within the limits; byte strings of any kind get a report, never an exception. */
import { expect, test } from "vitest";
import { assemble } from "../asm/index.ts";
import { SLOT } from "../isa/index.ts";
import { type ProgramSpec, ProgType } from "../object/index.ts";
import { type VerifierReport, verify } from "./index.ts";

/** 200,000 by EBPLANE_RANDOM=200000, which takes minutes. */
const STRINGS = Number(process.env.EBPLANE_RANDOM ?? 3000);

function specOf(code: Uint8Array, type: number = ProgType.BPF_PROG_TYPE_XDP): ProgramSpec {
  return { name: "t", section: "", type, attachType: 0, flags: 0, code, relocs: [], funcInfo: [], lineInfo: [] };
}

function check(code: Uint8Array, type?: number): VerifierReport {
  return verify(specOf(code, type), { maps: new Map(), license: "GPL" });
}

const asm = (text: string): Uint8Array => assemble(text).code;

test("branches that double the paths end at the limit", () => {
  // Each bit of r7 depends on another branch and all of r7 is looked at in the end: no state covers another.
  const diamonds = Array.from({ length: 30 }, (_, i) => {
    const bit = 1 << (i % 20);
    return `r2 = *(u32 *)(r6 +12)\nif r2 == ${i} goto s${i}\nr7 += ${bit}\ns${i}: r0 = 0`;
  });
  const report = check(
    asm(`r6 = r1\nr7 = 0\n${diamonds.join("\n")}\nr1 = r10\nr7 &= 7\nr1 -= 0\nr1 += r7\nr0 = 0\nexit`),
  );
  expect(["accept", "reject"]).toContain(report.verdict);
  const wide = check(
    asm(
      `r6 = r1\nr7 = 0\n${diamonds.join("\n")}\nif r7 > 0x7ffffff goto bad\nr0 = 0\nexit\nbad: r0 = *(u64 *)(r7 +0)\nexit`,
    ),
  );
  expect(wide).toMatchObject({ verdict: "reject", rule: "complexity" });
});

test("functions that call each other twice, eight deep, end", () => {
  const functions = Array.from({ length: 7 }, (_, i) => {
    const next = i < 6 ? `call f${i + 1}\nr6 = r0\nr1 = r6\ncall f${i + 1}` : "r0 = *(u32 *)(r10 -4)";
    return `f${i}: r6 = r1\nr1 = r6\n${next}\nr0 += r6\nexit`;
  });
  const report = check(asm(`r6 = r1\nr1 = 1\ncall f0\nr0 = 0\nexit\n${functions.join("\n")}`));
  expect(report.verdict).toBe("accept");
  const deeper = check(asm("r1 = 1\ncall f\nr0 = 0\nexit\nf: call f\nexit"));
  expect(deeper.verdict).toBe("reject");
});

test("a million instructions in a row are walked, one more is refused", () => {
  const million = (count: number) => {
    const code = new Uint8Array(count * SLOT);
    for (let i = 0; i < count - 1; i++) code[i * SLOT] = 0xb7;
    code[(count - 1) * SLOT] = 0x95;
    return code;
  };
  const start = performance.now();
  expect(check(million(1_000_000))).toMatchObject({ verdict: "accept", processed: 1_000_000 });
  expect(check(million(1_000_001))).toMatchObject({ verdict: "reject", rule: "size" });
  expect(performance.now() - start).toBeLessThan(60_000);
});

test("a million jumps to each other are answered", () => {
  const count = 500_000;
  const code = new Uint8Array(count * SLOT);
  const view = new DataView(code.buffer);
  for (let i = 0; i < count - 2; i++) {
    code[i * SLOT] = 0x15;
    code[i * SLOT + 1] = 1;
    view.setInt16(i * SLOT + 2, (i % 3) - 1, true);
    view.setInt32(i * SLOT + 4, i, true);
  }
  code[(count - 2) * SLOT] = 0xb7;
  code[(count - 1) * SLOT] = 0x95;
  expect(check(code).verdict).toBe("reject");
});

test(`${STRINGS} random byte strings get a report (seed 12)`, () => {
  let state = 12;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 8;
  };
  const opcodes = [
    0xb7, 0xbf, 0x07, 0x0f, 0x61, 0x69, 0x71, 0x79, 0x63, 0x7b, 0x72, 0x15, 0x1d, 0x25, 0x55, 0x85, 0x95, 0xb4, 0xbc,
    0xdb, 0xc3, 0x18, 0x05, 0xe5, 0x20, 0x40,
  ];
  const verdicts = { accept: 0, reject: 0, unsupported: 0 };
  for (let n = 0; n < STRINGS; n++) {
    const length = n % 3 === 0 ? next() % 200 : (1 + (next() % 12)) * SLOT;
    const code = Uint8Array.from({ length }, () => next());
    // Two of three look more like programs: known opcodes, small numbers, an exit.
    if (n % 3) {
      for (let at = 0; at + SLOT <= length; at += SLOT) {
        code[at] = opcodes[next() % opcodes.length]!;
        if (n % 3 === 1) code[at + 1] = (next() % 11) | (code[at]! & 8 ? (next() % 11) << 4 : 0);
        code[at + 2] = next() % 8;
        code[at + 3] = next() % 8 ? 0 : 255;
        code.fill(0, at + 5, at + 8);
      }
      if (length) code.set([0x95, 0, 0, 0, 0, 0, 0, 0], length - SLOT);
    }
    const report = verify(specOf(code, 1 + (next() % 32)), { maps: new Map(), license: "GPL", maxProcessed: 20_000 });
    verdicts[report.verdict]++;
    if (report.verdict === "reject") expect(report.message).not.toBe("");
  }
  expect(verdicts.reject).toBeGreaterThan(STRINGS / 2);
});
