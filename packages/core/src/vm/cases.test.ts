import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { toHex } from "../bytes/index.ts";
import { ENGINES, type EngineName } from "./engines.ts";
import { parseCases } from "./testing/cases.ts";
import { runCase } from "./testing/run-case.ts";

const dir = join(import.meta.dirname, "testdata");
const cases = readdirSync(dir)
  .filter((f) => f.endsWith(".case"))
  .flatMap((file) => parseCases(readFileSync(join(dir, file), "utf8")).map((c) => ({ file, ...c })));

describe.each(Object.keys(ENGINES) as EngineName[])("on %s", (engine) => {
  test.each(cases)("$file:$line $name", (c) => {
    const error = c.sections.get("error");
    if (error !== undefined) {
      expect(() => runCase(c, engine)).toThrow(error);
      return;
    }
    const { r0, after } = runCase(c, engine);
    const result = c.sections.get("result");
    if (result !== undefined) expect(r0).toBe(BigInt.asUintN(64, BigInt(result)));
    const bytes = c.sections.get("after");
    if (bytes !== undefined) expect(toHex(after, " ")).toBe(bytes);
    // Cases without an expectation of their own are for the comparison with the kernel: here the engines must agree.
    if (result === undefined && bytes === undefined) expect(runCase(c, "interp").r0).toBe(r0);
  });
});
