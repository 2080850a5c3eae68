/** System calls: numbers, errors, the calls themselves. Internal to the package. */
export * from "./calls.ts";
export * from "./errno.ts";
export { nativeProblem, pollReadable, syscall, viewMemory } from "./native.ts";
export * from "./netns.ts";
export * from "./numbers.ts";
export * from "./release.ts";
