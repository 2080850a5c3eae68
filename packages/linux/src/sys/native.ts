/**
 * The only file that touches koffi: one fixed-arity `syscall`, views over mapped memory, and readiness of an fd.
 * koffi is an optional dependency and Linux the only platform: what is missing is said in one line when first needed,
 * never at import, so that `sim` users never meet it.
 *
 * Nothing here is exported from the package: an address from outside could crash the process.
 */
import { createRequire } from "node:module";
import { errnoName, SysError, UnsupportedError } from "@ebplane/core/errors";
import type * as Koffi from "koffi";
import { NR } from "./numbers.ts";

type Raw = (nr: number, a: number, b: number, c: number, d: number, e: number, f: number) => number | bigint;

interface Native {
  readonly koffi: typeof Koffi;
  readonly raw: Raw;
}

let loaded: Native | UnsupportedError | undefined;

/** Loads koffi on the first call. @throws UnsupportedError when this is not Linux or koffi is not installed. */
function native(): Native {
  if (loaded === undefined) loaded = open();
  if (loaded instanceof UnsupportedError) throw loaded;
  return loaded;
}

function open(): Native | UnsupportedError {
  if (process.platform !== "linux") {
    return new UnsupportedError("linux", `the linux target needs Linux, this is ${process.platform}`);
  }
  try {
    const koffi = createRequire(import.meta.url)("koffi") as typeof Koffi;
    // Declared with six longs always: the x86-64 and arm64 ABIs pass a variadic's integers in the same registers.
    const raw = koffi
      .load(null)
      .func("long syscall(long nr, long a, long b, long c, long d, long e, long f)") as unknown as Raw;
    return { koffi, raw };
  } catch (cause) {
    const detail = cause instanceof Error ? cause.message.split("\n")[0] : String(cause);
    return new UnsupportedError("koffi", `the linux target needs the npm package koffi: ${detail}`);
  }
}

/**
 * One system call. Arguments are integers or addresses (below 2^47 and so exact in a Number).
 * @returns the kernel's result, or `-errno`. Addresses returned by mmap are exact.
 */
export function syscall(nr: number, a = 0, b = 0, c = 0, d = 0, e = 0, f = 0): number {
  const { raw, koffi } = native();
  const result = Number(raw(nr, a, b, c, d, e, f));
  // libc reports every failure as -1; its errno is stale after a success, so it is read only here.
  return result === -1 ? -koffi.errno() : result;
}

/**
 * A window on mapped memory, no copy. It costs some 6 µs and stays valid only while the range is mapped: see mem/,
 * which never unmaps a range that was looked at.
 */
export function viewMemory(address: number, length: number): ArrayBuffer {
  return native().koffi.view(BigInt(address), length);
}

const F_DUPFD_CLOEXEC = 1030;

/**
 * Watches an fd for readability in the event loop. The returned handle keeps the process alive until closed.
 * It has an fd of its own: koffi ends the process where one is watched twice, be it that the first was closed meanwhile
 * and its number given to another.
 * @throws SysError EBADF for an fd that is not open.
 */
export function pollReadable(fd: number, callback: () => void): { close(): void; ref(): void; unref(): void } {
  const own = syscall(NR.fcntl, fd, F_DUPFD_CLOEXEC, 0);
  if (own < 0) throw new SysError("poll", -own, errnoName(-own), `fd ${fd}`);
  const poll = native().koffi.node.poll(own, { readable: true }, callback);
  let open = true;
  return {
    close: () => {
      if (!open) return;
      open = false;
      poll.close();
      syscall(NR.close, own);
    },
    ref: () => poll.ref(),
    unref: () => poll.unref(),
  };
}

/** Why system calls cannot be made here, or undefined when they can. */
export function nativeProblem(): string | undefined {
  try {
    native();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
