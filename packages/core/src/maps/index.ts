/** Maps in wasm memory: one file a type, operations in runtime/*.as.ts, the memory layout in layout.ts. */
export * from "./create.ts";
export * as layout from "./layout.ts";
export type { MapKind, VmMap } from "./map.ts";
export * from "./runtime.ts";
