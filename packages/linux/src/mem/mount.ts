/** File systems that are mounted nowhere: seen only through an fd, gone with it. Source: fsopen(2), fsmount(2). */
import { check, close, NR, syscall } from "../sys/index.ts";
import { scratch } from "./scratch.ts";

const FSOPEN_CLOEXEC = 1;
const FSMOUNT_CLOEXEC = 1;
const FSCONFIG_CMD_CREATE = 6;

/** An fd of the root of a fresh mount of `type`. Paths under it are reached as `/proc/self/fd/N/…`. */
export function detachedMount(type: string): number {
  return scratch((memory) => {
    const context = check("fsopen", syscall(NR.fsopen, memory.cstring(type), FSOPEN_CLOEXEC), type);
    try {
      check("fsconfig", syscall(NR.fsconfig, context, FSCONFIG_CMD_CREATE), type);
      return check("fsmount", syscall(NR.fsmount, context, FSMOUNT_CLOEXEC), type);
    } finally {
      close(context);
    }
  });
}

/** Runs `body` with the path of a fresh mount's root. */
export function onDetachedMount<T>(type: string, body: (root: string) => T): T {
  const fd = detachedMount(type);
  try {
    return body(`/proc/self/fd/${fd}`);
  } finally {
    close(fd);
  }
}
