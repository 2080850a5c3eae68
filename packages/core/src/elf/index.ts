/** ELF objects ↔ collections. */
export { writeElf } from "./write.ts";
