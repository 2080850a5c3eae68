/** BTF: the types of programs and kernels. Model, codec, building, questions about sizes and names. */
export { BtfBuilder, type EnumOptions, type IntOptions, type MemberInit } from "./builder.ts";
export {
  CORE_RELO,
  type CoreReloInput,
  type CoreResolution,
  describeCoreRelo,
  essentialName,
  hasCandidates,
  resolveCoreRelo,
} from "./core.ts";
export { type Deduplicated, dedupBtf, dedupSplit, dedupTypes, mapReferences, splitBtf } from "./dedup.ts";
export { type DumpCOptions, dumpC } from "./dump-c.ts";
export { dumpTypeScript, pascalCase, propertyName, TS_PRELUDE, type TsTypes } from "./dump-ts.ts";
export { type EncodedBtf, encodeBtf } from "./encode.ts";
export {
  type BtfExt,
  type CoreRelo,
  type ExtFunc,
  type ExtLine,
  type ExtSection,
  encodeBtfExt,
  extStrings,
  parseBtfExt,
} from "./ext.ts";
export { parseBtf } from "./parse.ts";
export { type BtfPatch, patchBtf } from "./patch.ts";
export { alignOf, arrayOf, resolve, sizeOf, skipModifiers, typeText, wholeBytes } from "./query.ts";
export * from "./types.ts";
export { type BtfValue, type DecodeOptions, decodeValue, encodeValue, isNetworkOrder } from "./value.ts";
