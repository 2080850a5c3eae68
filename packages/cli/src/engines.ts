/** A program ready to run packets, on one of the engines that the command offers. */
import { UnsupportedError } from "@ebplane/core/errors";
import { type Collection, type CollectionSpec, type Program, type Target, usedMaps } from "@ebplane/core/object";
import { SimTarget } from "@ebplane/core/sim";
import { UsageError } from "./failure.ts";
import { inSource } from "./input.ts";
import { runningKernel } from "./types-of.ts";

export const ENGINES = ["jit", "interp", "kernel"] as const;
export type Engine = (typeof ENGINES)[number];

/** @throws UsageError for another word. */
export function parseEngine(name: string, option = "--engine"): Engine {
  if (!(ENGINES as readonly string[]).includes(name)) {
    throw new UsageError(`${option}: expected ${ENGINES.join(", ")}, got ${name}`);
  }
  return name as Engine;
}

/** An engine's target. `inside` runs synchronous code where its interfaces are: ifindex 1 is there on every engine. */
export interface EngineTarget {
  readonly engine: Engine;
  readonly target: Target;
  inside<T>(body: () => T): T;
}

/**
 * The target behind an engine. The kernel's needs Linux and privileges and is imported only here; its programs see a
 * network namespace of their own, so that no redirect entry refers to a real interface.
 * @throws UnsupportedError in one line when there is no kernel to ask.
 */
export async function openTarget(engine: Engine, cpus = 1): Promise<EngineTarget> {
  if (engine !== "kernel") {
    const target = new SimTarget({ engine, cpus, devices: ["lo"], kernelBtf: runningKernel() });
    return { engine, target, inside: (body) => body() };
  }
  const { kernelAvailable, linuxTarget, pinToCpu } = await import("@ebplane/linux");
  const kernel = kernelAvailable();
  if (!kernel.ok) throw new UnsupportedError("kernel", `the kernel engine: ${kernel.reason}`);
  const { NetNs } = await import("@ebplane/linux/netns");
  // One CPU for all runs, so that per-CPU values are where the other engines put them.
  pinToCpu(0);
  const ns = NetNs.create();
  return { engine, target: linuxTarget({ netns: ns.fd }), inside: (body) => ns.run(body) };
}

/** A loaded program with its collection; closing it releases both. */
export interface Session extends Disposable {
  readonly engine: Engine;
  readonly collection: Collection;
  readonly program: Program;
}

/** `fill` puts more into the maps than the spec's contents. */
export function openSession(
  { engine, target, inside }: EngineTarget,
  spec: CollectionSpec,
  program: string,
  fill: (maps: Collection["maps"]) => void = () => {},
): Session {
  const collection = inside(() => {
    const loaded = inSource(spec, () => target.load(spec, { programs: withTargets(spec, program) }));
    try {
      fill(loaded.maps);
    } catch (e) {
      loaded.close();
      throw e;
    }
    return loaded;
  });
  return {
    engine,
    collection,
    program: collection.programs.get(program)!,
    [Symbol.dispose]: () => collection.close(),
  };
}

/** A program and those that it reaches by tail calls, as far as the object says what its prog arrays hold. */
function withTargets(spec: CollectionSpec, program: string): string[] {
  const names = new Set<string>();
  const add = (name: string): void => {
    const found = spec.programs.get(name);
    if (!found || names.has(name)) return;
    names.add(name);
    for (const map of usedMaps(spec, [found])) {
      for (const { value } of spec.maps.get(map)?.contents ?? []) if ("program" in value) add(value.program);
    }
  };
  add(program);
  return [...names];
}
