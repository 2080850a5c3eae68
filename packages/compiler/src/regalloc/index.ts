/** Intermediate form to machine form with real registers. */
export { allocate } from "./allocate.ts";
export * from "./machine.ts";
export { type Machine, select } from "./select.ts";
