/** CO-RE against this kernel's BTF: each instruction as libbpf (through bpftool) patches it. */
import { existsSync, readFileSync } from "node:fs";
import { parseBtf } from "@ebplane/core/btf";
import { readElf, relocateCore } from "@ebplane/core/elf";
import { decode, lddwValue, OP_LDDW } from "@ebplane/core/isa";
import { expect, test } from "vitest";
import { build, CORPUS } from "./corpus.ts";
import { bpftoolLoad, missingKernel, missingTool } from "./tools.ts";

const VMLINUX = "/sys/kernel/btf/vmlinux";
const skip = missingTool("clang") ?? missingKernel() ?? (existsSync(VMLINUX) ? undefined : `no ${VMLINUX}`);
const NAMES = CORPUS.filter((n) => n.startsWith("core_"));

const vmlinux = skip ? undefined : parseBtf(readFileSync(VMLINUX));

test.skipIf(skip).each(NAMES)("%s", (name) => {
  for (const mcpu of ["v1", "v3"] as const) {
    const object = build(name, { mcpu, debug: true });
    const { stdout, stderr } = bpftoolLoad(object, "-d");
    const log = stdout + stderr;
    const spec = readElf(object);
    const relocated = relocateCore(spec, vmlinux!);
    const theirs: string[] = [];
    for (const m of log.matchAll(
      /prog '(\w+)': relo #\d+: patched insn #(\d+) \((\S+)\) (?:imm64|imm|off) \d+ -> (\d+)/g,
    )) {
      theirs.push(`${m[1]} ${m[2]}: ${m[4]}`);
    }
    for (const m of log.matchAll(/prog '(\w+)': relo #\d+: substituting insn #(\d+) w\/ invalid insn/g)) {
      theirs.push(`${m[1]} ${m[2]}: poison`);
    }
    const ours: string[] = [];
    for (const p of relocated.programs.values()) {
      const insns = new Map(decode(p.code).map((i) => [i.pc, i]));
      for (const { pc } of spec.programs.get(p.name)!.coreRelos!) {
        const i = insns.get(pc)!;
        const field = i.opcode === OP_LDDW ? lddwValue(i) : [1, 2, 3].includes(i.opcode & 7) ? i.off : i.imm;
        ours.push(`${p.name} ${pc}: ${p.poisoned?.has(pc) ? "poison" : field}`);
      }
    }
    expect(ours.length).toBeGreaterThan(0);
    expect(ours.sort()).toEqual(theirs.sort());
    for (const m of log.matchAll(/patched insn #(\d+) \(\S+\) mem_sz (\d) -> (\d)/g)) {
      const [program] = relocated.programs.values();
      const i = decode(program!.code).find((x) => x.pc === Number(m[1]))!;
      expect({ 0: 4, 8: 2, 16: 1, 24: 8 }[i.opcode & 0x18]).toBe(Number(m[3]));
    }
  }
});

test.skipIf(skip)("a poisoned instruction says what the target lacks", () => {
  const spec = relocateCore(readElf(build("core_flavours")), vmlinux!);
  expect([...spec.programs.get("state")!.poisoned!.values()]).toEqual([
    "offset of field struct task_struct___old.state (0:0): not in the target's types",
  ]);
});
