/** A refused path in the kernel's own log format: `12: (71) r0 = *(u8 *)(r1 +0)   ; R0=scalar(…) R1=pkt(…)`. */
import type { Insn } from "../../isa/index.ts";
import { usesOf } from "../cfg/cfg.ts";
import { Kind } from "../domain/reg.ts";
import { formatReg } from "./format.ts";
import type { Visited } from "./replay.ts";

/** `format` gives an insn's text as the kernel writes it; without it the opcode stands alone. */
export function kernelLog(
  trace: readonly Visited[],
  message: string,
  processed: number,
  format?: (insn: Insn) => string,
): string {
  const lines: string[] = [];
  trace.forEach(({ insn }, i) => {
    const after = trace[i + 1];
    const { reads, writes } = usesOf(insn);
    const values: string[] = [];
    after?.regs.forEach((r, n) => {
      if (((reads | writes) >> n) & 1 && r.kind !== Kind.NOT_INIT) values.push(`R${n}=${formatReg(r)}`);
    });
    const opcode = insn.opcode.toString(16).padStart(2, "0");
    const text = format?.(insn) ?? `(${opcode})`;
    lines.push(
      `${insn.pc}: ${text}${values.length ? `${" ".repeat(Math.max(1, 36 - text.length))}; ${values.join(" ")}` : ""}`,
    );
  });
  lines.push(message, `processed ${processed} insns`);
  return `${lines.join("\n")}\n`;
}
