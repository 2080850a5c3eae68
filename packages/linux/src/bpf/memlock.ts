/**
 * RLIMIT_MEMLOCK, by which kernels before 5.11 count programs and maps; later ones charge the memory cgroup.
 * Source: kernel/bpf/syscall.c `bpf_map_charge_init`, `__bpf_prog_charge` (5.10); gone in 5.11.
 */
import { release } from "node:os";
import { compareVersions } from "@ebplane/core/object";
import { memlockLimit } from "../mem/index.ts";

export function chargesMemlock(kernel: string = release()): boolean {
  return compareVersions(kernel, "5.11") < 0;
}

/** What an EPERM of MAP_CREATE or PROG_LOAD means and what to do: the end of a message. */
export function permissionRemedy(): string {
  const privilege = "run as root, or with CAP_BPF and CAP_NET_ADMIN";
  const limit = memlockLimit();
  if (!chargesMemlock() || limit === Number.POSITIVE_INFINITY) return privilege;
  return `${privilege}; or it is more than RLIMIT_MEMLOCK, ${limit} bytes, by which Linux before 5.11 counts programs and maps (ulimit -l unlimited)`;
}
