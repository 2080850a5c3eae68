/** ELF objects ↔ collections. */
export { readElf } from "./read.ts";
export { SECTION_TABLE, type SectionKind, sectionKind } from "./sections.ts";
export { writeElf } from "./write.ts";
