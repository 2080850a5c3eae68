/** Whether a plane will work here, before it is attached. */
export * from "./finding.ts";
export * from "./preflight.ts";
export * from "./requirements.ts";
