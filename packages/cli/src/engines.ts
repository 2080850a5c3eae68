/** A program ready to run packets, on one of the engines that the command offers. */
import type { Collection, CollectionSpec, Program, Target } from "@ebplane/core/object";
import { SimTarget } from "@ebplane/core/sim";
import { UsageError } from "./failure.ts";

export const ENGINES = ["jit", "interp", "kernel"] as const;
export type Engine = (typeof ENGINES)[number];

/** @throws UsageError for another word. */
export function parseEngine(name: string, option = "--engine"): Engine {
  if (!(ENGINES as readonly string[]).includes(name)) {
    throw new UsageError(`${option}: expected ${ENGINES.join(", ")}, got ${name}`);
  }
  return name as Engine;
}

/**
 * The target behind an engine. The kernel's needs Linux and privileges and is imported only here.
 * @throws UnsupportedError in one line when there is no kernel to ask.
 */
export async function openTarget(engine: Engine, cpus = 1): Promise<Target> {
  if (engine !== "kernel") return new SimTarget({ engine, cpus });
  const { linuxTarget, pinToCpu } = await import("@ebplane/linux");
  // One CPU for all runs, so that per-CPU values are where the other engines put them.
  pinToCpu(0);
  return linuxTarget();
}

/** A loaded program with its collection; closing it releases both. */
export interface Session extends Disposable {
  readonly engine: Engine;
  readonly collection: Collection;
  readonly program: Program;
}

export function openSession(engine: Engine, target: Target, spec: CollectionSpec, program: string): Session {
  const collection = target.load(spec, { programs: [program] });
  return {
    engine,
    collection,
    program: collection.programs.get(program)!,
    [Symbol.dispose]: () => collection.close(),
  };
}
