/** A big-endian object is read and listed as its little-endian twin; loading says why not. */
import { toHex } from "@ebplane/core/bytes";
import { linkObjects, readElf, writeElf } from "@ebplane/core/elf";
import { linuxTarget } from "@ebplane/linux";
import { expect, test } from "vitest";
import { source } from "./corpus.ts";
import { clang, missingKernel, missingTool } from "./tools.ts";

const skip = missingTool("clang");

function both(name: string) {
  const flags = ["-g", "-mcpu=v2"];
  return {
    little: readElf(clang(source(name), ...flags)),
    big: readElf(clang(source(name), "-target", "bpfeb", ...flags)),
  };
}

test.skipIf(skip).each(["hash_flows", "globals", "map_in_map", "tail_calls", "subprogs", "core_fields"])(
  "%s",
  (name) => {
    const { little, big } = both(name);
    expect(big.byteOrder).toBe("big");
    expect([...big.programs.keys()]).toEqual([...little.programs.keys()]);
    const shape = ({
      name,
      type,
      keySize,
      valueSize,
      maxEntries,
    }: {
      name: string;
      type: number;
      keySize: number;
      valueSize: number;
      maxEntries: number;
    }) => ({ name, type, keySize, valueSize, maxEntries });
    expect([...big.maps.values()].map(shape)).toEqual([...little.maps.values()].map(shape));
    expect([...big.variables!.keys()].sort()).toEqual([...little.variables!.keys()].sort());
    for (const [n, p] of big.programs) {
      expect(p.lineInfo.map((l) => l.line).slice(0, 1)).toEqual(
        little.programs
          .get(n)!
          .lineInfo.map((l) => l.line)
          .slice(0, 1),
      );
      expect(p.code.length).toBeGreaterThan(0);
    }
    expect(() => writeElf(big)).toThrow("a big-endian collection cannot be written");
  },
);

test.skipIf(skip)("code without data of either order is the same slots", () => {
  const { little, big } = both("cgroup_sock");
  for (const [name, p] of big.programs) expect(toHex(p.code), name).toBe(toHex(little.programs.get(name)!.code));
});

test.skipIf(skip)("linking refuses it by name", () => {
  const bytes = clang(source("xdp_pass"), "-target", "bpfeb", "-g");
  expect(() => linkObjects([{ name: "pass.o", bytes }])).toThrow("pass.o is big-endian, which is not linked");
});

test.skipIf(skip ?? missingKernel())("the linux target refuses it with the reason", () => {
  expect(() => linuxTarget().load(both("xdp_pass").big)).toThrow(
    "the object is big-endian, this machine is little-endian",
  );
});
