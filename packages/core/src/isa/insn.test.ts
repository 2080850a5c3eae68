import fc from "fast-check";
import { expect, test } from "vitest";
import { fromHex, toHex } from "../bytes/index.ts";
import { InsnError } from "../errors/index.ts";
import { decode, encode, type InsnInit, jumpTarget, lddwImms, lddwValue, OP_GOTOL, OP_LDDW } from "./index.ts";

test("decodes fields with their signs and places", () => {
  const [mov, jne] = decode(fromHex("b702000001000080 5521fcffffffffff"));
  expect(mov).toEqual({ pc: 0, opcode: 0xb7, dst: 2, src: 0, off: 0, imm: -0x7fffffff, imm2: 0 });
  expect(jne).toMatchObject({ pc: 1, dst: 1, src: 2, off: -4, imm: -1 });
  expect(jumpTarget(jne!)).toBe(-2);
});

test("lddw takes two slots and keeps its 64-bit value", () => {
  const [lddw, exit] = decode(fromHex("1801000088776655 0000000044332211 9500000000000000"));
  expect(lddwValue(lddw!)).toBe(0x1122334455667788n);
  expect(exit!.pc).toBe(2);
});

test("gotol's distance is in imm", () => {
  expect(jumpTarget(decode(encode([{ opcode: OP_GOTOL, imm: 70000 }]))[0]!)).toBe(70001);
});

test.each([
  ["95000000000000", "slot 0: need 8 bytes, have 7"],
  ["1800000000000000", "slot 0: lddw needs a second slot, the program ends"],
  ["1800000000000000 0001000000000000", "slot 1: lddw's second slot must have zero opcode, registers and offset"],
])("refuses %s", (hex, message) => {
  expect(() => decode(fromHex(hex))).toThrow(new InsnError(message.slice(8), Number(message[5])));
});

test("encode refuses what its field cannot hold", () => {
  expect(() => encode([{ opcode: 0xb7, off: 40000 }])).toThrow(
    "off: expected an integer from -32768 to 32767, got 40000",
  );
});

test("decode is the inverse of encode", () => {
  const insn = fc
    .record({
      opcode: fc.integer({ min: 0, max: 255 }),
      dst: fc.integer({ min: 0, max: 15 }),
      src: fc.integer({ min: 0, max: 15 }),
      off: fc.integer({ min: -0x8000, max: 0x7fff }),
      imm: fc.integer({ min: -0x80000000, max: 0x7fffffff }),
      value: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
    })
    .map(({ value, ...i }): InsnInit => (i.opcode === OP_LDDW ? { ...i, ...lddwImms(value) } : i));
  fc.assert(
    fc.property(fc.array(insn, { maxLength: 20 }), (insns) => {
      const bytes = encode(insns);
      expect(toHex(encode(decode(bytes)))).toBe(toHex(bytes));
      expect(decode(bytes).map(({ pc: _, ...i }) => i)).toEqual(insns.map((i) => ({ imm2: 0, ...i })));
    }),
  );
});
