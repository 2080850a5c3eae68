import { describe, expect, test } from "vitest";
import { AsmError, InsnError, UnsupportedError } from "../../errors/index.ts";
import { assembleClassic, checkClassic, decodeClassic, encodeClassic, runClassic, translateClassic } from "./index.ts";

const ETH = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
/** A UDP datagram to port 53 in a 24-byte IPv4 header. */
const DNS = Uint8Array.from([
  ...ETH,
  0x08,
  0x00,
  0x46,
  0,
  0,
  40,
  0,
  0,
  0,
  0,
  64,
  17,
  0,
  0,
  10,
  0,
  0,
  1,
  10,
  0,
  0,
  2,
  1,
  1,
  1,
  1,
  0x30,
  0x39,
  0,
  53,
  0,
  16,
  0,
  0,
  1,
  2,
  3,
  4,
  5,
  6,
  7,
  8,
]);
const ARP = Uint8Array.from([...ETH, 0x08, 0x06, ...new Array(28).fill(0)]);

const FILTER = `
  ldh [12]              ; EtherType
  jeq #0x800, ip, drop
ip: ldb [23]
  jneq #17, drop
  ldxb 4*([14]&0xf)     /* the header's length */
  ldh [x + 16]
  jeq #53, keep
drop: ret #0
keep: ret #-1`;

describe("classic BPF", () => {
  test("the paper's notation assembles, checks and runs", () => {
    const insns = assembleClassic(FILTER);
    expect(insns).toHaveLength(9);
    expect(insns[1]).toEqual({ code: 0x15, jt: 0, jf: 5, k: 0x800 });
    checkClassic(insns);
    expect(runClassic(insns, { bytes: DNS })).toBe(0xffffffff);
    expect(runClassic(insns, { bytes: ARP })).toBe(0);
    expect(decodeClassic(encodeClassic(insns))).toEqual(insns);
  });

  test.each([
    ["ld #7\nst M[3]\nldx M[3]\ntxa\nadd x\nret a", 14],
    ["ld #5\nsub #7\nret a", 0xfffffffe],
    ["ld #0xffffffff\nmul #3\nret a", 0xfffffffd],
    ["ld #7\nneg\nrsh #28\nret a", 15],
    ["ld #9\nldx #0\ndiv x\nret #1", 0],
    ["ld len\nret a", 54],
    ["ldh [100]\nret #1", 0],
    ["ld proto\nret a", 0x800],
    ["ld mark\nldx #3\nld rxhash\nret a", 77],
    ["ld #6\njgt #6, a, b\na: ret #1\nb: ret #2", 2],
    ["ld #6\njge #6, a, b\na: ret #1\nb: ret #2", 1],
    ["ld #6\njlt #6, b\nret #1\nb: ret #2", 1],
    ["ld #6\njset #2, a, b\na: ret #1\nb: ret #2", 1],
    ["ldb [-0x100000]\nret a", 0x46],
  ])("%j answers %i", (text, result) => {
    const insns = assembleClassic(text);
    checkClassic(insns);
    expect(runClassic(insns, { bytes: DNS, network: 14, link: 0, protocol: 0x800, rxhash: 77 })).toBe(result);
  });

  test.each([
    ["ld #1", "slot 0: expected ret at the end"],
    ["div #0\nret #0", "slot 0: division by zero"],
    ["lsh #32\nret #0", "slot 0: expected a shift below 32, got 32"],
    ["ld M[2]\nret a", "slot 0: M[2] is read before it is written"],
    ["jeq #1, a, b\na: st M[0]\nb: ld M[0]\nret a", "slot 2: M[0] is read before it is written"],
    ["st M[16]\nret #0", "slot 0: expected a word from M[0] to M[15], got M[16]"],
  ])("the checker refuses %j", (text, message) => {
    expect(() => checkClassic(assembleClassic(text))).toThrow(new InsnError(message.slice(8), Number(message[5])));
  });

  test.each([
    ["ret #1\nfoo #2", "2:1: no instruction foo"],
    ["jeq #1, nowhere\nret #0", "1:1: no label nowhere"],
    ["a: ret #0\na: ret #1", "2:1: label a is there already"],
    ["ldh 12", '1:5: ldh: expected [k], [x + k], M[k], #k or an extension, got "12"'],
  ])("the assembler refuses %j", (text, message) => {
    expect(() => assembleClassic(text)).toThrow(AsmError);
    expect(() => assembleClassic(text)).toThrow(message);
  });

  test("what __sk_buff does not have is not translated", () => {
    expect(() => translateClassic(assembleClassic("ld nla\nret a"))).toThrow(UnsupportedError);
  });
});
