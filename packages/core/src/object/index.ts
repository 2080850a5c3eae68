/** Blueprints (Specs), the tables of types, and the interface of a target. */
export * from "./ctx.ts";
export * from "./exception.ts";
export * from "./helpers.ts";
export * from "./hook.ts";
export * from "./kfunc-protos.ts";
export * from "./kfuncs.ts";
export * from "./map-types.ts";
export * from "./port.ts";
export * from "./prog-types.ts";
export * from "./section-hook.ts";
export * from "./since.ts";
export * from "./spec.ts";
export * from "./target.ts";
