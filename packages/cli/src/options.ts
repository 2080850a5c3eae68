/** Values of options. */
import { type KernelVersion, PROFILE_NAMES, versionNumber } from "@ebplane/core/verifier";
import { UsageError } from "./failure.ts";

/** For options that may be given several times. */
export function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

/** @throws UsageError for anything but decimal digits. */
export function wholeNumber(text: string, option: string): number {
  if (!/^\d{1,10}$/.test(text)) throw new UsageError(`${option}: expected a whole number, got ${text}`);
  return Number(text);
}

/** @throws UsageError for what is no kernel's version, or one before those whose rules are known. */
export function kernelVersion(text: string, option: string): KernelVersion {
  if (!/^\d+\.\d{1,2}$/.test(text) || versionNumber(text) < versionNumber(PROFILE_NAMES[0])) {
    throw new UsageError(`${option}: expected a kernel from ${PROFILE_NAMES[0]} on, as 6.1, got ${text}`);
  }
  return text as KernelVersion;
}
