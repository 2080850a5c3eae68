/** What this kernel and its devices can do. */
export * from "./features.ts";
export type { Answer } from "./probe.ts";
export * from "./system.ts";
