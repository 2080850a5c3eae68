/** The kernel functions that a program calls. Which call never returns (bpf_throw) decides what can be reached. */
import { essentialName } from "../../btf/index.ts";
import { type Kfunc, kfuncByName, type ProgramSpec } from "../../object/index.ts";

/** The table's rows of the kernel functions that are called, by pc of the call. */
export function kfuncsOf(program: ProgramSpec): ReadonlyMap<number, Kfunc> {
  const found = new Map<number, Kfunc>();
  for (const reloc of program.relocs) {
    const kfunc = reloc.kind === "kfunc" ? kfuncByName(essentialName(reloc.name)) : undefined;
    if (kfunc) found.set(reloc.pc, kfunc);
  }
  return found;
}
