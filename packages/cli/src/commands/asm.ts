/** `ebplane asm` and `ebplane disasm`: text to bytecode and back. */
import { readFileSync, writeFileSync } from "node:fs";
import { assemble, disassemble } from "@ebplane/core/asm";
import { toHex } from "@ebplane/core/bytes";
import { writeElf } from "@ebplane/core/elf";
import { AsmError, BpfError } from "@ebplane/core/errors";
import type { Command } from "commander";
import { assembledCollection, type ObjectOptions } from "../assembled.ts";
import { loadObject, readBytes } from "../input.ts";
import { collect } from "../options.ts";
import { print } from "../output.ts";

export function registerAsm(program: Command): void {
  program
    .command("asm <file>")
    .description("assemble text (the kernel's, LLVM's or the mnemonic notation) to raw instructions or an object")
    .option("-o, --output <file>", "write to a file: raw instructions, or an object where its name ends in .o")
    .option("--section <name>", "object: the program's section, which says its type", "xdp")
    .option("--name <name>", "object: the program's name", "main")
    .option("--license <text>", "object: its licence", "GPL")
    .option("--map <name=type:key:value:entries>", "object: a map that the text names (repeatable)", collect, [])
    .action((file: string, { output, ...options }: ObjectOptions & { output?: string }) => {
      const text = file === "-" ? readFileSync(0, "utf8") : new TextDecoder().decode(readBytes(file));
      const assembled = inFile(file, () => assemble(text, { file }));
      if (output?.endsWith(".o")) {
        writeFileSync(output, writeElf(assembledCollection(assembled, options)));
        return;
      }
      const { code, relocs } = assembled;
      if (relocs.length) {
        const names = [...new Set(relocs.map((r) => r.name))].join(", ");
        throw new BpfError("EASM", `${file}: raw instructions cannot refer to ${names}: that needs an object`);
      }
      if (output === undefined) print(toHex(code));
      else writeFileSync(output, code);
    });

  program
    .command("disasm <prog>")
    .description("print the programs of an object (or a .bpf.ts, or a plane) as text")
    .option("--prog <name>", "only this program")
    .option("--notation <name>", "kernel, llvm or mnemonic", "kernel")
    .action(async (path: string, { prog, notation }: { prog?: string; notation: string }) => {
      if (!["kernel", "llvm", "mnemonic"].includes(notation)) {
        throw new RangeError(`--notation: expected kernel, llvm or mnemonic, got ${notation}`);
      }
      const spec = await loadObject(path);
      if (prog !== undefined && !spec.programs.has(prog)) {
        throw new RangeError(`${path}: no program named ${prog}; it has ${[...spec.programs.keys()].join(", ")}`);
      }
      for (const p of spec.programs.values()) {
        if (prog !== undefined && p.name !== prog) continue;
        print(`${p.name}: # section ${p.section}, ${p.code.length / 8} insns`);
        for (const line of disassemble(p.code, { ...p, notation: notation as "kernel", labels: true })) {
          print(line.insn ? `${String(line.pc).padStart(6)}: ${line.text}` : `        ${line.text}`);
        }
      }
    });
}

/** An assembler's message with the file in front. */
function inFile<T>(file: string, work: () => T): T {
  try {
    return work();
  } catch (e) {
    if (e instanceof AsmError) throw new BpfError(e.code, `${file}:${e.message}`);
    throw e;
  }
}
