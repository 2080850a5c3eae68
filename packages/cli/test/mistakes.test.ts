/** Every subcommand against missing, wrong and damaged input: one clear line, exit 2, nothing written. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { writeElf } from "@ebplane/core/elf";
import { ProgType } from "@ebplane/core/object";
import { arrayMap, asmProgram, collectionOf } from "@ebplane/linux/testing";
import { expect, test } from "vitest";
import { ebplaneHere, scratchFolder } from "./ebplane.ts";

/** A folder of inputs, good and bad; `out` is what no mistake may write. */
function inputs(): string {
  const folder = scratchFolder();
  const put = (name: string, content: string | Uint8Array): void => writeFileSync(join(folder, name), content);
  const pass = asmProgram("pass", ProgType.BPF_PROG_TYPE_XDP, "r0 = 2\nexit", { section: "xdp" });
  const good = writeElf(collectionOf([pass], [arrayMap("hits")]));
  put("good.o", good);
  put("cut.o", good.subarray(0, good.length - 40));
  put("head.o", good.subarray(0, 50));
  put(
    "garbage.o",
    Uint8Array.from({ length: 4096 }, (_, i) => (i * 197 + 13) & 255),
  );
  put("empty.o", "");
  put("bad.btf", Uint8Array.of(0x9f, 0xeb, 1, 0, 24, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255));
  put("bad.pcap", "this is not a capture at all");
  put("bad.yaml", "plane: [\n");
  put("list.yaml", "- 1\n- 2\n");
  put("bad.json", "{");
  put("good.s", "r0 = 2\nexit\n");
  put("bad.s", "r0 = banana\n");
  put("bad.bpf.ts", "export const = ;");
  mkdirSync(join(folder, "dir"));
  return folder;
}

/** `@x` is a file of the folder. */
const CASES: readonly (readonly string[])[] = [
  ...["inspect", "verify", "disasm", "btf dump"].flatMap((command) =>
    ["@none.o", "@dir", "@cut.o", "@head.o", "@garbage.o", "@empty.o", "@none.bpf.ts", "@bad.bpf.ts", "@bad.yaml"].map(
      (file) => [...command.split(" "), file],
    ),
  ),
  ...["@none.o", "@dir", "@garbage.o"].flatMap((file) => [
    ["build", file, "-o", "@out"],
    ["types", file, "-o", "@out"],
    ["link", "@good.o", file, "-o", "@out"],
    ["run", file, "--pcap", "@bad.pcap", "--out", "@out"],
    ["diff", file, "--pcap", "@bad.pcap"],
    ["bench", file],
    ["attach", file, "xdp:nodev0"],
    ["up", file],
    ["asm", file, "-o", "@out"],
  ]),
  ["run", "@good.o", "--pcap", "@bad.pcap", "--out", "@out"],
  ["run", "@good.o", "--pcap", "@dir", "--out", "@out"],
  ["run", "@good.o", "--pcap", "@none"],
  ["run", "@good.o"],
  ["run", "@good.o", "--pcap", "@bad.pcap", "--engine", "fast"],
  ["run", "@good.o", "--pcap", "@bad.pcap", "--prog", "nothing"],
  ["diff", "@good.o", "--pcap", "@bad.pcap"],
  ["bench", "@good.o", "--engines", "fast"],
  ["bench", "@good.o", "--map", "hits=@bad.json"],
  ["bench", "@good.o", "--map", "hits"],
  ["bench", "@good.o", "--packet", "zz"],
  ["up", "@bad.yaml"],
  ["up", "@list.yaml"],
  ["up", "@dir"],
  ["build", "@good.o"],
  ["build", "@good.o", "--source"],
  ["build", "@good.o", "-o", "@dir"],
  ["build", "@good.o", "-o", "@none/out"],
  ["types", "@good.o"],
  ["link", "-o", "@out"],
  ["asm", "@bad.s", "-o", "@out"],
  ["disasm", "@good.o", "--notation", "intel"],
  ["disasm", "@good.o", "--prog", "nothing"],
  ["verify", "@good.o", "--type", "nothing"],
  ["verify", "@good.o", "--profile", "2.4"],
  ["verify", "@good.o", "--prog", "nothing"],
  ["exec", "--engine", "kernel"],
  ["btf", "dump", "no_such_module"],
  ["btf", "dump", "@bad.btf"],
  ["btf", "dump", "@good.o", "--format", "rust"],
  ["btf", "dump", "vmlinux", "--type", "no_such_type_here"],
  ["schema", "-o", "@none/out"],
  ["inspect"],
  ["inspect", "@good.o", "--frobnicate"],
  ["map", "frobnicate"],
  ["attach", "@good.o", "nowhere"],
  ["detach", "nowhere"],
];

test("every mistake is one clear line with exit 2, and writes nothing", async () => {
  const folder = inputs();
  const wrong: string[] = [];
  for (const line of CASES) {
    const args = line.map((arg) => arg.replace(/@(\w)/, `${folder}/$1`));
    const { code, stdout, stderr } = await ebplaneHere(args);
    const lines = stderr.trimEnd().split("\n");
    // Of a source's mistakes there is a line each.
    const oneLine = lines.length === 1 || line.some((arg) => arg.endsWith(".ts"));
    const stack = /\n +at |TypeError|internal error|undefined/.test(stderr);
    // A damaged file is named.
    const file = /^@(none|dir|cut|head|garbage|empty|bad)/.test(line[1] ?? "") ? args[1]! : "";
    const left = existsSync(join(folder, "out"));
    if (code !== 2 || stdout !== "" || stderr === "" || !oneLine || !stderr.includes(file) || stack || left) {
      wrong.push(
        `${line.join(" ")}: code ${code}, stdout ${stdout.length} bytes${left ? ", left a file" : ""}: ${stderr}`,
      );
    }
  }
  expect(wrong).toEqual([]);
});
