/** What this kernel and its devices can do. */

export { ATTACH_TYPE_SINCE, compareVersions, MAP_TYPE_SINCE, PROG_TYPE_SINCE } from "@ebplane/core/object";
export * from "./features.ts";
export * from "./matrix.ts";
export type { Answer } from "./probe.ts";
export * from "./system.ts";
