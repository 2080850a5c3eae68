/** The engines by name. */
import { UnsupportedError } from "../errors/index.ts";
import type { Engine } from "./engine.ts";
import { interpEngine } from "./interp-engine.ts";
import { jitEngine } from "./jit/index.ts";

export type EngineName = "interp" | "jit";

export const ENGINES: Readonly<Partial<Record<EngineName, Engine>>> = { interp: interpEngine, jit: jitEngine };

/** @throws UnsupportedError for an engine that this build does not have. */
export function engineByName(name: EngineName): Engine {
  const engine = ENGINES[name];
  if (!engine) throw new UnsupportedError(`engine ${name}`, `engine ${name}: not in this build`);
  return engine;
}
