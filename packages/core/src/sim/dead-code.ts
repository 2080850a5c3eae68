/**
 * What no path reaches is not run, so it need not be runnable: a relocation poisoned by CO-RE behind a test that there is no
 * such field, a helper that userspace lacks behind a constant. As the kernel (kernel/bpf/verifier.c sanitize_dead_code)
 * sim overwrites such slots before it loads; the program that was given stays as it is.
 */
import { OP_EXIT, OP_LDDW, SLOT } from "../isa/index.ts";
import type { ProgramSpec } from "../object/index.ts";

/** A copy of the program in which the slots at `dead` (pcs, from the verifier's report) are `exit`, without relocs. */
export function withoutDeadCode(program: ProgramSpec, dead: readonly number[]): ProgramSpec {
  if (dead.length === 0) return program;
  const code = program.code.slice();
  const gone = new Set(dead);
  for (const pc of dead) {
    const slots = code[pc * SLOT] === OP_LDDW ? 2 : 1;
    code.fill(0, pc * SLOT, (pc + slots) * SLOT);
    for (let k = 0; k < slots; k++) code[(pc + k) * SLOT] = OP_EXIT;
  }
  return { ...program, code, relocs: program.relocs.filter((r) => !gone.has(r.pc)) };
}
