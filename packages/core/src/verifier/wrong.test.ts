/** Wrong programs and what is said of them: testdata/wrong.txt. UPDATE=1 rewrites `-- fix` and `-- cause`. */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { assemble } from "../asm/index.ts";
import { MapType, ProgType } from "../object/index.ts";
import { type VerifierReport, verify } from "./index.ts";

const FILE = fileURLToPath(new URL("testdata/wrong.txt", import.meta.url));
const MAPS = new Map([
  ["hash", { name: "hash", type: MapType.BPF_MAP_TYPE_HASH, keySize: 4, valueSize: 16, maxEntries: 10, flags: 0 }],
]);

interface Case {
  readonly title: string;
  readonly sections: ReadonlyMap<string, string>;
}

const source = readFileSync(FILE, "utf8");
const cases = source.split(/^== /m).slice(1).map(parse);

function parse(text: string): Case {
  const [title, ...parts] = text.split(/\n-- /);
  const sections = parts.map((part): [string, string] => {
    const end = part.indexOf("\n");
    return [part.slice(0, end), part.slice(end + 1).trim()];
  });
  return { title: title!.trim(), sections: new Map(sections) };
}

function check(c: Case): VerifierReport {
  const { code, relocs, lineInfo } = assemble(c.sections.get("asm")!);
  const type = ProgType.BPF_PROG_TYPE_XDP;
  const program = { name: "t", section: "xdp", type, attachType: 0, flags: 0, code, relocs, funcInfo: [], lineInfo };
  return verify(program, { maps: MAPS, license: "GPL" });
}

const causeOf = (report: VerifierReport): string => report.cause.map((step) => step.pc).join(" ") || "-";

if (process.env.UPDATE === "1") {
  let out = source;
  for (const c of cases) {
    const report = check(c);
    const start = out.indexOf(`== ${c.title}\n`);
    for (const [section, text] of [
      ["fix", report.fix ?? "-"],
      ["cause", causeOf(report)],
    ]) {
      const at = out.indexOf(`-- ${section}\n`, start) + `-- ${section}\n`.length;
      out = out.slice(0, at) + text + out.slice(out.indexOf("\n", at));
    }
  }
  writeFileSync(FILE, out);
}

test.each(cases)("$title", (c) => {
  const report = check(c);
  expect(report.verdict).toBe("reject");
  expect(report.rule).toBe(c.sections.get("rule"));
  expect(report.message).toContain(c.sections.get("msg"));
  if (process.env.UPDATE === "1") return;
  expect(report.fix).toBe(c.sections.get("fix"));
  expect(causeOf(report)).toBe(c.sections.get("cause"));
});
