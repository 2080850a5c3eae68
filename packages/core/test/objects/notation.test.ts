/** Our kernel notation is the verifier's own: each instruction line of its log, on the corpus. */
import { existsSync, readFileSync } from "node:fs";
import { assemble, disassemble } from "@ebplane/core/asm";
import { parseBtf } from "@ebplane/core/btf";
import { toHex } from "@ebplane/core/bytes";
import { readElf, relocateCore } from "@ebplane/core/elf";
import { type LinuxProgram, linuxTarget } from "@ebplane/linux";
import { expect, test } from "vitest";
import { build } from "./corpus.ts";
import { missingKernel, missingTool } from "./tools.ts";

const VMLINUX = "/sys/kernel/btf/vmlinux";
const skip = missingTool("clang") ?? missingKernel() ?? (existsSync(VMLINUX) ? undefined : `no ${VMLINUX}`);

const NAMES = [
  "arithmetic",
  "atomics",
  "callbacks",
  "subprogs",
  "socket_filter",
  "xdp_parse",
  "globals",
  "kfuncs",
  "core_kinds",
  "big",
];

/** What the log prints for an instruction by slot: `12: (b7) r0 = 1   ; R0_w=1`. */
function logged(log: string): Map<number, string> {
  const lines = new Map<number, string>();
  for (const m of log.matchAll(/^(\d+): (\([0-9a-f]{2}\) .*?)(?:\s+;.*)?$/gm)) lines.set(Number(m[1]), m[2]!.trimEnd());
  return lines;
}

test.skipIf(skip).each(NAMES)("%s", (name) => {
  const spec = relocateCore(readElf(build(name)), parseBtf(readFileSync(VMLINUX)));
  const collection = linuxTarget().load(spec, { logLevel: 2 });
  try {
    let compared = 0;
    for (const program of collection.programs.values()) {
      const ours = new Map(disassemble(program.spec.code).map((l) => [l.pc, l.text]));
      const relocated = new Set(program.spec.relocs.map((r) => r.pc));
      for (const [pc, text] of logged((program as LinuxProgram).log)) {
        // The kernel puts addresses and BTF ids where a relocation is, and names functions as it likes.
        if (
          relocated.has(pc) ||
          /subprog|call pc|call kfunc|\(18\) r\d+ = 0x[0-9a-f]{9,}/.test(`${text} ${ours.get(pc)}`)
        )
          continue;
        expect(ours.get(pc), `${name} ${program.spec.name} slot ${pc}`).toBe(text);
        // Its line assembles to the instruction.
        const at = pc * 8;
        const one = toHex(assemble(text).code);
        expect(one).toBe(toHex(program.spec.code.slice(at, at + one.length / 2)));
        compared++;
      }
    }
    expect(compared).toBeGreaterThan(5);
  } finally {
    collection.close();
  }
});
