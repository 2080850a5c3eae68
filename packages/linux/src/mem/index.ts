/** Memory that the kernel may hold an address of. Internal to the package. */
export * from "./block.ts";
export * from "./limits.ts";
export * from "./mount.ts";
export * from "./region.ts";
export * from "./scratch.ts";
