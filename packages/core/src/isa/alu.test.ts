import { expect, test } from "vitest";
import { aluResult } from "./alu.ts";
import { BPF_ADD, BPF_ARSH, BPF_DIV, BPF_LSH, BPF_MUL, BPF_RSH, BPF_SUB } from "./opcodes.ts";

const ONES = (1n << 64n) - 1n;

test.each([
  ["sums wrap", BPF_ADD, ONES, 1n, 64, 0n],
  ["32-bit results leave the upper half zero", BPF_SUB, 0n, 1n, 32, 0xffffffffn],
  ["32-bit operands are the low halves", BPF_MUL, 0x5_0000_0003n, 0x7_0000_0002n, 32, 6n],
  ["a 64-bit shift goes by six bits of the amount", BPF_LSH, 1n, 65n, 64, 2n],
  ["a 32-bit shift goes by five", BPF_RSH, 0x8_0000_0004n, 33n, 32, 2n],
  ["an arithmetic shift keeps the sign of its width", BPF_ARSH, 0x8000_0000n, 31n, 32, 0xffffffffn],
  ["in 64 bits bit 31 is no sign", BPF_ARSH, 0x8000_0000n, 31n, 64, 1n],
  ["a division is none of them", BPF_DIV, 6n, 2n, 64, undefined],
] as const)("%s", (_, op, a, b, bits, result) => {
  expect(aluResult(op, a, b, bits)).toBe(result);
});
