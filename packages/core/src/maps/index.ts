/** Maps in wasm memory: one file a type, operations in runtime/*.as.ts, the memory layout in layout.ts. */
export { ArenaMap } from "./arena.ts";
export type { Batch } from "./batch.ts";
export { CgroupStorageMap } from "./cgroup-storage.ts";
export * from "./create.ts";
export * as layout from "./layout.ts";
export type { BatchDone, MapKind, ValueField, VmMap } from "./map.ts";
export { PerfEventArrayMap, type PerfReader } from "./perf-event-array.ts";
export { RingbufMap, UserRingbufMap } from "./ringbuf.ts";
export * from "./runtime.ts";
export { socketClosed } from "./sockmap.ts";
export { StackTraceMap } from "./stack-trace.ts";
