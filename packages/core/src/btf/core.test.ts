import { expect, test } from "vitest";
import { BtfError } from "../errors/index.ts";
import {
  type Btf,
  BtfBuilder,
  CORE_RELO,
  describeCoreRelo,
  essentialName,
  type MemberInit,
  resolveCoreRelo,
} from "./index.ts";

type Types = ReturnType<typeof basics>;

function basics(b: BtfBuilder) {
  return {
    u8: b.int("unsigned char", 1),
    u16: b.int("unsigned short", 2),
    u32: b.int("unsigned int", 4),
    i32: b.int("int", 4, { encoding: "signed" }),
    u64: b.int("unsigned long", 8),
    i64: b.int("long", 8, { encoding: "signed" }),
  };
}

/** A BTF, and what `body` returns: the root's id. */
function types(body: (b: BtfBuilder, t: Types) => number): { btf: Btf; id: number } {
  const b = new BtfBuilder();
  const id = body(b, basics(b));
  return { btf: b.build(), id };
}

const struct = (name: string, size: number, members: (t: Types, b: BtfBuilder) => MemberInit[]) =>
  types((b, t) => b.struct(name, size, members(t, b)));

function relo(local: { btf: Btf; id: number }, target: { btf: Btf }, kind: keyof typeof CORE_RELO, access = "0:0") {
  return resolveCoreRelo(local.btf, target.btf, { typeId: local.id, access, kind: CORE_RELO[kind] });
}

test.each([
  ["task_struct", "task_struct"],
  ["task_struct___old", "task_struct"],
  ["a___b___c", "a___b"],
  ["___x", "___x"],
  ["x____y", "x____y"],
  ["x___", "x___"],
])("the essential name of %s is %s", (name, essential) => {
  expect(essentialName(name)).toBe(essential);
});

test("offset, size, existence and sign follow the member's name", () => {
  const local = struct("s___mine", 4, (t) => [{ name: "b", type: t.u32, offset: 0 }]);
  const target = struct("s", 16, (t) => [
    { name: "a", type: t.u64, offset: 0 },
    { name: "b", type: t.i64, offset: 8 },
  ]);
  expect(relo(local, target, "fieldByteOffset")).toMatchObject({
    expected: 0n,
    value: 8n,
    sizes: { local: 4, target: 8, adjustable: false },
  });
  expect(relo(local, target, "fieldByteSize")).toMatchObject({ expected: 4n, value: 8n });
  expect(relo(local, target, "fieldExists")).toMatchObject({ value: 1n });
  expect(relo(local, target, "fieldSigned")).toMatchObject({ expected: 0n, value: 1n });
  expect(relo(local, target, "fieldRshiftU64")).toMatchObject({ expected: 32n, value: 0n });
});

test("a member may hide in nameless structs and unions", () => {
  const local = struct("s", 4, (t) => [{ name: "x", type: t.u32, offset: 0 }]);
  const target = struct("s", 24, (t, b) => {
    const inner = b.struct("", 8, [
      { name: "pad", type: t.u32, offset: 0 },
      { name: "x", type: t.u32, offset: 4 },
    ]);
    const either = b.union("", 8, [
      { name: "other", type: t.u64, offset: 0 },
      { name: "", type: inner, offset: 0 },
    ]);
    return [
      { name: "first", type: t.u64, offset: 0 },
      { name: "", type: either, offset: 8 },
    ];
  });
  expect(relo(local, target, "fieldByteOffset").value).toBe(12n);
});

test("bitfields move between integers", () => {
  const local = struct("s", 4, (t) => [{ name: "f", type: t.u32, bitOffset: 4, bitSize: 3 }]);
  const target = struct("s", 8, (t) => [
    { name: "wide", type: t.u32, offset: 0 },
    { name: "f", type: t.u16, bitOffset: 41, bitSize: 5 },
  ]);
  expect(relo(local, target, "fieldByteOffset")).toMatchObject({ expected: undefined, value: 4n });
  expect(relo(local, target, "fieldByteSize").value).toBe(2n);
  // Bits 9 to 13 of the 16 at byte 4: shifted to the top of 64.
  expect(relo(local, target, "fieldLshiftU64").value).toBe(50n);
  expect(relo(local, target, "fieldRshiftU64").value).toBe(59n);
});

test("array elements, flexible arrays and bounds", () => {
  const array = (length: number) => (b: BtfBuilder, t: Types) =>
    b.struct("s", 8 + 4 * length, [
      { name: "n", type: t.u64, offset: 0 },
      { name: "a", type: b.array(t.u32, length), offset: 8 },
    ]);
  const local = types(array(8));
  expect(relo(local, types(array(8)), "fieldByteOffset", "0:1:5").value).toBe(28n);
  expect(relo(local, types(array(4)), "fieldByteOffset", "0:1:5").poison).toBe(
    "offset of field struct s.a[5] (0:1:5): not in the target's types",
  );
  expect(relo(local, types(array(0)), "fieldByteOffset", "0:1:5").value).toBe(28n);
  expect(relo(local, types(array(4)), "fieldExists", "0:1:5").value).toBe(0n);
  // The first number indexes from the pointer.
  expect(relo(local, types(array(8)), "fieldByteOffset", "2:0").value).toBe(80n);
  expect(() => relo(local, local, "fieldByteOffset", "0:1:8")).toThrow("the array has 8 elements");
});

test("a field of another kind is not the field", () => {
  const local = struct("s", 4, (t) => [{ name: "x", type: t.u32, offset: 0 }]);
  const pointer = struct("s", 8, (t, b) => [{ name: "x", type: b.ptr(t.u32), offset: 0 }]);
  expect(relo(local, pointer, "fieldExists").value).toBe(0n);
  const small = struct("s", 1, (t) => [{ name: "x", type: t.u8, offset: 0 }]);
  expect(relo(local, small, "fieldByteOffset").sizes).toEqual({ local: 4, target: 1, adjustable: true });
});

test("candidates of several flavours must agree", () => {
  const local = struct("s", 4, (t) => [{ name: "x", type: t.u32, offset: 0 }]);
  const target = (second: number) =>
    types((b, t) => {
      b.struct("s___second", 16, [{ name: "x", type: t.u32, offset: second }]);
      return b.struct("s", 16, [{ name: "x", type: t.u32, offset: 8 }]);
    });
  expect(relo(local, target(8), "fieldByteOffset").value).toBe(8n);
  expect(() => relo(local, target(4), "fieldByteOffset")).toThrow(BtfError);
  expect(() => relo(local, target(4), "fieldByteOffset")).toThrow("disagree");
});

test("enumerators by essential name, in enums of either width", () => {
  const local = types((b) =>
    b.enum("e___mine", [
      { name: "A", value: 0 },
      { name: "B___mine", value: 1 },
      { name: "C", value: 2 },
    ]),
  );
  const target = types((b) => b.enum("e", [{ name: "B", value: -5n }], { size: 8, signed: true }));
  expect(relo(local, target, "enumvalValue", "1")).toMatchObject({ expected: 1n, value: (1n << 64n) - 5n });
  expect(relo(local, target, "enumvalExists", "1").value).toBe(1n);
  expect(relo(local, target, "enumvalExists", "2").value).toBe(0n);
  expect(relo(local, target, "enumvalValue", "2").poison).toBe(
    "value of enumerator enum e___mine.C (2): not in the target's types",
  );
});

test("types: id, existence, size, and match member by member", () => {
  const local = struct("s", 8, (t, b) => [
    { name: "x", type: t.u32, offset: 0 },
    { name: "p", type: b.ptr(b.fwd("other")), offset: 8 },
  ]);
  const target = struct("s", 32, (t, b) => [
    { name: "extra", type: t.u64, offset: 0 },
    { name: "p", type: b.ptr(b.struct("other", 4, [{ name: "y", type: t.u32, offset: 0 }])), offset: 8 },
    { name: "x", type: t.u32, offset: 16 },
  ]);
  expect(relo(local, target, "typeExists", "0").value).toBe(1n);
  expect(relo(local, target, "typeSize", "0")).toMatchObject({ expected: 8n, value: 32n });
  expect(relo(local, target, "typeIdLocal", "0").value).toBe(BigInt(local.id));
  expect(relo(local, target, "typeIdTarget", "0").value).toBe(BigInt(target.id));
  expect(relo(local, target, "typeMatches", "0").value).toBe(1n);
  const signed = struct("s", 8, (t) => [{ name: "x", type: t.i32, offset: 0 }]);
  expect(relo(signed, target, "typeMatches", "0").value).toBe(0n);
  const lacking = struct("s", 8, (t) => [{ name: "z", type: t.u32, offset: 0 }]);
  expect(relo(lacking, target, "typeMatches", "0").value).toBe(0n);
  const absent = struct("nowhere", 8, () => []);
  expect(relo(absent, target, "typeSize", "0")).toMatchObject({ value: 0n, poison: undefined });
});

test("function prototypes are compared parameter by parameter", () => {
  const callback = (params: number) =>
    types((b, t) => {
      const proto = b.funcProto(
        t.i32,
        Array.from({ length: params }, (_, i) => ({ name: `p${i}`, type: t.u32 })),
      );
      return b.typedef("cb", b.ptr(proto));
    });
  expect(relo(callback(2), callback(2), "typeExists", "0").value).toBe(1n);
  expect(relo(callback(2), callback(3), "typeExists", "0").value).toBe(0n);
});

test.each([
  ["0:x", "expected numbers with colons"],
  ["", "expected numbers with colons"],
  ["0:7", "struct s has 1 members"],
  ["0:0:1", "unsigned int has no members"],
])("refuses access %j", (access, message) => {
  const local = struct("s", 4, (t) => [{ name: "x", type: t.u32, offset: 0 }]);
  expect(() => relo(local, local, "fieldExists", access)).toThrow(message);
  // A message can always be made.
  expect(describeCoreRelo(local.btf, { typeId: local.id, access, kind: 2 })).toContain("existence of field struct s");
});
