/** The kernel behind the commands that ask it: is it there, and in which network namespace. */
import { fstatSync } from "node:fs";
import { UnsupportedError } from "@ebplane/core/errors";

/** @throws UnsupportedError in one line when bpf(2) cannot be used. */
export async function requireKernel(command: string): Promise<void> {
  const { kernelAvailable } = await import("@ebplane/linux");
  const kernel = kernelAvailable();
  if (!kernel.ok) throw new UnsupportedError("kernel", `${command}: ${kernel.reason}`);
}

/**
 * Runs synchronous code in a network namespace: one that `ip netns` named, one behind a file, or the process's own.
 * `body` gets the namespace's inode.
 */
export async function inNamespace<T>(where: string | undefined, body: (inode: number) => T): Promise<T> {
  const { NetNs } = await import("@ebplane/linux/netns");
  if (where === undefined) {
    using current = NetNs.current();
    return body(fstatSync(current.fd).ino);
  }
  using ns = where.includes("/") ? NetNs.open({ path: where }) : NetNs.openNamed(where);
  return ns.run(() => body(fstatSync(ns.fd).ino));
}
