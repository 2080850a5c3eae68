/** Texts and structs that no kernel writes: what reads the kernel's answers takes them in any condition, and comes to an end. */
import { ProgType } from "@ebplane/core/object";
import { describe, expect, test } from "vitest";
import { describeLink } from "../link/index.ts";
import { close } from "../sys/index.ts";
import { asmProgram, kernelSkipReason } from "../testing.ts";
import { parseVerifierLog, progLoad, summarizeLog } from "./index.ts";

const skip = kernelSkipReason();

/** The same in each run. */
function below(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

describe.skipIf(skip)(`mangled answers of bpf(2)${skip ? ` (skipped: ${skip})` : ""}`, () => {
  /** Logs of programs with branches, loops, calls and stack, as the kernel tells them at its most talkative. */
  function logs(): string[] {
    return [
      "r0 = 0\nr1 = 10\nloop:\nr1 += -1\nif r1 != 0 goto loop\nexit",
      "r2 = *(u32 *)(r1 + 0)\nr0 = *(u8 *)(r2 + 0)\nexit",
      "*(u64 *)(r10 - 8) = 1\nr1 = r10\nr1 += -8\nr2 = 8\nr3 = 0\ncall bpf_probe_read_kernel\nr0 = *(u64 *)(r10 - 8)\nexit",
      "r6 = r1\ncall bpf_get_prandom_u32\nif r0 > 7 goto out\nr6 += r0\nr0 = *(u8 *)(r6 + 0)\nout:\nexit",
    ].flatMap((text) => {
      const { code } = asmProgram("p", ProgType.BPF_PROG_TYPE_XDP, text);
      const { fd, log } = progLoad({ type: ProgType.BPF_PROG_TYPE_XDP, code, logLevel: 6 });
      if (fd >= 0) close(fd);
      return log;
    });
  }

  test("a verifier's log, cut and mixed, is read in linear time", () => {
    const random = below(3);
    const originals = logs();
    expect(originals.every((log) => log.length > 100)).toBe(true);
    const lines = originals.join("\n").split("\n");
    for (let round = 0; round < 3000; round++) {
      const log = originals[random(originals.length)]!;
      const bytes = new TextEncoder().encode(
        random(2) ? log : Array.from({ length: random(60) }, () => lines[random(lines.length)]).join("\n"),
      );
      for (let n = random(30); n > 0 && bytes.length > 0; n--) bytes[random(bytes.length)] = random(256);
      const text = new TextDecoder().decode(bytes.subarray(0, random(2) ? bytes.length : random(bytes.length + 1)));
      const { steps, verdict } = parseVerifierLog(text);
      for (const step of steps) expect(Number.isSafeInteger(step.pc)).toBe(true);
      expect(summarizeLog(text)).toEqual(verdict);
      expect(verdict.message).not.toContain("\n");
    }
    // Brackets that never close, names that never end: no pattern may look again and again.
    for (const piece of ["R1=scalar(", "; ", "from 1 to 2: ", "0: (b7) ", "((((", "R1_w=", "fp-8="]) {
      const start = performance.now();
      parseVerifierLog(piece.repeat(200_000));
      expect(performance.now() - start, piece).toBeLessThan(5000);
    }
  });

  test("a link's info of any type is described", () => {
    const random = below(5);
    for (let round = 0; round < 5000; round++) {
      const data = new DataView(Uint8Array.from({ length: 48 }, () => (random(2) ? random(4) : random(256))).buffer);
      const link = describeLink({ type: random(20), id: random(1000), progId: random(1000), data });
      expect(typeof link.type).toBe("string");
    }
  });
});
