/**
 * The bare moves between network namespaces. setns moves only the calling thread, and everything here is synchronous,
 * so nothing else of this process ever runs in the wrong namespace: come back before returning to the event loop.
 * Sockets, links and files opened meanwhile keep their namespace.
 */
import { access, closeSync, openSync } from "node:fs";
import { CLONE_NEWNET, setns, unshare } from "./calls.ts";
import { check } from "./errno.ts";

/** An fd of the calling thread's network namespace. Close it with `closeSync`. */
export function currentNetns(): number {
  // Not /proc/self: that is the main thread's.
  return openSync("/proc/thread-self/ns/net", "r");
}

let poolStarted = false;

/**
 * libuv's threads inherit for good the namespace of the thread whose work starts them. They are all started by the
 * first piece of work: this makes sure that it comes from home.
 */
function startPool(): void {
  if (poolStarted) return;
  poolStarted = true;
  access("/", () => {});
}

/** Runs `body` with the calling thread inside the namespace behind `fd`. `body` must be synchronous. */
export function inNetns<T>(fd: number, body: () => T): T {
  startPool();
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
  startPool();
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
