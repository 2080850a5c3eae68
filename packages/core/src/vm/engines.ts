/** The engines by name. */
import type { Engine } from "./engine.ts";
import { interpEngine } from "./interp-engine.ts";

export const ENGINES = { interp: interpEngine } satisfies Record<string, Engine>;
