/** Printed types: clang takes the header, and finds every member where BTF says. */
import { existsSync, readFileSync } from "node:fs";
import { type Btf, dumpC, parseBtf } from "@ebplane/core/btf";
import { readElf } from "@ebplane/core/elf";
import { expect, test } from "vitest";
import { build, CORPUS } from "./corpus.ts";
import { missingTool, run, withFile } from "./tools.ts";

const skip = missingTool("clang");

/** A static assertion for each struct's size and each member's place, for the first type of a name. */
function assertions(btf: Btf): string[] {
  const out: string[] = [];
  for (let id = 1; id < btf.length; id++) {
    const type = btf.type(id);
    if ((type.kind !== "struct" && type.kind !== "union") || !type.name) continue;
    const tags = btf.findAll(type.name).filter((i) => ["struct", "union", "enum", "enum64"].includes(btf.type(i).kind));
    // va_list is another type on each architecture.
    if (tags[0] !== id || type.members.some((m) => m.name === "args" && type.name === "warn_args")) continue;
    const name = `${type.kind} ${type.name}`;
    out.push(`_Static_assert(sizeof(${name}) == ${type.size}, "size of ${name}");`);
    for (const m of type.members) {
      if (m.name && !m.bitSize)
        out.push(`_Static_assert(__builtin_offsetof(${name}, ${m.name}) == ${m.bitOffset / 8}, "${name}.${m.name}");`);
    }
  }
  return out;
}

function compile(btf: Btf): string {
  const text = [dumpC(btf), ...assertions(btf), ""].join("\n");
  return withFile(
    "types.h",
    text,
    (path) => run("clang", "-target", "bpf", "-fsyntax-only", "-w", "-x", "c", path).stderr,
  );
}

test.skipIf(skip)("every object's types", () => {
  // One compilation an object is slow; those with the most types tell the most.
  for (const name of ["types", "xdp_parse", "lock_timer", "tags", "core_kinds", "struct_ops"]) {
    expect(CORPUS).toContain(name);
    expect(compile(readElf(build(name)).btf!), name).toBe("");
  }
});

const VMLINUX = "/sys/kernel/btf/vmlinux";
test.skipIf(skip ?? !existsSync(VMLINUX))("this kernel's types, all of them", () => {
  const btf = parseBtf(readFileSync(VMLINUX));
  expect(assertions(btf).length).toBeGreaterThan(10_000);
  expect(compile(btf)).toBe("");
});
