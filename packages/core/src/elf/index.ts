/** ELF objects ↔ collections. */
export { POISON_IMM, relocateCore } from "./core.ts";
export { readElf } from "./read.ts";
export { SECTION_TABLE, type SectionKind, sectionKind } from "./sections.ts";
export { writeElf } from "./write.ts";
