/**
 * Profiles: what differs between kernel versions, as data. A verdict for a kernel that is not at hand is the same
 * analysis under that kernel's profile.
 */

export interface Profile {
  /** Kernel version, `major.minor`. */
  readonly kernel: string;
  /** `kernel` as a number that compares: 6.18 is 618. */
  readonly version: number;
}

export const PROFILE_NAMES = ["5.4", "5.15", "6.1", "6.6", "6.12", "6.18"] as const;
export type ProfileName = (typeof PROFILE_NAMES)[number];

/** A version `major.minor` as a number that compares. */
export function versionNumber(version: string): number {
  const [major = "0", minor = "0"] = version.split(".");
  return Number(major) * 100 + Number(minor);
}

export const DEFAULT_PROFILE: Profile = { kernel: "6.18", version: 618 };

export function profileOf(name: ProfileName): Profile {
  return { kernel: name, version: versionNumber(name) };
}
