/** Types and layout. */
export * from "./types.ts";
