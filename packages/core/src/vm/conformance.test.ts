import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { toHex } from "../bytes/index.ts";
import { ENGINES, type EngineName } from "./engines.ts";
import { execPlugin } from "./exec.ts";
import { parseCase } from "./testing/conformance.ts";

// The suite is fetched beside the checkout (github.com/Alan-Jowett/bpf_conformance), never copied into it.
const dir = process.env.EBPLANE_CONFORMANCE;
const negative = dir ? readdirSync(join(dir, "negative")).filter((f) => f.endsWith(".data")) : [];
/**
 * What an engine runs all the same: a result that the runner must find wrong, an operation that only a verifier refuses,
 * and a number of 32 bits that the suite's own assembler takes for too large.
 */
const RUN = new Set(["incorrect_return_value_high_bits.data", "error.data", "invalid_imm32_dec_range.data"]);
const files = dir ? readdirSync(join(dir, "tests")).filter((f) => f.endsWith(".data")) : [];

describe.each(Object.keys(ENGINES) as EngineName[])("bpf_conformance on %s", (engine) => {
  test.skipIf(!dir)("the suite is whole (skipped without EBPLANE_CONFORMANCE=/path)", () => {
    expect(files.length).toBeGreaterThanOrEqual(313);
  });

  test.each(files)("%s", (file) => {
    const { memory, code, result, error } = parseCase(readFileSync(join(dir!, "tests", file), "utf8"));
    const run = (): string => execPlugin(toHex(memory, " "), toHex(code, " "), { engine });
    if (error !== undefined) expect(run).toThrow();
    else expect(run()).toBe(result!.toString(16));
  });

  test.skipIf(!dir)("there are 60 negative tests", () => {
    expect(negative.length).toBeGreaterThanOrEqual(60);
  });

  test.each(negative)("negative %s", (file) => {
    const run = (): string => {
      const { memory, code } = parseCase(readFileSync(join(dir!, "negative", file), "utf8"));
      return execPlugin(toHex(memory, " "), toHex(code, " "), { engine });
    };
    if (RUN.has(file)) expect(run()).toMatch(/^[0-9a-f]+$/);
    else expect(run).toThrow(/^(?!Cannot convert)/);
  });
});
