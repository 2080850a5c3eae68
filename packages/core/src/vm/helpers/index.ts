/**
 * Helper implementations by the kernel's number: one file a family, one row a helper. object/helpers.ts describes them.
 */
import type { HelperImpl, LoopHelper } from "../env.ts";
import { BASE } from "./base.ts";

const IMPLS: ReadonlyMap<number, HelperImpl> = new Map([...BASE]);
const LOOPS: ReadonlyMap<number, LoopHelper> = new Map();

/** The implementation of a helper for programs of a type, or undefined when userspace has none. */
export function helperImpl(id: number, _progType: number): HelperImpl | undefined {
  return IMPLS.get(id);
}

/** The helper of this number that runs a callback (bpf_loop …). */
export function loopHelper(id: number): LoopHelper | undefined {
  return LOOPS.get(id);
}

/** Kernel functions by BTF name. */
export const KFUNCS: ReadonlyMap<string, HelperImpl> = new Map();
