/** ELF objects ↔ collections. */
export { POISON_IMM, relocateCore } from "./core.ts";
export { type LinkInput, linkObjects } from "./link.ts";
export { type PrunedRange, type PruneReport, pruneReport } from "./prune.ts";
export { readElf } from "./read.ts";
export { SECTION_TABLE, type SectionKind, sectionKind } from "./sections.ts";
export { type TypedMap, typedMap, typedMaps } from "./typed-map.ts";
export { type GenerateTypesOptions, generateTypes } from "./types.ts";
export {
  applyKconfig,
  editVariables,
  getVariable,
  type KernelConfig,
  parseKconfig,
  setVariables,
  type TypedVariable,
  type VariableEdit,
} from "./variables.ts";
export { writeElf } from "./write.ts";
