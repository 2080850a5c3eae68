/** The oldest kernel, of those that a profile describes, whose rules accept a program, and why the one before does not. */
import type { ProgramSpec } from "../object/index.ts";
import { PROFILE_NAMES, type ProfileName } from "./profile.ts";
import { type VerifierReport, type VerifyEnv, verify } from "./verify.ts";

export interface SmallestKernel {
  /** Undefined when none of them accepts it. */
  readonly kernel: ProfileName | undefined;
  /** What the kernel before it objects to; undefined when it is the oldest one known. */
  readonly before:
    | { readonly kernel: ProfileName; readonly message: string; readonly pc: number | undefined }
    | undefined;
}

/** Goes back from the newest kernel to the first one that refuses: an older one may lack even what that one has. */
export function smallestKernel(program: ProgramSpec, env: VerifyEnv): SmallestKernel {
  let kernel: ProfileName | undefined;
  for (const profile of PROFILE_NAMES.toReversed()) {
    const report: VerifierReport = verify(program, {
      ...env,
      profile,
      facts: false,
      observe: undefined,
      log: undefined,
    });
    if (report.verdict !== "accept") {
      return { kernel, before: { kernel: profile, message: report.message, pc: report.pc } };
    }
    kernel = profile;
  }
  return { kernel, before: undefined };
}
