/** The verifier: is a program safe, and if not, why. */
export { type ExtensionTarget, functionCalled } from "./check/extension.ts";
export { type FieldKind, type MapField, specialFields, structFields } from "./check/map-fields.ts";
export { helperTakesMap } from "./check/maps.ts";
export { MAX_CPUS, type MapRef, type Observer } from "./context.ts";
export { Kind, kindName, MAYBE_NULL, type Reg } from "./domain/reg.ts";
export { type Scalar, scalarHolds } from "./domain/scalar.ts";
export type { Frame, State } from "./domain/state.ts";
export {
  FIELD_SINCE,
  helperSince,
  type KernelVersion,
  mapHelperSince,
  PROFILE_NAMES,
  type ProfileName,
  profileOfRelease,
  RULES,
  versionNumber,
  versionText,
} from "./profile.ts";
export type { InsnFact, LoopFact, RegisterFact } from "./report/facts.ts";
export { formatReg, formatScalar } from "./report/format.ts";
export { reportText } from "./report/text.ts";
export { type SmallestKernel, smallestKernel } from "./smallest.ts";
export {
  type BranchTaken,
  type Cause,
  type ProgramFacts,
  type VerifierReport,
  type VerifyEnv,
  verify,
} from "./verify.ts";
