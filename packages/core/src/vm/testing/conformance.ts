/** Reads the test files of bpf_conformance (beside the checkout, never in it). For tests alone. */
import { assemble } from "../../asm/index.ts";
import { fromHex } from "../../bytes/index.ts";

export interface ConformanceCase {
  readonly memory: Uint8Array;
  readonly code: Uint8Array;
  readonly result: bigint | undefined;
  readonly error: string | undefined;
}

/** The case in a file's text. @throws SyntaxError without a program, AsmError for a bad one. */
export function parseCase(text: string): ConformanceCase {
  const sections = new Map<string, string[]>();
  let lines: string[] = [];
  for (const raw of text.split("\n")) {
    const line = raw.replace(/#.*/, "").trim();
    const head = /^--\s+(.*)$/.exec(line);
    if (head) sections.set(head[1]!, (lines = []));
    else if (line) lines.push(line);
  }
  const raw = sections.get("raw");
  const asm = sections.get("asm");
  if (!raw && !asm) throw new SyntaxError("expected a section asm or raw");
  const result = sections.get("result")?.join("");
  return {
    memory: fromHex((sections.get("mem") ?? []).join(" ").replace(/0x/g, "")),
    code: raw ? slots(raw) : assemble(asm!.join("\n")).code,
    result: result === undefined ? undefined : BigInt.asUintN(64, number64(result)),
    error: sections.get("error")?.join("\n"),
  };
}

/** A slot a line: a 64-bit number, or its eight bytes. */
function slots(lines: readonly string[]): Uint8Array {
  if (lines.every((line) => /^[0-9a-f]{2}( [0-9a-f]{2}){7}$/i.test(line))) return fromHex(lines.join(" "));
  const out = new Uint8Array(lines.length * 8);
  const view = new DataView(out.buffer);
  lines.forEach((line, i) => void view.setBigUint64(i * 8, BigInt(line), true));
  return out;
}

function number64(text: string): bigint {
  return text.startsWith("-") ? -BigInt(text.slice(1)) : BigInt(text);
}
