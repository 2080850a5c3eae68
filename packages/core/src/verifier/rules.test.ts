import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { RULE_SOURCES, RULES } from "./report/rules.ts";

test("each rule names the kernel's function that decides it, and docs/verifier-rules.md has it", () => {
  expect(Object.keys(RULE_SOURCES)).toEqual(Object.keys(RULES));
  const doc = new Set(readFileSync(new URL("../../../../docs/verifier-rules.md", import.meta.url), "utf8").split("\n"));
  const lines = Object.entries(RULES).map(([rule, asks]) => `| ${rule} | ${asks} | ${RULE_SOURCES[rule]} |`);
  expect(lines.filter((line) => !doc.has(line))).toEqual([]);
});

test("every rule that the verifier refuses by has its sentence", () => {
  const used = new Set<string>();
  for (const folder of ["cfg", "check", "transfer", "."]) {
    const at = new URL(`./${folder}/`, import.meta.url);
    for (const file of readdirSync(at).filter((f) => f.endsWith(".ts") && !f.endsWith(".test.ts"))) {
      const text = readFileSync(new URL(file, at), "utf8");
      for (const [, rule] of text.matchAll(/(?:cx\.reject\(|Refusal\(\s*"reject",)\s*"([a-z-]+)"/g)) used.add(rule!);
    }
  }
  expect(used.size).toBeGreaterThan(50);
  expect([...used].filter((rule) => !(rule in RULES))).toEqual([]);
});
