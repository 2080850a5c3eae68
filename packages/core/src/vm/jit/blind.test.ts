import { describe, expect, test } from "vitest";
import { assemble } from "../../asm/index.ts";
import { seededRandom } from "../../bytes/index.ts";
import { decode } from "../../isa/index.ts";
import { ProgType } from "../../object/index.ts";
import { rawProgram } from "../exec.ts";
import { Machine } from "../machine.ts";
import { blind } from "./blind.ts";
import type { JitRunner } from "./index.ts";
import { newSink, sleb32, sleb64, uleb, written } from "./wasm.ts";

/** Constants as an attacker would choose them: bytes of a jump-over chain of machine code. */
const CHOSEN = [0x3ceb9090, 0x0eb03c90, -0x6f14c36f, 0x7eadbee5];
/** Every kind of insn that carries one, in turn. */
const KINDS = [
  "r0 ^= IMM",
  "w0 += IMM",
  "r2 = IMM",
  "w3 = IMM",
  "r0 *= IMM",
  "r0 |= IMM",
  "w0 &= IMM",
  "r4 = IMM\nr0 -= r4",
  "r0 /= IMM",
  "r0 s%= IMM",
  "if r0 == IMM goto +0",
  "if w0 s> IMM goto +0",
  "*(u32 *)(r10 - 4) = IMM",
  "*(u64 *)(r10 - 16) = IMM",
  "r5 = IMM ll",
  "if r0 & IMM goto +1\nr0 += 1",
];

function contains(bytes: Uint8Array, part: Uint8Array): boolean {
  for (let at = 0; at + part.length <= bytes.length; at++) {
    if (part.every((byte, i) => bytes[at + i] === byte)) return true;
  }
  return false;
}

/** The constant as code would hold it: 4 bytes in memory order, and each LEB128 that wasm has for it. */
function shapes(value: number): Uint8Array[] {
  const raw = new Uint8Array(Int32Array.of(value).buffer);
  const forms = [value, value >>> 0].flatMap((v) => {
    const wide = newSink();
    sleb64(wide, v | 0, Math.floor(v / 2 ** 32));
    return [written(wide)];
  });
  const narrow = newSink();
  sleb32(narrow, value);
  const unsigned = newSink();
  uleb(unsigned, value);
  return [raw, ...forms, written(narrow), written(unsigned)];
}

const text = `r0 = r1\n${CHOSEN.flatMap((value) => KINDS.map((kind) => kind.replace("IMM", `${value}`))).join("\n")}\nexit`;

describe("constant blinding", () => {
  test("leaves no chosen constant in the bytecode", () => {
    const { code } = assemble(text);
    const random = seededRandom(7);
    const { code: hidden } = blind(code, () => random.u32());
    for (const value of CHOSEN) {
      const raw = shapes(value)[0]!;
      expect(contains(code, raw)).toBe(true);
      expect(contains(hidden, raw), `${value}`).toBe(false);
    }
  });

  test("leaves no chosen constant in the wasm module, and no pair that folds to one", () => {
    const spec = rawProgram(assemble(text).code);
    const load = (blind: boolean) => {
      const machine = new Machine();
      return (machine.load(spec, { engine: "jit", verified: true, blind }).runner as JitRunner).wasm;
    };
    const plain = load(false);
    const hidden = load(true);
    for (const value of CHOSEN) {
      expect(
        shapes(value).some((shape) => contains(plain, shape)),
        `${value} shows without blinding`,
      ).toBe(true);
      for (const shape of shapes(value)) expect(contains(hidden, shape), `${value}`).toBe(false);
    }
    // The randomness is not in the module: nothing there can be folded.
    const random = new Machine().host;
    const words = Array.from({ length: 200 }, () => random.random32());
    for (const word of words)
      for (const shape of shapes(word)) if (shape.length > 3) expect(contains(hidden, shape)).toBe(false);
  });

  test("is fresh each time", () => {
    const { code } = assemble("r0 = 1234567\nexit");
    const random = seededRandom(1);
    const imms = () => decode(blind(code, () => random.u32()).code).map((insn) => insn.imm);
    expect(imms()).not.toEqual(imms());
  });

  test("refuses a jump that comes to reach too far", () => {
    const { code } = assemble(`r0 = 0\nif r0 == 0 goto out\n${"r0 += 5\n".repeat(15000)}out:\nexit`);
    expect(() => blind(code, () => 1)).toThrow("slot 1: once blinded, the jump goes 45000 slots, at most 32767");
  });

  test("changes no result", () => {
    const run = (options: object, r1: number): bigint => {
      const machine = new Machine();
      const program = machine.load(rawProgram(assemble(text).code, ProgType.BPF_PROG_TYPE_XDP), options);
      return machine.r0(program.runner.call(0, [r1]));
    };
    for (const r1 of [0, 1, 0x3ceb9090, 0x7fffffff, -1, 12345]) {
      const expected = run({ engine: "interp" }, r1);
      expect(run({ engine: "jit", blind: true }, r1)).toBe(expected);
      expect(run({ engine: "jit", blind: true, verified: true }, r1)).toBe(expected);
    }
  });
});
