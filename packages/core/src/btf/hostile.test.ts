/** BTF made to take forever: two mentions a level are 2^31 paths. Each question is answered, or refused, at once. */
import { expect, test } from "vitest";
import { BtfError } from "../errors/index.ts";
import {
  alignOf,
  type Btf,
  BtfBuilder,
  CORE_RELO,
  decodeValue,
  dedupBtf,
  dumpC,
  dumpTypeScript,
  encodeValue,
  resolveCoreRelo,
  sizeOf,
  typeText,
} from "./index.ts";

const LEVELS = 31;

/** `root { x, y }`, each of a type of two members, and so on; all without names, or all with. */
function doubled(kind: "struct" | "union", named: boolean, leafSize: number): { btf: Btf; root: number } {
  const b = new BtfBuilder();
  let at = leafSize ? b.int("int", 4, { encoding: "signed" }) : b.struct("", 0, []);
  const [x, y] = named ? ["a", "b"] : ["", ""];
  for (let i = 0; i < LEVELS; i++) {
    const members = [x, y].map((name) => ({ name: name!, type: at, offset: 0 }));
    at = b[kind](named ? `level${i}` : "", leafSize, members);
  }
  const root = b.struct(
    "root",
    leafSize,
    ["x", "y"].map((name) => ({ name, type: at, offset: 0 })),
  );
  return { btf: b.build(), root };
}

function functions(): { btf: Btf; root: number } {
  const b = new BtfBuilder();
  let at = b.int("int", 4);
  for (let i = 0; i < LEVELS; i++)
    at = b.ptr(
      b.funcProto(
        at,
        ["a", "b"].map((name) => ({ name, type: at })),
      ),
    );
  const root = b.struct("root", 8, [{ name: "f", type: at, offset: 0 }]);
  return { btf: b.build(), root };
}

function pointers(): { btf: Btf; root: number } {
  const b = new BtfBuilder();
  let at = b.int("int", 4);
  for (let i = 0; i < 20_000; i++) at = b.ptr(at);
  const root = b.struct("root", 8, [{ name: "p", type: at, offset: 0 }]);
  return { btf: b.build(), root };
}

/** Members of one essential name, all of them. */
function flavours(): { btf: Btf; root: number } {
  const b = new BtfBuilder();
  const int = b.int("int", 4);
  const members = Array.from({ length: 20_000 }, (_, i) => ({ name: `m${i}`, type: int, offset: i * 4 }));
  const root = b.struct("root", 80_000, members);
  return { btf: b.build(), root };
}

const CASES: [string, () => { btf: Btf; root: number }][] = [
  ...(["struct", "union"] as const).flatMap((kind) =>
    [true, false].flatMap((named) =>
      [0, 4].map((leaf): [string, () => { btf: Btf; root: number }] => [
        `${named ? "named" : "nameless"} ${kind}s that double, of ${leaf} bytes`,
        () => doubled(kind, named, leaf),
      ]),
    ),
  ),
  ["functions of functions", functions],
  ["a chain of 20,000 pointers", pointers],
  ["20,000 members", flavours],
];

test.each(CASES)("%s", (_, make) => {
  const { btf, root } = make();
  const size = sizeOf(btf, root);
  const other = new BtfBuilder();
  const lacking = other.struct("root", 4, [{ name: "nowhere", type: other.int("int", 4), offset: 0 }]);
  const local = other.build();
  const relo = (kind: number) => ({ typeId: root, access: "0", kind });
  const questions: [string, () => unknown][] = [
    ["C", () => dumpC(btf)],
    ["TypeScript", () => dumpTypeScript(btf, [root])],
    ["text", () => typeText(btf, root)],
    ["alignment", () => alignOf(btf, root)],
    ["decode", () => decodeValue(btf, root, new Uint8Array(size))],
    ["encode", () => expect(() => encodeValue(btf, root, { nowhere: 1 })).toThrow(RangeError)],
    ["exists", () => resolveCoreRelo(btf, btf, relo(CORE_RELO.typeExists))],
    ["matches", () => resolveCoreRelo(btf, btf, relo(CORE_RELO.typeMatches))],
    ["field", () => resolveCoreRelo(local, btf, { typeId: lacking, access: "0:0", kind: CORE_RELO.fieldByteOffset })],
    ...(btf.length < 10_000 ? [["dedup", () => dedupBtf(btf)] as [string, () => unknown]] : []),
  ];
  for (const [what, ask] of questions) {
    const start = process.cpuUsage();
    try {
      ask();
    } catch (e) {
      expect(e, what).toBeInstanceOf(BtfError);
    }
    const { user, system } = process.cpuUsage(start);
    expect((user + system) / 1000, `ms for ${what}`).toBeLessThan(1000);
  }
});
