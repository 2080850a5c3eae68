/**
 * Mapped memory with stable addresses that may be looked at from JavaScript.
 *
 * Reading a view after munmap is a SIGSEGV, not an exception, and a view of foreign memory cannot be detached. So a
 * range that was ever looked at is never unmapped: releasing it puts fresh anonymous pages in its place (the kernel
 * object that was mapped there is let go, stale views read zeros) and keeps range and view for the next mapping of
 * the same length. The number of mappings is then bounded by the largest number alive at once.
 */
import { constants } from "node:buffer";
import { Errno } from "@ebplane/core/errors";
import {
  check,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  mmap,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
  sysError,
} from "../sys/index.ts";
import { viewMemory } from "../sys/native.ts";

/**
 * A mapped range. `buffer` is the memory itself; writing to it where `prot` had no PROT_WRITE kills the process. Ranges
 * for reading are therefore kept apart for good: a forgotten view of a writable range must never find itself in one.
 */
export interface Region {
  readonly readOnly: boolean;
  readonly address: number;
  readonly length: number;
  readonly buffer: ArrayBuffer;
}

/** By length, for writing and for reading only. */
const idle = { writable: new Map<number, Region[]>(), readOnly: new Map<number, Region[]>() };

/** Anonymous zeroed memory, readable and writable. `length` is rounded up to pages. */
export function mapAnonymous(length: number): Region {
  return take(length, false);
}

function take(length: number, readOnly: boolean): Region {
  const size = roundToPages(length);
  const region = idle[readOnly ? "readOnly" : "writable"].get(size)?.pop();
  if (region) return region;
  // A longer view is no exception but the end of the process.
  if (size > constants.MAX_LENGTH)
    throw sysError("mmap", Errno.ENOMEM, `${size} bytes, at most ${constants.MAX_LENGTH}`);
  const address = check("mmap", mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  return { address, length: size, readOnly, buffer: viewMemory(address, size) };
}

/**
 * Maps an fd. @throws SysError with the kernel's answer; nothing is mapped then.
 * `prot` and `flags` as for mmap(2), without MAP_FIXED.
 */
export function mapFd(fd: number, length: number, offset: number, prot: number, flags: number): Region {
  const region = take(length, !(prot & PROT_WRITE));
  const result = mmap(region.address, region.length, prot, flags | MAP_FIXED, fd, offset);
  if (result < 0) {
    // A failed MAP_FIXED may have unmapped what stood there.
    releaseRegion(region);
    check("mmap", result);
  }
  return region;
}

/** Lets go of what is mapped and keeps the range for later. The region must not be used afterwards. */
export function releaseRegion(region: Region): void {
  const { address, length, readOnly } = region;
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  check("mmap", mmap(address, length, PROT_READ | PROT_WRITE, flags, -1, 0));
  const lists = idle[readOnly ? "readOnly" : "writable"];
  const list = lists.get(length);
  if (list) list.push(region);
  else lists.set(length, [region]);
}

function roundToPages(length: number): number {
  return Math.max(1, Math.ceil(length / PAGE_SIZE)) * PAGE_SIZE;
}
