/** The optimiser: which passes run, in which order. */
import { type Fn, isPure } from "../ir/index.ts";
import { deadCode, dropTrivialPhis, mergeChains, prune, splitCriticalEdges } from "./cfg.ts";
import { expandCompares } from "./compares.ts";

export function optimize(fn: Fn): void {
  prune(fn);
  dropTrivialPhis(fn);
  deadCode(fn, isPure);
  expandCompares(fn);
  deadCode(fn, isPure);
  mergeChains(fn);
  splitCriticalEdges(fn);
}
