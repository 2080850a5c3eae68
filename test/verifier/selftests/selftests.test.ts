/**
 * The kernel's own table of verifier tests (`verifier/*.c` of its sources), read at test time: our verdict beside the
 * running kernel's. `run.ts` prints the same as a table, for `progs/` too.
 */
import { kernelAvailable } from "@ebplane/linux";
import { describe, expect, test } from "vitest";
import { sourceTree } from "../../test-bpf/reader.ts";
import { Tally } from "../verdicts.ts";
import { readTable, unreadable } from "./reader.ts";

const kernel = kernelAvailable();
const skip = kernel.ok ? unreadable(sourceTree) : kernel.reason;

describe.skipIf(skip)(`the kernel's verifier tests${skip ? ` (skipped: ${skip})` : ""}`, () => {
  test("what it accepts is accepted, what it rejects is not", { timeout: 120_000 }, () => {
    const tests = readTable(sourceTree);
    expect(tests.length).toBeGreaterThan(200);
    const tally = new Tally();
    const differences = tests
      .map(({ name, spec }) => tally.add("table", name, spec, spec.programs.get("test")!))
      .filter((said) => said !== undefined && !said.includes("kernel error"));
    expect(tally.accepted("table")).toBeGreaterThanOrEqual(0.995);
    expect(differences.filter((said) => said!.includes("kernel reject, ours accept"))).toEqual([]);
  });
});
