import fc from "fast-check";
import { expect, test } from "vitest";
import { fromHex, toHex } from "../bytes/index.ts";
import { AsmError } from "../errors/index.ts";
import { encode, type InsnInit, OP_LDDW } from "../isa/index.ts";
import { assemble, disassemble, formatInsn, type Notation } from "./index.ts";

const one = (text: string) => toHex(assemble(text).code);

/** Text in the kernel's notation, in LLVM's, and the bytes. */
const BOTH: [kernel: string, llvm: string, hex: string][] = [
  ["(b7) r0 = 1", "r0 = 1", "b700000001000000"],
  ["(b4) w1 = -1", "w1 = -1", "b4010000ffffffff"],
  ["(0f) r1 += r2", "r1 += r2", "0f21000000000000"],
  ["(14) w1 -= 5", "w1 -= 5", "1401000005000000"],
  ["(77) r1 >>= 32", "r1 >>= 32", "7701000020000000"],
  ["(c7) r1 s>>= 63", "r1 s>>= 63", "c70100003f000000"],
  ["(37) r1 s/= 3", "r1 s/= 3", "3701010003000000"],
  ["(9c) w1 s%= w2", "w1 s%= w2", "9c21010000000000"],
  ["(87) r3 = -r3", "r3 = -r3", "8703000000000000"],
  ["(dc) r1 = be16 r1", "r1 = be16 r1", "dc01000010000000"],
  ["(d4) r1 = le32 r1", "r1 = le32 r1", "d401000020000000"],
  ["(d7) r1 = bswap64 r1", "r1 = bswap64 r1", "d701000040000000"],
  ["(bf) r1 = (s32)r2", "r1 = (s32)r2", "bf21200000000000"],
  ["(bc) w1 = (s8)w2", "w1 = (s8)w2", "bc21080000000000"],
  ["(bf) r1 = addr_space_cast(r2, 0, 1)", "r1 = addr_space_cast(r2, 0, 1)", "bf21010001000000"],
  ["(18) r1 = 0x1122334455667788", "r1 = 1234605616436508552 ll", "18010000887766550000000044332211"],
  ["(18) r1 = 0x5", "r1 = 5 ll", "18010000050000000000000000000000"],
  ["(18) r1 = map[fd:7]", "r1 = map[fd:7]", "18110000070000000000000000000000"],
  ["(18) r1 = map[fd:7][0]+16", "r1 = map[fd:7][0]+16", "18210000070000000000000010000000"],
  ["(18) r1 = map[idx:2]", "r1 = map[idx:2]", "18510000020000000000000000000000"],
  ["(18) r1 = btf_id[9:0]", "r1 = btf_id[9:0]", "18310000090000000000000000000000"],
  ["(18) r1 = subprog[-3]", "r1 = subprog[-3]", "18410000fdffffff0000000000000000"],
  ["(61) r0 = *(u32 *)(r1 +4)", "r0 = *(u32 *)(r1 + 4)", "6110040000000000"],
  ["(91) r0 = *(s8 *)(r1 -4)", "r0 = *(s8 *)(r1 - 4)", "9110fcff00000000"],
  ["(7b) *(u64 *)(r10 -8) = r1", "*(u64 *)(r10 - 8) = r1", "7b1af8ff00000000"],
  ["(6a) *(u16 *)(r10 -8) = 7", "*(u16 *)(r10 - 8) = 7", "6a0af8ff07000000"],
  ["(28) r0 = *(u16 *)skb[12]", "r0 = *(u16 *)skb[12]", "280000000c000000"],
  ["(50) r0 = *(u8 *)skb[r6 + 0]", "r0 = *(u8 *)skb[r6]", "5060000000000000"],
  ["(db) lock *(u64 *)(r1 +0) += r2", "lock *(u64 *)(r1 + 0) += r2", "db21000000000000"],
  ["(c3) lock *(u32 *)(r1 +8) ^= r2", "lock *(u32 *)(r1 + 8) ^= r2", "c3210800a0000000"],
  [
    "(db) r2 = atomic64_fetch_add((u64 *)(r1 +0), r2)",
    "r2 = atomic_fetch_add((u64 *)(r1 + 0), r2)",
    "db21000001000000",
  ],
  ["(c3) r2 = atomic_fetch_or((u32 *)(r1 +0), r2)", "w2 = atomic_fetch_or((u32 *)(r1 + 0), w2)", "c321000041000000"],
  ["(db) r2 = atomic64_xchg((u64 *)(r1 +0), r2)", "r2 = xchg_64(r1 + 0, r2)", "db210000e1000000"],
  ["(c3) r0 = atomic_cmpxchg((u32 *)(r1 -8), r0, r2)", "w0 = cmpxchg32_32(r1 - 8, w0, w2)", "c321f8fff1000000"],
  ["(d3) r2 = load_acquire((u8 *)(r1 +0))", "r2 = load_acquire((u8 *)(r1 + 0))", "d312000000010000"],
  ["(db) store_release((u64 *)(r1 +0), r2)", "store_release((u64 *)(r1 + 0), r2)", "db21000010010000"],
  ["(05) goto pc+3", "goto +3", "0500030000000000"],
  ["(06) gotol pc-70000", "gotol -70000", "0600000090eefeff"],
  ["(e5) may_goto pc+3", "may_goto +3", "e500030000000000"],
  ["(15) if r1 == 0xffffffff goto pc-2", "if r1 == -1 goto -2", "1501feffffffffff"],
  ["(6e) if w1 s> w2 goto pc+1", "if w1 s> w2 goto +1", "6e21010000000000"],
  ["(45) if r1 & 0x4 goto pc+1", "if r1 & 4 goto +1", "4501010004000000"],
  ["(85) call bpf_map_lookup_elem#1", "call 1", "8500000001000000"],
  ["(85) call pc+5", "call pc+5", "8510000005000000"],
  ["(85) call kfunc[id:7]", "call kfunc[id:7]", "8520000007000000"],
  ["(8d) callx r3", "callx r3", "8d03000000000000"],
  ["(95) exit", "exit", "9500000000000000"],
  ["(b7) .insn 0xb7 dst=1 src=2 off=-3 imm=4", ".insn 0xb7 dst=1 src=2 off=-3 imm=4", "b721fdff04000000"],
];

test.each(BOTH)("%s and %s are the same bytes, both ways", (kernel, llvm, hex) => {
  const line = (notation: Notation) => disassemble(fromHex(hex), { notation })[0]!.text;
  // The opcode decides between mov and lddw only; the raw form has its own.
  expect(line("kernel")).toBe(kernel);
  expect(line("llvm")).toBe(llvm);
  expect(one(kernel)).toBe(hex);
  expect(one(llvm)).toBe(hex);
});

const MNEMONIC: [text: string, same: string][] = [
  ["mov %r0, 1", "r0 = 1"],
  ["mov32 r0, 0xffffffff", "w0 = -1"],
  ["add64 r1, r2", "r1 += r2"],
  ["sdiv32 r1, -3", "w1 s/= -3"],
  ["neg32 r4", "w4 = -w4"],
  ["arsh r1, 16", "r1 s>>= 16"],
  ["lddw r0, 0x8877665544332211", "r0 = 0x8877665544332211 ll"],
  ["ldxw %r0, [%r1+0x4]", "r0 = *(u32 *)(r1 + 4)"],
  ["ldxsh r0, [r10-2]", "r0 = *(s16 *)(r10 - 2)"],
  ["stxdw [r10-8], r1", "*(u64 *)(r10 - 8) = r1"],
  ["stw [r1], 0x44332211", "*(u32 *)(r1 + 0) = 0x44332211"],
  ["be16 r0", "r0 = be16 r0"],
  ["swap32 r0", "r0 = bswap32 r0"],
  ["movsx1632 r0, r1", "w0 = (s16)w1"],
  ["movsx3264 r0, r1", "r0 = (s32)r1"],
  ["lock add32 [r10-4], r1", "lock *(u32 *)(r10 - 4) += r1"],
  ["lock fetch xor [r10-8], r1", "r1 = atomic_fetch_xor((u64 *)(r10 - 8), r1)"],
  ["lock cmpxchg32 [r10-8], r1", "w0 = cmpxchg32_32(r10 - 8, w0, w1)"],
  ["jeq r1, 0, +2", "if r1 == 0 goto +2"],
  ["jslt32 r1, r2, -2", "if w1 s< w2 goto -2"],
  ["ja +3", "goto +3"],
  ["ja32 +3", "gotol +3"],
  ["call 5", "call bpf_ktime_get_ns"],
  ["call local +2", "call pc+2"],
  ["call %r2", "callx r2"],
  ["ldabsh 12", "r0 = *(u16 *)skb[12]"],
];

test.each(MNEMONIC)("%s is %s", (mnemonic, other) => {
  expect(one(mnemonic)).toBe(one(other));
});

test("labels, comments, log prefixes and objdump's targets are understood", () => {
  const { code, labels, lineInfo } = assemble(`
    # a comment
    entry: r0 = 0        ; another
    0: (15) if r1 == 0x0 goto out // and another
       3:  r1 = 0x500000000
       goto -3 <entry>
    call helper_fn
    out:
    exit
    helper_fn: exit
  `);
  expect(disassemble(code, { notation: "llvm" }).map((l) => l.text)).toEqual([
    "r0 = 0",
    "if r1 == 0 goto +4",
    "r1 = 21474836480 ll",
    "goto -3",
    "call pc+1",
    "exit",
    "exit",
  ]);
  expect(Object.fromEntries(labels)).toEqual({ entry: 0, out: 6, helper_fn: 7 });
  expect(lineInfo[1]).toMatchObject({ pc: 1, line: 4, col: 13 });
});

test("names become relocs, and print as names again", () => {
  const text = [
    "r1 = map[flows]",
    "r2 = map[.rodata.str1.1][0]+8",
    "r3 = ksym[?bpf_prog_active]",
    "call kfunc[bpf_ct_release]",
    "exit",
  ].join("\n");
  const { code, relocs } = assemble(text);
  expect(relocs).toEqual([
    { pc: 0, kind: "map", name: "flows" },
    { pc: 2, kind: "mapValue", name: ".rodata.str1.1", offset: 8 },
    { pc: 4, kind: "ksym", name: "bpf_prog_active", weak: true },
    { pc: 6, kind: "kfunc", name: "bpf_ct_release", weak: false },
  ]);
  const lines = disassemble(code, { notation: "llvm", relocs });
  expect(lines.map((l) => l.text).join("\n")).toBe(text);
});

test("labels and source lines in the listing do not change what it assembles to", () => {
  const { code, lineInfo } = assemble(
    "r2 = 3\nagain: r2 += -1\nif r2 != 0 goto again\nr1 = subprog[fn]\ncall fn\nexit\nfn: exit",
  );
  const lines = disassemble(code, { labels: true, lineInfo, funcInfo: [{ pc: 0, name: "main", typeId: 0 }] });
  const text = lines.map((l) => l.text);
  expect(text.slice(0, 4)).toEqual(["main:", "; r2 = 3", "(b7) r2 = 3", "L1:"]);
  expect(text).toContain("(55) if r2 != 0x0 goto L1");
  expect(text).toContain("(18) r1 = subprog[func_7]");
  expect(toHex(assemble(text.join("\n")).code)).toBe(toHex(code));
});

test.each([
  ["r0 = 1\nr1 += 0xffffffff", 2, 7, "expected a signed number of 32 bits"],
  ["goto nowhere", 1, 6, 'no label "nowhere"'],
  ["r0 = 1 2", 1, 8, "expected the end of the statement"],
  ["r1 = w2", 1, 6, "expected registers of one width"],
  ["  frob r1", 1, 3, "expected an instruction"],
  ["a: exit\na: exit", 2, 1, "expected a label that is not there yet"],
  ["r12 = 1", 1, 1, "expected an instruction"],
  ["w1 = 0x100000000", 1, 6, "expected at most 32 bits"],
  ["r1 = *(u24 *)(r2 + 0)", 1, 8, "expected u8, u16, u32 or u64"],
  ["*(u8 *)(r1 + 40000) = 1", 1, 12, "expected a number from -32768 to 32767"],
  ["r1 @ 2", 1, 4, "unexpected character"],
])("refuses %j at its place", (text, line, col, message) => {
  let error: unknown;
  try {
    assemble(text);
  } catch (e) {
    error = e;
  }
  expect(error).toBeInstanceOf(AsmError);
  expect(error).toMatchObject({ line, col });
  expect((error as Error).message).toContain(message);
});

const field = (bits: number) =>
  fc.oneof(fc.constantFrom(0, 1, 8, 16, 32, 64), fc.integer({ min: -(2 ** (bits - 1)), max: 2 ** (bits - 1) - 1 }));
const anyInsn = fc
  .record({
    opcode: fc.integer({ min: 0, max: 255 }),
    dst: fc.oneof({ weight: 4, arbitrary: fc.integer({ min: 0, max: 10 }) }, fc.integer({ min: 0, max: 15 })),
    src: fc.oneof({ weight: 4, arbitrary: fc.integer({ min: 0, max: 10 }) }, fc.integer({ min: 0, max: 15 })),
    off: fc.oneof(fc.constant(0), field(16)),
    imm: fc.oneof(fc.constantFrom(0x01, 0xe1, 0xf1, 0x100, 0x110, 0x41, 0x50), field(32)),
    imm2: field(32),
  })
  .map(({ imm2, ...i }): InsnInit => (i.opcode === OP_LDDW ? { ...i, imm2 } : i));

test.each(["kernel", "llvm"] as const)(
  "text to instructions to text is the identity for any bits, in %s notation",
  (notation) => {
    fc.assert(
      fc.property(fc.array(anyInsn, { minLength: 1, maxLength: 8 }), fc.boolean(), (insns, labels) => {
        const code = encode(insns);
        const text = disassemble(code, { notation, labels }).map((l) => l.text);
        const again = assemble(text.join("\n")).code;
        expect(toHex(again)).toBe(toHex(code));
        expect(disassemble(again, { notation, labels }).map((l) => l.text)).toEqual(text);
      }),
      { numRuns: 3000 },
    );
  },
);

test("every instruction of RFC 9669 has words of its own", () => {
  const opcodes: number[] = [];
  for (let op = 0; op < 256; op++) {
    const insn = {
      pc: 0,
      opcode: op,
      dst: 0,
      src: 0,
      off: 0,
      imm: (op & 0xf7) === 0xd4 || op === 0xd7 ? 16 : 0,
      imm2: 0,
    };
    if (!formatInsn(insn, "llvm").startsWith(".insn")) opcodes.push(op);
  }
  // ALU and ALU64: 12 operations in two forms, neg in one, END le/be/bswap. JMP: 11 conditions in two forms, ja, call,
  // callx, exit, may_goto. JMP32: the conditions, gotol. LDX: 4 + 3 signed. ST, STX: 4 each, 2 atomic. LD: lddw, 3 + 3.
  expect(opcodes.length).toBe(2 * (2 * 12 + 1) + 3 + (2 * 11 + 5) + (2 * 11 + 1) + 7 + 8 + 2 + 7);
});
