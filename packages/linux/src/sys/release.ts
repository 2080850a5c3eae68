/** The running kernel's version, where no probe can tell what it has. */
import { release } from "node:os";
import { compareVersions } from "@ebplane/core/object";

export function kernelOlder(version: string): boolean {
  return compareVersions(release(), version) < 0;
}
