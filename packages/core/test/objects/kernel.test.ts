/** Every C program through our own loader into this kernel and into sim, its verdict beside bpftool's. */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Btf, parseBtf } from "@ebplane/core/btf";
import { readElf } from "@ebplane/core/elf";
import type { Target } from "@ebplane/core/object";
import { SimTarget } from "@ebplane/core/sim";
import { linuxTarget } from "@ebplane/linux";
import { afterAll, describe, expect, test } from "vitest";
import { build, CORPUS, NEWEST } from "./corpus.ts";
import { bpftoolLoad, missingKernel, missingTool } from "./tools.ts";

const VMLINUX = "/sys/kernel/btf/vmlinux";
const skip = missingTool("clang") ?? missingKernel() ?? (existsSync(VMLINUX) ? undefined : `no ${VMLINUX}`);

let vmlinux: Btf | undefined;
const types = (): Btf => (vmlinux ??= parseBtf(readFileSync(VMLINUX)));

/** Loads all programs of the object; the first complaint, or undefined. */
function load(object: Uint8Array, target: Target = linuxTarget()): string | undefined {
  try {
    target.load(readElf(object)).close();
    return undefined;
  } catch (e) {
    return (e as Error).message.split("\n")[0];
  }
}

const rows: string[] = [];

function row(name: string, ours: string | undefined, theirs: { ok: boolean; stderr: string }): void {
  const why = theirs.ok ? "" : (/^(?:libbpf|Error): (.*)$/m.exec(theirs.stderr)?.[1] ?? "");
  rows.push(
    `| ${name} | yes | ${ours ? `no: ${ours}` : "yes"} | ${theirs.ok ? "yes" : `no: ${why}`} | ${DIFFERENCES[name] ?? ""} |`,
  );
}

const recorded = (file: string): Record<string, string> =>
  JSON.parse(readFileSync(join(import.meta.dirname, "testdata", file), "utf8"));

/** Where we and Debian's bpftool (libbpf 1.1) part, and why. */
const DIFFERENCES = recorded("differences.json");

describe.skipIf(skip)("our loader and bpftool agree, or the difference is explained", () => {
  afterAll(() => {
    for (const map of ["pinned", "shared"]) rmSync(`/sys/fs/bpf/ebplane_test_${map}`, { force: true });
    const text = [
      "| object | parsed | loaded by us | loaded by bpftool | why they differ |",
      "|---|---|---|---|---|",
      ...rows,
      "",
    ].join("\n");
    if (process.env.TABLE) writeFileSync(process.env.TABLE, text);
  });

  test.each(CORPUS)("%s", (name) => {
    const object = build(name);
    const theirs = bpftoolLoad(object);
    const ours = load(object);
    row(name, ours, theirs);
    const explained = DIFFERENCES[name] !== undefined;
    expect({ ours: ours ?? "loaded", differs: (ours === undefined) !== theirs.ok }).toEqual({
      ours: ours ?? "loaded",
      differs: explained,
    });
    const sim = load(object, new SimTarget({ devices: ["lo"], kernelBtf: types }));
    expect({ sim, ours, agrees: (sim === undefined) === (ours === undefined) }).toMatchObject({ agrees: true });
  });

  test.skipIf(!NEWEST).each(CORPUS)(
    `%s, built by ${NEWEST?.compiler} for v4, is answered like the default build`,
    (name) => {
      expect(load(build(name, NEWEST)) === undefined).toBe(load(build(name)) === undefined);
    },
  );

  test("a poisoned instruction that can be reached is refused with what the target lacks", () => {
    expect(load(build("core_direct"))).toMatch(
      /^program enter: slot 23: .*: offset of field struct task_struct___signed\.stime \(0:0\): the field has 8 bytes on the target, 4 here, and its sign matters$/,
    );
  });

  const DEBIAN = `/usr/lib/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu/bpf`;
  test.skipIf(!existsSync(DEBIAN)).each(existsSync(DEBIAN) ? readdirSync(DEBIAN).filter((f) => f.endsWith(".o")) : [])(
    "Debian's %s",
    (name) => {
      const object = new Uint8Array(readFileSync(join(DEBIAN, name)));
      const theirs = bpftoolLoad(object);
      for (const map of readdirSync("/sys/fs/bpf"))
        if (/^(xdp_stats_map|filter_)/.test(map)) rmSync(`/sys/fs/bpf/${map}`);
      const ours = load(object);
      row(name, ours, theirs);
      expect({ ours: ours ?? "loaded", differs: (ours === undefined) !== theirs.ok }).toEqual({
        ours: ours ?? "loaded",
        differs: DIFFERENCES[name] !== undefined,
      });
    },
  );
});
