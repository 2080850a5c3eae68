/** Packet programs in TypeScript to eBPF. The language: docs/language.md. */
export { type Compiled, type CompileInput, compile, type Receipt } from "./compile.ts";
export { type Folded, folded } from "./folded.ts";
export type { ListingBlock } from "./listing.ts";
export type { Constants, ModuleSettings } from "./lower/index.ts";
