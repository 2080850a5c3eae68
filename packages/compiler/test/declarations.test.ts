/** `lib/tables.d.ts` says what the tables say. */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { tableDeclarations } from "./declarations.ts";

const FILE = fileURLToPath(new URL("../lib/tables.d.ts", import.meta.url));

test("the declarations of contexts, programs and helpers are those of the tables", () => {
  const text = tableDeclarations();
  if (process.env.UPDATE) writeFileSync(FILE, text);
  expect(readFileSync(FILE, "utf8")).toBe(text);
});
