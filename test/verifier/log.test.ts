/** Our log of a refused path, read with the parser of the kernel's, says what the kernel's own log says. */
import { readFileSync } from "node:fs";
import { formatInsn } from "@ebplane/core/asm";
import { VerifierError } from "@ebplane/core/errors";
import { MapType, ProgType } from "@ebplane/core/object";
import { verify } from "@ebplane/core/verifier";
import { linuxTarget, parseVerifierLog, type VerifierLog } from "@ebplane/linux";
import { asmProgram, collectionOf, kernelSkipReason } from "@ebplane/linux/testing";
import { expect, test } from "vitest";

const skip = kernelSkipReason();
const HASH = { name: "hash", type: MapType.BPF_MAP_TYPE_HASH, keySize: 4, valueSize: 16, maxEntries: 10, flags: 0 };
const cases = readFileSync(new URL("../../packages/core/src/verifier/testdata/wrong.txt", import.meta.url), "utf8")
  .split(/^== /m)
  .slice(1)
  .map((part) => ({ title: part.slice(0, part.indexOf("\n")), text: part.split("-- asm\n")[1]!.split("\n-- ")[0]! }));

type LogStep = VerifierLog["steps"][number];

/** Ids are numbered by each verifier in its own way: by their order here. */
function steady(state: ReadonlyMap<string, string>, ids: Map<string, number>): string[] {
  return [...state]
    .filter(([name]) => name.startsWith("R"))
    .map(([name, value]) => {
      const text = value.replace(/id=(\d+)/g, (_, id) => {
        if (!ids.has(id)) ids.set(id, ids.size + 1);
        return `id=${ids.get(id)}`;
      });
      // The mark of a number that was looked at is the kernel's own bookkeeping.
      return `${name}=${text.replace(/^P/, "")}`;
    });
}

function compare(text: string): { ours: string[]; kernel: string[] } {
  const program = asmProgram("prog", ProgType.BPF_PROG_TYPE_XDP, text);
  const spec = collectionOf([program], [HASH]);
  const report = verify(program, { maps: spec.maps, license: "GPL", log: (insn) => formatInsn(insn) });
  let log = "";
  try {
    linuxTarget().load(spec).close();
  } catch (e) {
    if (!(e instanceof VerifierError)) throw e;
    log = e.log;
  }
  const [mine, theirs] = [new Map<string, number>(), new Map<string, number>()];
  // Behind a jump that is taken, and a call, the kernel writes the state on a line of its own kind.
  const lines = (steps: readonly LogStep[], ids: Map<string, number>) =>
    steps.map(({ pc, state }, i) => {
      const next = steps[i + 1]?.pc ?? pc + 1;
      return `${pc}: ${next === pc + 1 ? steady(state, ids).join(" ") : ""}`;
    });
  return {
    ours: lines(parseVerifierLog(report.log ?? "").steps, mine),
    kernel: lines(parseVerifierLog(log).steps, theirs),
  };
}

// A refusal before the walk has no steps; a loop without end is told by neither from its start.
const WALKED = cases.filter(({ title }) => !/never ends|cannot be reached|falls off/.test(title));

test.skipIf(skip).each(WALKED)("$title", ({ text }) => {
  const { ours, kernel } = compare(text);
  expect(kernel.length).toBeGreaterThan(0);
  expect(ours).toEqual(kernel);
});
