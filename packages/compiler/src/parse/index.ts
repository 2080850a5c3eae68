/** Text to syntax tree. */
export * from "./ast.ts";
export { declared, makeSource, parseModule, type Report } from "./parse.ts";
