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

/**
 * First kernels of what came to the instruction set after 5.4.
 * Source: kernel/bpf/verifier.c and Documentation/bpf/instruction-set.rst of those versions.
 */
export const SINCE = {
  /** Atomic operations beyond add, and the fetching forms. */
  atomics: 512,
  /** cpu v4: sign-extending loads and moves, signed division, unconditional byte swap, gotol. */
  v4: 606,
  mayGoto: 609,
  arena: 609,
  loadAcquire: 615,
} as const;

/** `6.6` for 606. */
export function versionText(version: number): string {
  return `${Math.floor(version / 100)}.${version % 100}`;
}

export const DEFAULT_PROFILE: Profile = { kernel: "6.18", version: 618 };

export function profileOf(name: ProfileName): Profile {
  return { kernel: name, version: versionNumber(name) };
}
