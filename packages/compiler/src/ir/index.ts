/** The intermediate form, how it is built and how it prints. */
export * from "./build.ts";
export * from "./fold.ts";
export * from "./ir.ts";
export { type IrLine, irLines, printFn } from "./print.ts";
