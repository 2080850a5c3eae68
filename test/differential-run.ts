/**
 * The long form of differential.test.ts: generated programs on the kernel, the interpreter and the JIT until `COUNT` of
 * them are compared. Needs bpf(2).
 *
 *     npx tsx --conditions=source test/differential-run.ts COUNT [FIRST-SEED]
 *
 * Program n is that of seed FIRST-SEED + n, so that parts of a run may be done apart. Exit code 1 at a difference, which
 * is printed as the smallest program that still shows it.
 */

import type { Operation } from "../packages/core/src/vm/testing/build.ts";
import { generate } from "../packages/core/src/vm/testing/generate.ts";
import { differential, engineRunner, explain, kernelRunner } from "./differential.ts";

const CHUNK = 1000;
const count = Number(process.argv[2]);
const first = Number(process.argv[3] ?? 1);
if (!(count > 0) || !Number.isSafeInteger(first)) {
  console.error("usage: differential-run.ts COUNT [FIRST-SEED]");
  process.exit(2);
}

/** How many programs have an operation of each kind. */
const kinds = new Map<string, number>();
function countKinds(seed: number): void {
  const seen = new Set<string>();
  const visit = (operations: readonly Operation[]): void => {
    for (const { kind, groups } of operations) {
      seen.add(kind);
      for (const group of groups ?? []) visit(group);
    }
  };
  const { main, subprograms, hook } = generate(seed);
  visit(main);
  for (const s of subprograms) visit(s);
  seen.add(hook);
  for (const kind of seen) kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
}

const runners = [kernelRunner(), engineRunner("interp"), engineRunner("jit")];
const start = performance.now();
let accepted = 0;
let refused = 0;
let insns = 0;
for (let done = 0; done < count; done += CHUNK) {
  const now = Math.min(CHUNK, count - done);
  const report = differential(runners, first + done, now, 1);
  accepted += report.accepted;
  refused += report.refused;
  insns += report.insns;
  for (const difference of report.differences) console.log(explain(difference));
  if (report.differences.length) process.exit(1);
  for (let i = 0; i < now; i += 10) countKinds(first + done + i);
  if ((done / CHUNK) % 10 === 9) console.log(`${done + now} programs, ${rate(done + now)} a second`);
}
function rate(programs: number): number {
  return Math.round((1000 * programs) / (performance.now() - start));
}
const mean = Math.round(insns / accepted);
console.log(
  `seeds ${first} to ${first + count - 1}: the kernel accepted ${accepted} and refused ${refused}, mean ${mean} insns; ` +
    `no difference between kernel, interp and jit; ${rate(count)} programs a second`,
);
const shares = [...kinds].sort((a, b) => b[1] - a[1]).map(([kind, n]) => `${kind} ${((1000 * n) / count).toFixed(0)}%`);
console.log(`programs with an operation of each kind (a tenth counted): ${shares.join(", ")}`);
for (const runner of runners) runner.close();
