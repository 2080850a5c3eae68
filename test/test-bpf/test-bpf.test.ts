/**
 * The kernel's own exam of its interpreter and JITs, lib/test_bpf.c, on ours. Read at test time (see reader.ts):
 * EBPLANE_LINUX_SRC=/path of kernel sources, else where scripts/install-test-tools.sh puts the file.
 */
import { describe, expect, test } from "vitest";
import { readTables, sourceTree, type Tables, type TableTest, unreadable } from "./reader.ts";
import { wrong, wrongTailCalls } from "./run.ts";

const skip = unreadable(sourceTree);
const tables: Tables = skip ? { tests: [], tailCalls: [] } : readTables(sourceTree);
// EBPLANE_TEST_BPF=all also runs the programs of up to 200,000 insns: two minutes.
const MOST = process.env.EBPLANE_TEST_BPF === "all" ? Number.POSITIVE_INFINITY : 20_000 * 8;
const small = tables.tests.filter((t) => t.code.length <= MOST);

/** Classic loads that read what no `__sk_buff` shows: only the classic interpreter runs them. */
const CLASSIC_ONLY: ReadonlySet<string> = new Set(["LD_HATYPE", "LD_NLATTR", "LD_NLATTR_NEST", "LD_PAYLOAD_OFF"]);

function failures(tests: readonly TableTest[], engine: Parameters<typeof wrong>[1]): string[] {
  return tests.flatMap((t) => {
    try {
      return wrong(t, engine).map((text) => `${t.descr}: ${text}`);
    } catch (error) {
      return [`${t.descr}: ${(error as Error).message}`];
    }
  });
}

describe(`test_bpf${skip ? ` (skipped: ${skip})` : ""}`, () => {
  test.skipIf(skip)("both tables are whole", () => {
    expect(tables.tests.length).toBeGreaterThan(1000);
    expect(tables.tests.filter((t) => t.classic).length).toBeGreaterThan(130);
    expect(tables.tailCalls.length).toBeGreaterThan(8);
  });

  test.skipIf(skip)("classic programs on the classic interpreter", () => {
    expect(
      failures(
        small.filter((t) => t.classic),
        "classic",
      ),
    ).toEqual([]);
  });

  test.skipIf(skip).each(["interp", "jit"] as const)(
    "classic and eBPF programs on %s",
    { timeout: 600_000 },
    (engine) => {
      expect(
        failures(
          small.filter((t) => !CLASSIC_ONLY.has(t.descr)),
          engine,
        ),
      ).toEqual([]);
    },
  );

  test.skipIf(skip).each(["interp", "jit"] as const)("tail calls on %s", (engine) => {
    expect(wrongTailCalls(tables.tailCalls, engine, 1000)).toEqual([]);
  });
});
