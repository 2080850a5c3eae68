/** A kernel's version as the value of an option. Apart from options.ts: only commands that verify load the verifier. */
import { type KernelVersion, PROFILE_NAMES, versionNumber } from "@ebplane/core/verifier";
import { UsageError } from "./failure.ts";

/** @throws UsageError for what is no kernel's version, or one before those whose rules are known. */
export function kernelVersion(text: string, option: string): KernelVersion {
  if (!/^\d+\.\d{1,2}$/.test(text) || versionNumber(text) < versionNumber(PROFILE_NAMES[0])) {
    throw new UsageError(`${option}: expected a kernel from ${PROFILE_NAMES[0]} on, as 6.1, got ${text}`);
  }
  return text as KernelVersion;
}
