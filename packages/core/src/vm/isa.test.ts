/** Every arithmetic and jump insn against a plain BigInt reading of RFC 9669, on edge operands, on each engine. */
import { describe, expect, test } from "vitest";
import { encode, type InsnInit, lddwImms, OP_EXIT, OP_LDDW } from "../isa/index.ts";
import { ENGINES, type EngineName } from "./engines.ts";
import { rawProgram } from "./exec.ts";
import { Machine } from "./machine.ts";

const EDGES = [
  0n,
  1n,
  2n,
  31n,
  32n,
  63n,
  0x7fn,
  0x80n,
  0xffffn,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  0x100000000n,
  0x123456789abcdef0n,
  0x7fffffffffffffffn,
  0x8000000000000000n,
  0xffffffff80000000n,
  0xffffffffffffffffn,
];
const IMMS = [0, 1, -1, 5, 31, 0x7fffffff, -0x80000000, -12345];

const u = (bits: number, x: bigint) => BigInt.asUintN(bits, x);
const s = (bits: number, x: bigint) => BigInt.asIntN(bits, x);

type Alu = (a: bigint, b: bigint, bits: number) => bigint;
/** Operation, offset of the insn, meaning on unsigned operands of `bits` width. */
const ALU: [name: string, code: number, off: number, f: Alu][] = [
  ["add", 0x00, 0, (a, b) => a + b],
  ["sub", 0x10, 0, (a, b) => a - b],
  ["mul", 0x20, 0, (a, b) => a * b],
  ["div", 0x30, 0, (a, b) => (b ? a / b : 0n)],
  ["sdiv", 0x30, 1, (a, b, n) => (b ? s(n, a) / s(n, b) : 0n)],
  ["or", 0x40, 0, (a, b) => a | b],
  ["and", 0x50, 0, (a, b) => a & b],
  ["lsh", 0x60, 0, (a, b, n) => a << (b & BigInt(n - 1))],
  ["rsh", 0x70, 0, (a, b, n) => a >> (b & BigInt(n - 1))],
  ["mod", 0x90, 0, (a, b) => (b ? a % b : a)],
  ["smod", 0x90, 1, (a, b, n) => (b ? s(n, a) % s(n, b) : a)],
  ["xor", 0xa0, 0, (a, b) => a ^ b],
  ["mov", 0xb0, 0, (_, b) => b],
  ["arsh", 0xc0, 0, (a, b, n) => s(n, a) >> (b & BigInt(n - 1))],
];
const EXTEND: [from: number, to: number][] = [
  [8, 32],
  [16, 32],
  [8, 64],
  [16, 64],
  [32, 64],
];
const JMP: [name: string, code: number, f: (a: bigint, b: bigint, bits: number) => boolean][] = [
  ["jeq", 0x10, (a, b) => a === b],
  ["jgt", 0x20, (a, b) => a > b],
  ["jge", 0x30, (a, b) => a >= b],
  ["jset", 0x40, (a, b) => (a & b) !== 0n],
  ["jne", 0x50, (a, b) => a !== b],
  ["jsgt", 0x60, (a, b, n) => s(n, a) > s(n, b)],
  ["jsge", 0x70, (a, b, n) => s(n, a) >= s(n, b)],
  ["jlt", 0xa0, (a, b) => a < b],
  ["jle", 0xb0, (a, b) => a <= b],
  ["jslt", 0xc0, (a, b, n) => s(n, a) < s(n, b)],
  ["jsle", 0xd0, (a, b, n) => s(n, a) <= s(n, b)],
];

/** Runs `insns` with the operands in r2 and r3; r0 is the answer. */
function runner(engine: EngineName, insns: readonly InsnInit[]): (a: bigint, b: bigint) => bigint {
  const machine = new Machine();
  const at = machine.memory.alloc(16);
  const load: InsnInit[] = [
    { opcode: 0x79, dst: 2, src: 1 },
    { opcode: 0x79, dst: 3, src: 1, off: 8 },
  ];
  const program = machine.load(rawProgram(encode([...load, ...insns, { opcode: OP_EXIT }])), { engine });
  return (a, b) => {
    machine.memory.view.setBigUint64(at, a, true);
    machine.memory.view.setBigUint64(at + 8, b, true);
    return machine.r0(program.run(at));
  };
}

const MOV_RESULT: InsnInit = { opcode: 0xbf, dst: 0, src: 2 };

function expectAll(run: (a: bigint, b: bigint) => bigint, want: (a: bigint, b: bigint) => bigint): void {
  const wrong: string[] = [];
  for (const a of EDGES) {
    for (const b of EDGES) {
      const got = run(a, b);
      if (got !== want(a, b)) wrong.push(`${a.toString(16)}, ${b.toString(16)}: ${got.toString(16)}`);
    }
  }
  expect(wrong).toEqual([]);
}

describe.each(Object.keys(ENGINES) as EngineName[])("on %s", (engine) => {
  describe.each([64, 32])("%i bits", (bits) => {
    const aluClass = bits === 64 ? 7 : 4;
    const jmpClass = bits === 64 ? 5 : 6;

    test.each(ALU)("%s", (_, code, off, f) => {
      const want = (a: bigint, b: bigint) => u(bits, f(u(bits, a), u(bits, b), bits));
      const byRegister = runner(engine, [{ opcode: aluClass | code | 8, dst: 2, src: 3, off }, MOV_RESULT]);
      expectAll(byRegister, want);
      const bySelf = runner(engine, [{ opcode: aluClass | code | 8, dst: 2, src: 2, off }, MOV_RESULT]);
      expectAll(bySelf, (a) => want(a, a));
      for (const imm of IMMS) {
        const byImm = runner(engine, [{ opcode: aluClass | code, dst: 2, off, imm }, MOV_RESULT]);
        expectAll(byImm, (a) => want(a, u(64, BigInt(imm))));
      }
    });

    test.each(JMP)("%s", (_, code, f) => {
      const insns = (jump: InsnInit): InsnInit[] => [{ opcode: 0xb7, dst: 0, imm: 1 }, jump, { opcode: 0xb7, dst: 0 }];
      const want = (a: bigint, b: bigint) => (f(u(bits, a), u(bits, b), bits) ? 1n : 0n);
      expectAll(runner(engine, insns({ opcode: jmpClass | code | 8, dst: 2, src: 3, off: 1 })), want);
      for (const imm of IMMS) {
        const run = runner(engine, insns({ opcode: jmpClass | code, dst: 2, off: 1, imm }));
        expectAll(run, (a) => want(a, u(64, BigInt(imm))));
      }
    });

    test("neg", () => {
      expectAll(runner(engine, [{ opcode: aluClass | 0x80, dst: 2 }, MOV_RESULT]), (a) => u(bits, -a));
    });
  });

  test.each(EXTEND)("movsx %i to %i", (from, to) => {
    const run = runner(engine, [{ opcode: to === 64 ? 0xbf : 0xbc, dst: 2, src: 3, off: from }, MOV_RESULT]);
    expectAll(run, (_, b) => u(to, s(from, b)));
  });

  test.each([16, 32, 64])("byte order of %i bits", (bits) => {
    const swap = (x: bigint): bigint => {
      let out = 0n;
      for (let i = 0; i < bits; i += 8) out = (out << 8n) | ((x >> BigInt(i)) & 0xffn);
      return out;
    };
    const run = (opcode: number) => runner(engine, [{ opcode, dst: 2, imm: bits }, MOV_RESULT]);
    expectAll(run(0xd4), (a) => u(bits, a));
    expectAll(run(0xdc), swap);
    expectAll(run(0xd7), swap);
  });

  test("lddw", () => {
    for (const value of EDGES) {
      expect(runner(engine, [{ opcode: OP_LDDW, dst: 0, ...lddwImms(value) }])(0n, 0n)).toBe(value);
    }
  });

  // r1 is the address of the operand; the store goes over the second operand, which r0 reads back.
  test.each([
    [0x71, 8, false],
    [0x69, 16, false],
    [0x61, 32, false],
    [0x79, 64, false],
    [0x91, 8, true],
    [0x89, 16, true],
    [0x81, 32, true],
  ])("load 0x%s of %i bits", (opcode, bits, signed) => {
    const run = runner(engine, [{ opcode, dst: 0, src: 1 }]);
    expectAll(run, (a) => (signed ? u(64, s(bits, a)) : u(bits, a)));
  });

  test.each([
    [0x73, 8],
    [0x6b, 16],
    [0x63, 32],
    [0x7b, 64],
  ])("store 0x%s of %i bits", (opcode, bits) => {
    const mask = (1n << BigInt(bits)) - 1n;
    const back: InsnInit = { opcode: 0x79, dst: 0, src: 1, off: 8 };
    const byRegister = runner(engine, [{ opcode, dst: 1, src: 2, off: 8 }, back]);
    expectAll(byRegister, (a, b) => (b & ~mask) | (a & mask));
    for (const imm of IMMS) {
      const byImm = runner(engine, [{ opcode: opcode - 1, dst: 1, off: 8, imm }, back]);
      expectAll(byImm, (_, b) => (b & ~mask) | (u(64, BigInt(imm)) & mask));
    }
  });

  describe.each([32, 64])("atomics of %i bits", (bits) => {
    const opcode = bits === 64 ? 0xdb : 0xc3;
    const mask = (1n << BigInt(bits)) - 1n;
    const back: InsnInit = { opcode: 0x79, dst: 0, src: 1, off: 8 };
    // r2 is the operand, memory at r1 + 8 the second one; r4 collects what the insn left in r2 or r0.
    const atomic = (imm: number): InsnInit => ({ opcode, dst: 1, src: 2, off: 8, imm });
    test.each([
      ["add", 0x00, (m: bigint, x: bigint) => m + x],
      ["or", 0x40, (m: bigint, x: bigint) => m | x],
      ["and", 0x50, (m: bigint, x: bigint) => m & x],
      ["xor", 0xa0, (m: bigint, x: bigint) => m ^ x],
      ["xchg", 0xe0, (_: bigint, x: bigint) => x],
    ])("%s", (name, imm, f) => {
      const after = (a: bigint, b: bigint) => (b & ~mask) | u(bits, f(u(bits, b), u(bits, a)));
      if (name !== "xchg") expectAll(runner(engine, [atomic(imm), back]), after);
      expectAll(runner(engine, [atomic(imm | 1), back]), after);
      expectAll(runner(engine, [atomic(imm | 1), MOV_RESULT]), (_, b) => u(bits, b));
    });
    test("cmpxchg", () => {
      const compare: InsnInit[] = [
        { opcode: 0xbf, dst: 0, src: 3 },
        { opcode: 0x07, dst: 2, imm: 1 },
      ];
      // r0 holds what is in memory: exchanged.
      expectAll(runner(engine, [...compare, atomic(0xf1), back]), (a, b) => (b & ~mask) | u(bits, a + 1n));
      expectAll(runner(engine, [...compare, atomic(0xf1)]), (_, b) => u(bits, b));
      // r0 holds the other operand: exchanged only where they agree.
      const other: InsnInit[] = [
        { opcode: 0xbf, dst: 0, src: 2 },
        { opcode: 0x07, dst: 2, imm: 1 },
      ];
      expectAll(runner(engine, [...other, atomic(0xf1), back]), (a, b) =>
        u(bits, a) === u(bits, b) ? (b & ~mask) | u(bits, a + 1n) : b,
      );
      expectAll(runner(engine, [...other, atomic(0xf1)]), (_, b) => u(bits, b));
    });
  });

  test.each([
    [0xd3, 8],
    [0xcb, 16],
    [0xc3, 32],
    [0xdb, 64],
  ])("load-acquire and store-release 0x%s of %i bits", (opcode, bits) => {
    const mask = (1n << BigInt(bits)) - 1n;
    expectAll(runner(engine, [{ opcode, dst: 0, src: 1, off: 8, imm: 0x100 }]), (_, b) => u(bits, b));
    const store: InsnInit = { opcode, dst: 1, src: 2, off: 8, imm: 0x110 };
    const back: InsnInit = { opcode: 0x79, dst: 0, src: 1, off: 8 };
    expectAll(runner(engine, [store, back]), (a, b) => (b & ~mask) | (a & mask));
  });
});
