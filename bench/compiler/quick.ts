/**
 * How quick the compiler is: a plane of some 400 lines, and the programs written twice beside clang on their C. Ours is
 * warm, in this process; clang is a process, which is what its user waits for. Rounds alternate, the minimum counts.
 * Includes reading the sources, checking, optimising and writing the ELF object; leaves out starting Node and loading the front end.
 * Run: `npx tsx -C source bench/compiler/quick.ts`.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeElf } from "@ebplane/core/elf";
import { buildPlane, parsePlane } from "@ebplane/functions";
import { PLANE } from "../../test/quick-plane.ts";
import { clang, NAMES, ours } from "./twice.ts";

const ROUNDS = 12;

/** Milliseconds of one call. */
function time(body: () => void): number {
  const start = performance.now();
  body();
  return performance.now() - start;
}

const plane = parsePlane(PLANE, "plane.yaml");
const built = buildPlane(plane);
const insns = [...built.spec.programs.values()].reduce((n, p) => n + p.code.length / 8, 0);
const rounds = Array.from({ length: 5 * ROUNDS }, () => time(() => writeElf(buildPlane(plane).spec)));
console.log(`plane of 400 lines, ${insns} insns: ${Math.min(...rounds).toFixed(1)} ms warm (wanted: 30)`);

const tmp = mkdtempSync(join(tmpdir(), "ebplane-bench-"));
try {
  let log = 0;
  for (const name of NAMES) {
    const best = [Infinity, Infinity];
    for (let round = 0; round < ROUNDS; round++) {
      best[0] = Math.min(
        best[0]!,
        time(() => void clang(name, tmp)),
      );
      best[1] = Math.min(
        best[1]!,
        time(() => void writeElf(ours(name))),
      );
    }
    const [theirs, mine] = best as [number, number];
    log += Math.log(theirs / mine);
    console.log(`${name.padEnd(16)} clang ${theirs.toFixed(1).padStart(6)} ms, ours ${mine.toFixed(1).padStart(5)} ms`);
  }
  console.log(`geometric mean: ${Math.exp(log / NAMES.length).toFixed(1)} times faster than clang's process`);
} finally {
  rmSync(tmp, { recursive: true });
}
