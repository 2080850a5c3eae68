/** The verifier: is a program safe, and if not, why. */
export { helperTakesMap } from "./check/maps.ts";
export type { Observer } from "./context.ts";
export { PROFILE_NAMES, type ProfileName } from "./profile.ts";
export { type BranchTaken, type ProgramFacts, type VerifierReport, type VerifyEnv, verify } from "./verify.ts";
