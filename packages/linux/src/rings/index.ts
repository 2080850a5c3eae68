/** Rings shared with the kernel: events from programs, packets. */
export * from "./perf.ts";
export * from "./ringbuf.ts";
export * from "./user-ringbuf.ts";
