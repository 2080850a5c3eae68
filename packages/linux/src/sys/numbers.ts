/**
 * System call numbers per architecture.
 * Source: arch/x86/entry/syscalls/syscall_64.tbl; include/uapi/asm-generic/unistd.h (arm64).
 */
import { UnsupportedError } from "@ebplane/core/errors";

const X64 = {
  read: 0,
  write: 1,
  close: 3,
  ppoll: 271,
  mmap: 9,
  munmap: 11,
  madvise: 28,
  ioctl: 16,
  getpid: 39,
  socket: 41,
  socketpair: 53,
  connect: 42,
  sendto: 44,
  recvfrom: 45,
  bind: 49,
  listen: 50,
  getsockname: 51,
  setsockopt: 54,
  getsockopt: 55,
  fcntl: 72,
  flock: 73,
  mount: 165,
  umount2: 166,
  gettid: 186,
  sched_setaffinity: 203,
  sched_getaffinity: 204,
  openat: 257,
  unshare: 272,
  accept4: 288,
  perf_event_open: 298,
  prlimit64: 302,
  setns: 308,
  getcpu: 309,
  memfd_create: 319,
  bpf: 321,
  fsopen: 430,
  fsconfig: 431,
  fsmount: 432,
  move_mount: 429,
  pidfd_open: 434,
  pidfd_getfd: 438,
} as const;

export type SyscallName = keyof typeof X64;

const ARM64: Readonly<Record<SyscallName, number>> = {
  read: 63,
  write: 64,
  close: 57,
  ppoll: 73,
  mmap: 222,
  munmap: 215,
  madvise: 233,
  ioctl: 29,
  getpid: 172,
  socket: 198,
  socketpair: 199,
  connect: 203,
  sendto: 206,
  recvfrom: 207,
  bind: 200,
  listen: 201,
  getsockname: 204,
  setsockopt: 208,
  getsockopt: 209,
  fcntl: 25,
  flock: 32,
  mount: 40,
  umount2: 39,
  gettid: 178,
  sched_setaffinity: 122,
  sched_getaffinity: 123,
  openat: 56,
  unshare: 97,
  accept4: 242,
  perf_event_open: 241,
  prlimit64: 261,
  setns: 268,
  getcpu: 168,
  memfd_create: 279,
  bpf: 280,
  fsopen: 430,
  fsconfig: 431,
  fsmount: 432,
  move_mount: 429,
  pidfd_open: 434,
  pidfd_getfd: 438,
};

/** This machine's numbers. */
export const NR: Readonly<Record<SyscallName, number>> = process.arch === "arm64" ? ARM64 : X64;

/** @throws UnsupportedError on an architecture whose numbers are not in the table. */
export function checkArch(): void {
  if (process.arch !== "x64" && process.arch !== "arm64") {
    throw new UnsupportedError("arch", `the linux target knows x64 and arm64, this is ${process.arch}`);
  }
}
