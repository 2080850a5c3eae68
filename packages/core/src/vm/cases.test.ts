import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ENGINES, type EngineName } from "./engines.ts";
import { parseCases } from "./testing/cases.ts";
import { judgeCase } from "./testing/judge.ts";

const dir = join(import.meta.dirname, "testdata");
const cases = readdirSync(dir)
  .filter((f) => f.endsWith(".case"))
  .flatMap((file) => parseCases(readFileSync(join(dir, file), "utf8")).map((c) => ({ file, ...c })));

describe.each(Object.keys(ENGINES) as EngineName[])("on %s", (engine) => {
  test.each(cases)("$file:$line $name", (c) => {
    const { got, failure } = judgeCase(c, engine);
    expect(failure, got).toBeUndefined();
  });
});
