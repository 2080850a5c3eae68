/** Every C program of `c/`, in every build: read, written again, and the kernel's answer to both compared. */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { assemble, disassemble } from "@ebplane/core/asm";
import { typeText } from "@ebplane/core/btf";
import { toHex } from "@ebplane/core/bytes";
import { readElf, writeElf } from "@ebplane/core/elf";
import { ElfError } from "@ebplane/core/errors";
import { attachTypeName, type CollectionSpec, type MapSpec, mapTypeName, progTypeName } from "@ebplane/core/object";
import { afterAll, describe, expect, test } from "vitest";
import { build, builds, CORPUS, CORPUS_DIR, NEWEST, needsBtf } from "./corpus.ts";
import { bpftoolLoad, missingKernel, missingTool, run, withFile } from "./tools.ts";

const skipClang = missingTool("clang", "llvm-objdump");
const skipKernel = skipClang ?? missingKernel();

test("there are at least 40 programs", () => {
  expect(CORPUS.length).toBeGreaterThanOrEqual(40);
});

/** What an object holds, a line each. */
function listing(spec: CollectionSpec): string[] {
  const { btf } = spec;
  const map = (m: MapSpec): string =>
    [
      mapTypeName(m.type),
      `key ${m.keySize}${m.keyTypeId && btf ? ` ${typeText(btf, m.keyTypeId)}` : ""}`,
      `value ${m.valueSize}${m.valueTypeId && btf ? ` ${typeText(btf, m.valueTypeId)}` : ""}`,
      `max ${m.maxEntries}`,
      ...(m.flags ? [`flags 0x${m.flags.toString(16)}`] : []),
      ...(m.mapExtra ? [`extra ${m.mapExtra}`] : []),
      ...(m.pinning === "by-name" ? ["pinned"] : []),
      ...(m.frozen ? ["frozen"] : []),
      ...(m.inner ? [`of (${map(m.inner)})`] : []),
      ...(m.contents ?? []).map(({ key, value }) =>
        value instanceof Uint8Array ? `holds ${toHex(value).slice(0, 80)}` : `[${key[0]}] = ${Object.values(value)[0]}`,
      ),
    ].join(", ");
  const functions = (p: { funcInfo: readonly { name: string }[] }) => p.funcInfo.map((f) => f.name).slice(1);
  return [
    ...[...spec.programs.values()].map((p) =>
      [
        `program ${p.name}: ${p.section}, ${p.type ? progTypeName(p.type) : "no type"}`,
        ...(p.attachType ? [attachTypeName(p.type, p.attachType) ?? `attach type ${p.attachType}`] : []),
        ...(p.attachTo ? [`to ${p.attachTo}`] : []),
        ...(p.flags ? [`flags 0x${p.flags.toString(16)}`] : []),
        ...(p.autoload === false ? ["not by itself"] : []),
        ...(functions(p).length ? [`with ${functions(p).join(" ")}`] : []),
      ].join(", "),
    ),
    ...[...spec.maps.values()].map((m) => `map ${m.name}: ${map(m)}`),
    ...[...spec.variables!].map(
      ([name, v]) =>
        `var ${name}: ${v.map} + ${v.offset}, ${v.size} bytes, ${v.linkage} ${v.typeId ? typeText(btf!, v.typeId) : ""}`,
    ),
    ...spec.externs!.map((e) => `extern ${e.name}: ${e.kind}${e.weak ? ", weak" : ""}`),
    ...spec.structOps!.map(
      (s) => `struct_ops ${s.name}: ${s.programs.map((p) => `+${p.offset} ${p.program}`).join(", ")}`,
    ),
    ...spec.unknown!.map((u) => `unknown ${u.section}: ${u.why}`),
    ...(spec.license ? [] : ["no license"]),
  ].map((line) => line.trimEnd());
}

const LISTING = join(CORPUS_DIR, "listing.txt");

test.skipIf(skipClang)("the listing of every object is as recorded (UPDATE=1 rewrites)", () => {
  const lines = CORPUS.flatMap((name) => [`== ${name}`, ...listing(readElf(build(name)))]);
  const text = `${lines.join("\n")}\n`;
  if (process.env.UPDATE) writeFileSync(LISTING, text);
  expect(text).toBe(readFileSync(LISTING, "utf8"));
});

describe.skipIf(skipClang)("every build reads", () => {
  test.each(CORPUS)("%s", (name) => {
    for (const b of builds(name)) {
      const object = build(name, b);
      if (!b.debug && (name === "kconfig" || name === "kfuncs")) {
        // Without BTF nobody can say what an undefined name is: it is listed, and loading says it is missing.
        const externs = readElf(object).externs!;
        expect(externs.length).toBeGreaterThan(0);
        expect(externs.every((e) => e.typeId === 0)).toBe(true);
        continue;
      }
      // A struct_ops object has programs all the same; it only lists no struct.
      if (!b.debug && needsBtf(name) && name !== "struct_ops") {
        expect(() => readElf(object), JSON.stringify(b)).toThrow(ElfError);
        continue;
      }
      const spec = readElf(object);
      expect(spec.programs.size, JSON.stringify(b)).toBeGreaterThan(0);
      for (const p of spec.programs.values()) {
        // What is printed assembles back to the same bytes.
        const lines = disassemble(p.code, {
          relocs: p.relocs,
          lineInfo: p.lineInfo,
          funcInfo: p.funcInfo,
          labels: true,
        });
        const again = assemble(lines.map((l) => l.text).join("\n"));
        expect(toHex(again.code)).toBe(toHex(p.code));
        expect(again.relocs).toEqual(p.relocs);
      }
      // Written and read again nothing is lost, and writing is stable from then on.
      const written = writeElf(spec);
      const reread = readElf(written);
      expect([...reread.programs.keys()].sort()).toEqual([...spec.programs.keys()].sort());
      for (const [n, p] of reread.programs) expect(toHex(p.code), n).toBe(toHex(spec.programs.get(n)!.code));
      if (b.debug && !RENAMED.has(name)) expect(listing(reread).sort()).toEqual(listing(spec).sort());
      expect(toHex(writeElf(reread))).toBe(toHex(written));
    }
  });
});

describe.skipIf(skipClang)("our LLVM notation is llvm-objdump's", () => {
  test.each(CORPUS)("%s", (name) => {
    sameAsObjdump(build(name), "llvm-objdump", "--mattr=+alu32");
    const newer = NEWEST && `/usr/bin/llvm-objdump-${NEWEST.compiler!.split("-")[1]}`;
    if (newer && existsSync(newer)) sameAsObjdump(build(name, NEWEST!), newer, "--mcpu=v4", "--no-print-imm-hex");
  });
});

function sameAsObjdump(object: Uint8Array, objdump: string, ...flags: string[]): void {
  const text = withFile("o.o", object, (path) => run(objdump, "-d", ...flags, "--no-show-raw-insn", path).stdout);
  const theirs = text
    .split("\n")
    .flatMap((line) => /^\s+\d+:\s+(.*)$/.exec(line)?.[1] ?? [])
    .map((line) => line.replace(/ <[^<> ]*>$/, ""));
  expect(theirs.length).toBeGreaterThan(0);
  const bytes = assemble(theirs.join("\n")).code;
  const ours = disassemble(bytes, { notation: "llvm" }).map((l) => l.text);
  // llvm-objdump 14 prints a call within the program as `call N`; with alu32 it writes w for the register of a load
  // or store of 32 bits or fewer, which are the same instructions.
  const same = (line: string) =>
    line
      .replace(/^call pc\+?/, "call ")
      .replace(/^w(\d+ = \*)|(= |\^= |[|&+]= )w(\d+)$/, (all, load, op, n) =>
        load ? `r${load}` : /^(\*|lock)/.test(line) ? `${op}r${n}` : all,
      );
  expect(ours.map(same)).toEqual(theirs.map(same));
}

/**
 * libbpf 1.x takes neither old map definitions nor static maps nor static programs; written again they are plain BTF
 * maps and global programs.
 */
const LIBBPF_REFUSES = new Set(["iproute2_maps", "legacy_maps", "sample_maps", "static_maps", "static_tails"]);
/** Sections that libbpf does not know are written under names that it does. */
const RENAMED = new Set(["iproute2_maps", "own_sections", "static_tails"]);

describe.skipIf(skipKernel)("bpftool loads what we wrote exactly where it loads what clang wrote", () => {
  // libbpf pins these by itself.
  afterAll(() => {
    for (const map of ["pinned", "shared"]) rmSync(`/sys/fs/bpf/ebplane_test_${map}`, { force: true });
  });
  test.each(CORPUS)("%s", (name) => {
    const object = build(name);
    const theirs = bpftoolLoad(object);
    const ours = bpftoolLoad(writeElf(readElf(object)));
    if (LIBBPF_REFUSES.has(name)) expect({ theirs: theirs.ok, ours: ours.ok }).toEqual({ theirs: false, ours: true });
    else expect(ours.ok, ours.stderr).toBe(theirs.ok);
  });
});
