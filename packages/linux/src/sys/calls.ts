/** The system calls that need no memory of ours: fds, namespaces, mappings. Each answers `-errno` on failure. */
import { readFileSync } from "node:fs";
import { viewOf } from "@ebplane/core/bytes";
import { syscall } from "./native.ts";
import { NR } from "./numbers.ts";

export const CLONE_NEWNS = 0x20000;
export const CLONE_FS = 0x200;
export const CLONE_NEWNET = 0x40000000;

export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const MAP_SHARED = 0x01;
export const MAP_PRIVATE = 0x02;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS = 0x20;
export const MAP_NORESERVE = 0x4000;
export const MAP_POPULATE = 0x8000;

/** Closes an fd that koffi calls or this package opened (not one of `node:fs`). Closing is never retried. */
export function close(fd: number): number {
  return syscall(NR.close, fd);
}

export function mmap(address: number, length: number, prot: number, flags: number, fd: number, offset: number): number {
  return syscall(NR.mmap, address, length, prot, flags, fd, offset);
}

/** Only for ranges that no view was ever made of: see mem/region.ts. */
export function munmap(address: number, length: number): number {
  return syscall(NR.munmap, address, length);
}

export function setns(fd: number, type: number): number {
  return syscall(NR.setns, fd, type);
}

export function unshare(flags: number): number {
  return syscall(NR.unshare, flags);
}

/** The kernel's thread id of the calling thread. */
export function gettid(): number {
  return syscall(NR.gettid);
}

/** Bytes of a page: 4096 on x86-64; 4096, 16384 or 65536 on arm64. */
export const PAGE_SIZE = pageSize();

function pageSize(): number {
  const AT_PAGESZ = 6;
  try {
    const view = viewOf(readFileSync("/proc/self/auxv"));
    for (let at = 0; at + 16 <= view.byteLength; at += 16) {
      if (view.getUint32(at, true) === AT_PAGESZ) return view.getUint32(at + 8, true);
    }
  } catch {
    // Not Linux, or no /proc: the number is not used then, or is right nearly everywhere.
  }
  return 4096;
}

/** Blocks the calling thread: only for waits of milliseconds that have no event to wait for. */
export function sleep(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}
