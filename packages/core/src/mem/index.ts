/** The linear memory of a machine. */
export * from "./memory.ts";
