/**
 * Helper implementations by the kernel's number: one file a family, one row a helper. object/helpers.ts describes them.
 */
import { ProgType } from "../../object/index.ts";
import type { HelperImpl, LoopHelper } from "../env.ts";
import { BASE } from "./base.ts";
import { LOOP_HELPERS } from "./loop.ts";
import { MAP_HELPERS } from "./map.ts";
import { XDP_HELPERS, XDP_OWN } from "./xdp.ts";

const IMPLS: ReadonlyMap<number, HelperImpl> = new Map([...BASE, ...MAP_HELPERS, ...XDP_HELPERS]);
/** Where a program type has another implementation under the same number. */
const BY_TYPE: ReadonlyMap<number, ReadonlyMap<number, HelperImpl>> = new Map([
  [ProgType.BPF_PROG_TYPE_XDP, new Map(XDP_OWN)],
]);
const LOOPS: ReadonlyMap<number, LoopHelper> = new Map(LOOP_HELPERS);

/** The implementation of a helper for programs of a type, or undefined when userspace has none. */
export function helperImpl(id: number, progType: number): HelperImpl | undefined {
  return BY_TYPE.get(progType)?.get(id) ?? IMPLS.get(id);
}

/** The helper of this number that runs a callback (bpf_loop …). */
export function loopHelper(id: number): LoopHelper | undefined {
  return LOOPS.get(id);
}

/** Kernel functions by BTF name. */
export const KFUNCS: ReadonlyMap<string, HelperImpl> = new Map();
