import { expect, test } from "vitest";
import { toHex } from "../bytes/index.ts";
import { BtfBuilder, type BtfValue, decodeValue, encodeValue } from "./index.ts";

const b = new BtfBuilder();
const u8 = b.int("unsigned char", 1);
const u16 = b.int("unsigned short", 2);
const u32 = b.int("unsigned int", 4);
const i32 = b.int("int", 4, { encoding: "signed" });
const u64 = b.int("unsigned long long", 8);
const bool = b.int("_Bool", 1, { encoding: "bool" });
const char = b.int("char", 1, { encoding: "signed" });
const be32 = b.typedef("__be32", b.typedef("__u32", u32));
const be16 = b.typedef("__be16", u16);
const color = b.enum("color", [
  { name: "RED", value: 1 },
  { name: "BLUE", value: 7 },
]);
const flow = b.struct("flow", 16, [
  { name: "saddr", type: b.const(be32), offset: 0 },
  { name: "dport", type: be16, offset: 4 },
  { name: "mac", type: b.array(u8, 6), offset: 6 },
  { name: "low", type: u32, bitOffset: 96, bitSize: 3 },
  { name: "high", type: i32, bitOffset: 99, bitSize: 29 },
]);
const inner = b.union("", 16, [
  { name: "n", type: u64, offset: 0 },
  { name: "addr", type: b.array(u8, 16), offset: 0 },
]);
const outer = b.struct("outer", 32, [
  { name: "on", type: bool, offset: 0 },
  { name: "name", type: b.array(char, 7), offset: 1 },
  { name: "color", type: color, offset: 8 },
  { name: "", type: inner, offset: 16 },
]);
const btf = b.build();

test.each<[string, number, BtfValue, string, BtfValue?]>([
  ["u32", u32, 0x01020304, "04030201"],
  ["int", i32, -2, "feffffff"],
  ["u64", u64, (1n << 64n) - 1n, "ffffffffffffffff"],
  ["__be32", be32, 0x0a000001, "0a000001"],
  ["__be32 as address", be32, "10.0.0.1", "0a000001", 0x0a000001],
  ["enum by name", color, "BLUE", "07000000", 7],
  [
    "struct with bitfields",
    flow,
    { saddr: "192.0.2.1", dport: 80, mac: "02:00:00:00:00:ff", low: 5, high: -1 },
    "c0000201 0050 0200000000ff fdffffff",
    { saddr: 0xc0000201, dport: 80, mac: [2, 0, 0, 0, 0, 255], low: 5, high: -1 },
  ],
  [
    "nameless union",
    outer,
    { on: true, name: "edge", color: 1, addr: "2001:db8::1" },
    "01 65646765000000 01000000 00000000 20010db8000000000000000000000001",
    {
      on: true,
      name: "edge",
      color: 1,
      n: 0xb80d0120n,
      addr: [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    },
  ],
])("%s", (_, type, value, hex, decoded = value) => {
  const bytes = encodeValue(btf, type, value);
  expect(toHex(bytes)).toBe(hex.replaceAll(" ", ""));
  expect(decodeValue(btf, type, bytes)).toEqual(decoded);
});

test.each<[number, BtfValue, string]>([
  [u32, -1, "unsigned int: expected 0 to 4294967295, got -1"],
  [u32, 1.5, "unsigned int: expected an integer, got 1.5"],
  [u32, "10.0.0.1", "unsigned int: expected an integer, got string"],
  [flow, { dport: 70000 }, "struct flow.dport: expected 0 to 65535, got 70000"],
  [flow, { low: 8 }, "struct flow.low: expected 0 to 7, got 8"],
  [flow, { sport: 1 }, 'struct flow: struct flow has no member "sport"'],
  [outer, { name: "far too long" }, "struct outer.name: expected at most 7 bytes of text, got 12"],
  [color, "GREEN", "enum color: expected one of RED, BLUE, got GREEN"],
])("refuses type %i from %j", (type, value, message) => {
  expect(() => encodeValue(btf, type, value)).toThrow(message);
});

test("addresses are shown as text where type and name say that they are some, and the text is taken back", () => {
  const b = new BtfBuilder();
  const u8 = b.int("u8", 1);
  const be32 = b.typedef("be32", b.int("u32", 4));
  const in6 = b.union("in6", 16, [
    { name: "bytes", type: b.array(u8, 16), offset: 0 },
    { name: "words", type: b.array(be32, 4), offset: 0 },
  ]);
  const flow = b.struct("flow", 46, [
    { name: "saddr", type: be32, offset: 0 },
    { name: "seq", type: be32, offset: 4 },
    { name: "nextHop", type: in6, offset: 8 },
    { name: "smac", type: b.array(u8, 6), offset: 24 },
    { name: "comm", type: b.array(u8, 16), offset: 30 },
  ]);
  const pair = b.struct("pair", 6, [
    { name: "_0", type: be32, offset: 0 },
    { name: "_1", type: b.typedef("be16", b.int("u16", 2)), offset: 4 },
  ]);
  const btf = b.build();
  const shown = (id: number, value: BtfValue) => decodeValue(btf, id, encodeValue(btf, id, value), { addresses: true });
  const comm = [112, 105, 110, 103, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
  const whole = { saddr: "10.0.0.1", seq: 7, nextHop: "2001:db8::1", smac: "02:00:00:00:00:01", comm };
  expect(shown(flow, whole)).toEqual(whole);
  expect(shown(pair, { _0: "192.0.2.1", _1: 443 })).toEqual({ _0: "192.0.2.1", _1: 443 });
  expect(shown(be32, "10.0.0.1")).toBe("10.0.0.1");
  // For programs they stay numbers.
  expect(decodeValue(btf, be32, encodeValue(btf, be32, "10.0.0.1"))).toBe(0x0a000001);
});
