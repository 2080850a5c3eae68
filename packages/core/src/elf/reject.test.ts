import { expect, test } from "vitest";
import { assemble } from "../asm/index.ts";
import { viewOf } from "../bytes/index.ts";
import { ElfError } from "../errors/index.ts";
import type { CollectionSpec } from "../object/index.ts";
import { readElf, writeElf } from "./index.ts";

function collection(asm: string): CollectionSpec {
  const { code, relocs } = assemble(asm);
  const program = {
    name: "main",
    section: "xdp",
    type: 6,
    attachType: 37,
    flags: 0,
    code,
    relocs,
    funcInfo: [],
    lineInfo: [],
  };
  return { programs: new Map([["main", program]]), maps: new Map(), license: "GPL", byteOrder: "little" };
}

const good = () => writeElf(collection("r0 = 2\nexit"));

function put16(bytes: Uint8Array, at: number, value: number): Uint8Array {
  viewOf(bytes).setUint16(at, value, true);
  return bytes;
}

test.each<[string, (bytes: Uint8Array) => Uint8Array, string]>([
  ["nothing", () => new Uint8Array(0), "need 64 bytes of ELF header, have 0"],
  ["another file", (b) => b.fill(0x41), "not an ELF file"],
  ["a 32-bit object", (b) => b.fill(1, 4, 5), "expected a 64-bit object (class 2), got class 1"],
  ["another machine", (b) => put16(b, 18, 62), "expected machine 247 (BPF), got 62"],
  ["an executable", (b) => put16(b, 16, 2), "expected a relocatable object (type 1), got type 2"],
  ["a cut-off file", (b) => b.slice(0, b.length - 70), "section headers at"],
  ["no sections", (b) => put16(b, 60, 0), "offset 60: has no sections"],
  [
    "a section of 4 GB",
    (b) => {
      const table = Number(viewOf(b).getBigUint64(40, true));
      viewOf(b).setBigUint64(table + 64 + 32, 0xffffffffn, true);
      return b;
    },
    "xdp: 4294967295 bytes at 64 end outside the file",
  ],
])("refuses %s", (_, damage, message) => {
  const bytes = damage(good());
  expect(() => readElf(bytes)).toThrow(ElfError);
  expect(() => readElf(bytes)).toThrow(message);
});

test.each([
  ["r1 = map[nowhere]\nexit", "function main slot 0: there is no map nowhere"],
  [
    "r1 = map[nowhere][0]+4\nexit",
    "function main slot 0: the address of a value of map nowhere has no form in an object",
  ],
  ["call pc+7\nexit", "program main slot 0: calls slot 8, which is outside"],
])("cannot write %j", (asm, message) => {
  expect(() => writeElf(collection(asm))).toThrow(message);
});

test("a slot far out is refused, not given gigabytes", () => {
  const spec = collection("r0 = 2\nexit");
  const contents = [{ key: Uint8Array.of(0xf8, 0xff, 0xff, 0xff), value: { program: "main" } }];
  const jumps = { name: "jumps", type: 3, keySize: 4, valueSize: 4, maxEntries: 1, flags: 0, contents };
  expect(() => writeElf({ ...spec, maps: new Map([["jumps", jumps]]) })).toThrow(
    "map jumps: slot 4294967288: an object has room for 1048576 at most",
  );
});

test("a function that nobody declared stays a mere symbol", () => {
  const written = writeElf(collection("call kfunc[bpf_x]\nexit"));
  const again = readElf(written);
  expect(again.programs.get("main")!.relocs).toEqual([{ pc: 0, kind: "kfunc", name: "bpf_x", weak: false }]);
  expect(again.externs).toEqual([{ name: "bpf_x", kind: "kfunc", weak: false, typeId: 0, offset: 0 }]);
});

test("a program read back is the same", () => {
  const spec = collection("call helper\nexit\nhelper: r0 = 2\nexit");
  const again = readElf(writeElf(spec)).programs.get("main")!;
  expect(again.code).toEqual(spec.programs.get("main")!.code);
  expect(again).toMatchObject({ section: "xdp", type: 6, attachType: 37 });
});

test("a map is found by its symbol, whatever GNU as left in the insn", () => {
  const spec = (name: string) => ({ name, type: 2, keySize: 4, valueSize: 8, maxEntries: 1, flags: 0 });
  const { programs, ...rest } = collection("r1 = map[second] ll\nr0 = 2\nexit");
  const bytes = writeElf({ ...rest, programs, maps: new Map(["first", "second"].map((n) => [n, spec(n)])) });
  const xdp = viewOf(bytes).getUint8(64) === 0x18 ? 64 : -1;
  expect(xdp, "the first section holds the lddw").toBe(64);
  viewOf(bytes).setInt32(xdp + 4, 32, true);
  expect(readElf(bytes).programs.get("main")!.relocs).toMatchObject([{ kind: "map", name: "second" }]);
});

test("a call of a function without a symbol, inside its caller's, stays as it is", () => {
  const spec = collection("r1 = 5\ncall pc+1\nexit\nr0 = r1\nexit");
  const program = readElf(writeElf(spec)).programs.get("main")!;
  expect(program.code).toEqual(spec.programs.get("main")!.code);
  expect(program.funcInfo).toEqual([]);
});
