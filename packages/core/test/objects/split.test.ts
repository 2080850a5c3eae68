/** Split BTF: one object's types on another's. bpftool reads what we write, and finds the same types. */
import { dedupBtf, encodeBtf, parseBtf, splitBtf, typeText } from "@ebplane/core/btf";
import { readElf } from "@ebplane/core/elf";
import { expect, test } from "vitest";
import { build } from "./corpus.ts";
import { missingTool, must, withFile } from "./tools.ts";

const skip = missingTool("clang", "bpftool");

/** Types as bpftool lists them: its line without the ids, which differ where ours differ. */
function listed(file: Uint8Array, base?: Uint8Array): string[] {
  const dump = (...args: string[]) => withFile("types.btf", file, (path) => must("bpftool", ...args, path));
  const text = base
    ? withFile("base.btf", base, (path) => dump("-B", path, "btf", "dump", "file"))
    : dump("btf", "dump", "file");
  return text.split("\n").filter((line) => /^\[\d+\]/.test(line));
}

test.skipIf(skip)("bpftool lists a split BTF on its base", () => {
  const base = dedupBtf(readElf(build("xdp_parse")).btf!).btf;
  const whole = readElf(build("hash_flows")).btf!;
  const { btf, ids } = splitBtf(whole, base);
  const lines = listed(btf.bytes, base.bytes);
  expect(lines.length).toBe(btf.length - btf.firstId);
  expect(lines[0]).toMatch(new RegExp(`^\\[${base.length}\\] `));
  expect(lines.join("\n")).toContain("STRUCT 'flow' size=16");
  // Both are XDP programs: the context and its integers are the base's.
  for (const name of ["xdp_md", "__u32", "unsigned int"]) expect(ids[whole.find(name)!], name).toBe(base.find(name));
  expect(lines.join("\n")).not.toContain("xdp_md'");
  for (let id = 1; id < whole.length; id++) expect(typeText(btf, ids[id]!)).toBe(typeText(whole, id));
});

test.skipIf(skip)("parsed and encoded again it is the same bytes", () => {
  const base = readElf(build("xdp_parse")).btf!;
  const { btf } = splitBtf(readElf(build("types")).btf!, base);
  const again = parseBtf(btf.bytes, base);
  const own = Array.from({ length: again.length - again.firstId }, (_, i) => again.type(again.firstId + i));
  expect(encodeBtf(own, { base }).bytes).toEqual(btf.bytes);
});
