/** Linked objects: as bpftool gen object links them, and the kernel takes them. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { disassemble } from "@ebplane/core/asm";
import { BtfBuilder, dedupBtf, typeText } from "@ebplane/core/btf";
import { linkObjects, readElf, writeElf } from "@ebplane/core/elf";
import type { CollectionSpec } from "@ebplane/core/object";
import { expect, test } from "vitest";
import { build } from "./corpus.ts";
import { bpftoolLoad, clang, missingKernel, missingTool, must, withFile } from "./tools.ts";

const skip = missingTool("clang", "bpftool");
const DIR = join(dirname(fileURLToPath(import.meta.url)), "link");

function inputs() {
  return ["main.c", "helper.c"].map((name) => ({
    name,
    bytes: clang(readFileSync(join(DIR, name), "utf8"), "-g", "-mcpu=v3"),
  }));
}

function bpftoolLink(objects: readonly { readonly bytes: Uint8Array }[]): Uint8Array {
  return withFile("a.o", objects[0]!.bytes, (a) =>
    withFile("b.o", objects[1]!.bytes, (b) =>
      withFile("out.o", "", (out) => {
        must("bpftool", "gen", "object", out, a, b);
        return new Uint8Array(readFileSync(out));
      }),
    ),
  );
}

/** Programs as text with symbols, maps and variables: what must be the same whoever linked. */
function essence(spec: CollectionSpec) {
  const programs = [...spec.programs.values()].map((p) => [
    p.name,
    disassemble(p.code, { relocs: p.relocs, funcInfo: p.funcInfo, labels: true })
      .map((l) => l.text.replace(/\[0\]\+\d+/, "[0]+N"))
      .join("\n"),
  ]);
  const variables = [...spec.variables!.values()].map(
    (v) => `${v.map} ${v.name} ${v.size} ${typeText(spec.btf!, v.typeId)}`,
  );
  const maps = [...spec.maps.values()].map((m) => `${m.name} ${m.type} ${m.keySize} ${m.valueSize} ${m.maxEntries}`);
  return {
    programs: Object.fromEntries(programs),
    variables: variables.sort(),
    maps: maps.sort(),
    license: spec.license,
  };
}

test.skipIf(skip)("two objects link as bpftool links them", () => {
  const objects = inputs();
  const ours = readElf(linkObjects(objects));
  const theirs = readElf(bpftoolLink(objects));
  expect(essence(ours)).toEqual(essence(theirs));
  expect([...ours.programs.keys()]).toEqual(["entry", "beside", "other"]);
  expect(ours.programs.get("entry")!.funcInfo.map((f) => f.name)).toEqual([
    "entry",
    "twice",
    "policy",
    "classify",
    "twice",
  ]);
  // Deduplicated as far as theirs, the forward declaration included.
  const structs = (spec: CollectionSpec) =>
    Array.from({ length: spec.btf!.length - 1 }, (_, i) => spec.btf!.type(i + 1)).filter(
      (t) => t.kind === "struct" && t.name,
    ).length;
  expect(structs(ours)).toBe(structs(theirs));
  expect(ours.btf!.findAll("counter").length).toBe(1);
  // The prototype of an extern, and its pointer, stay here though nothing refers to them.
  expect(ours.btf!.length).toBeLessThanOrEqual(theirs.btf!.length + 2);
});

test.skipIf(skip ?? missingKernel())("the kernel takes the linked object, and what is written of it", () => {
  const linked = linkObjects(inputs());
  expect(bpftoolLoad(linked)).toMatchObject({ ok: true });
  expect(bpftoolLoad(writeElf(readElf(linked)))).toMatchObject({ ok: true });
});

test.skipIf(skip)("what does not fit together is named", () => {
  const pass = { name: "a.o", bytes: build("xdp_pass") };
  expect(() => linkObjects([pass, { ...pass, name: "b.o" }])).toThrow("pass is defined in a.o and in b.o");
  const mit = { name: "c.o", bytes: clang('char _license[] __attribute__((section("license"))) = "MIT";', "-g") };
  expect(() => linkObjects([pass, mit])).toThrow("license: c.o: differs from the other objects'");
});

test("dedup merges cycles, keeps what differs, resolves forwards", () => {
  const b = new BtfBuilder();
  const list = (payload: number) => {
    const id = b.reserve();
    const pointer = b.ptr(id);
    b.define(id, {
      kind: "struct",
      name: "list",
      size: 16,
      members: [
        { name: "next", type: pointer, bitOffset: 0, bitSize: 0 },
        { name: "data", type: payload, bitOffset: 64, bitSize: 0 },
      ],
    });
    return id;
  };
  const u64 = b.int("unsigned long", 8);
  const i64 = b.int("long", 8, { encoding: "signed" });
  const ids = [list(u64), list(u64), list(i64)];
  const forward = b.fwd("only");
  const only = b.struct("only", 4, [{ name: "x", type: b.int("int", 4, { encoding: "signed" }), offset: 0 }]);
  const ambiguous = b.fwd("list");
  const result = dedupBtf(b.build());
  const [a, same, other] = ids.map((id) => result.ids[id]);
  expect(same).toBe(a);
  expect(other).not.toBe(a);
  expect(result.ids[forward]).toBe(result.ids[only]);
  // Both lists look alike by fields, so the forward takes the first.
  expect(result.ids[ambiguous]).toBe(a);
  expect(result.btf.findAll("list").length).toBe(2);
});
