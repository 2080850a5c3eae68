/** Rings shared with the kernel: events from programs, packets. */

export * from "./mapped-arena.ts";
export * from "./mapped-array.ts";
export * from "./packet-ring.ts";
export * from "./perf.ts";
export * from "./ringbuf.ts";
export * from "./umem.ts";
export * from "./user-ringbuf.ts";
export * from "./xsk.ts";
