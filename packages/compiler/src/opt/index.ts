/** The optimiser: which passes run, in which order. */
import { type Fn, isPure } from "../ir/index.ts";
import { dropBranches } from "./branches.ts";
import { collapseJoins, deadCode, dropTrivialPhis, mergeChains, prune, splitCriticalEdges } from "./cfg.ts";
import { expandCompares, testBits } from "./compares.ts";
import { numberValues } from "./gvn.ts";
import { holdConstants } from "./hold.ts";
import { promoteStack } from "./stack.ts";
import { threadJumps } from "./thread.ts";

/** Rounds of the passes that feed each other; most programs settle after two. */
const MAX_ROUNDS = 4;

export function optimize(fn: Fn): void {
  clean(fn);
  for (let round = 0; round < MAX_ROUNDS; round++) {
    let changed = promoteStack(fn);
    clean(fn);
    changed = collapseJoins(fn) || changed;
    changed = dropBranches(fn) || changed;
    clean(fn);
    prune(fn);
    changed = threadJumps(fn) || changed;
    clean(fn);
    changed = numberValues(fn) || changed;
    clean(fn);
    if (!changed) break;
  }
  expandCompares(fn);
  numberValues(fn);
  clean(fn);
  // What was decided last leaves branches behind.
  for (let round = 0; round < MAX_ROUNDS && dropBranches(fn); round++) clean(fn);
  testBits(fn);
  deadCode(fn, isPure);
  holdConstants(fn);
  splitCriticalEdges(fn);
}

function clean(fn: Fn): void {
  prune(fn);
  dropTrivialPhis(fn);
  deadCode(fn, isPure);
  mergeChains(fn);
}
