/**
 * The bare moves between network namespaces. setns moves only the calling thread, and everything here is synchronous,
 * so nothing else of this process ever runs in the wrong namespace: come back before returning to the event loop.
 * Sockets, links and files opened meanwhile keep their namespace.
 */
import { closeSync, openSync } from "node:fs";
import { CLONE_NEWNET, setns, unshare } from "./calls.ts";
import { check } from "./errno.ts";

/** An fd of the calling thread's network namespace. Close it with `closeSync`. */
export function currentNetns(): number {
  // Not /proc/self: that is the main thread's.
  return openSync("/proc/thread-self/ns/net", "r");
}

/** Runs `body` with the calling thread inside the namespace behind `fd`. `body` must be synchronous. */
export function inNetns<T>(fd: number, body: () => T): T {
  const home = currentNetns();
  try {
    check("setns", setns(fd, CLONE_NEWNET));
    try {
      return body();
    } finally {
      check("setns", setns(home, CLONE_NEWNET), "the thread is stuck in another network namespace");
    }
  } finally {
    closeSync(home);
  }
}

/**
 * An fd of a new, empty network namespace that no name refers to: the kernel removes it with its last fd, link and
 * process. @throws SysError EPERM without CAP_SYS_ADMIN.
 */
export function newNetns(): number {
  const home = currentNetns();
  try {
    check("unshare(CLONE_NEWNET)", unshare(CLONE_NEWNET));
    try {
      return currentNetns();
    } finally {
      check("setns", setns(home, CLONE_NEWNET), "the thread is stuck in another network namespace");
    }
  } finally {
    closeSync(home);
  }
}
