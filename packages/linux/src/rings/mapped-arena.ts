/**
 * An arena as userspace has it: its pages at one address for all, where programs' pointers between them point. A page
 * that nobody has allocated comes to be by being touched, unless the arena has BPF_F_SEGV_ON_FAULT.
 *
 * Bytes are copied by the kernel (`/proc/self/mem`) and no view is ever made: a page that is not there, or a mapping
 * that is gone, is an error and not the process's end.
 * Source: kernel/bpf/arena.c `arena_map_mmap`, `arena_get_unmapped_area`, `arena_vm_fault`.
 */
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { Errno } from "@ebplane/core/errors";
import { ARENA_PAGE, checkArenaRange, MapType } from "@ebplane/core/object";
import type { LinuxMap } from "../bpf/index.ts";
import { check, MAP_SHARED, mmap, munmap, PROT_READ, PROT_WRITE, sysError } from "../sys/index.ts";

type Copy = (fd: number, bytes: Uint8Array, offset: number, length: number, position: number) => number;

export class MappedArena {
  /** Address of the first page, in this process and in the pointers that programs hand out. */
  readonly userStart: bigint;
  readonly #map: LinuxMap;
  readonly #address: number;
  readonly #length: number;
  #memory: number;

  /**
   * Maps it where its `mapExtra` says, or where the kernel likes; an arena without `mapExtra` takes programs only once it is
   * mapped. The map stays the caller's and may be closed before.
   * @throws SysError EINVAL for one that another process has elsewhere, TypeError for another type of map.
   */
  constructor(map: LinuxMap) {
    const { type, name, maxEntries, mapExtra = 0n } = map.spec;
    if (type !== MapType.BPF_MAP_TYPE_ARENA) throw new TypeError(`map ${name}: expected an arena`);
    this.#map = map;
    this.#length = maxEntries * ARENA_PAGE;
    // A hint, not MAP_FIXED: that would replace whatever of ours lies there.
    const got = mmap(Number(mapExtra), this.#length, PROT_READ | PROT_WRITE, MAP_SHARED, map.fd, 0);
    this.#address = check("mmap", got, `arena ${name}`);
    if (mapExtra && got !== Number(mapExtra)) {
      munmap(got, this.#length);
      throw sysError(
        "mmap",
        Errno.EEXIST,
        `arena ${name}: its place 0x${mapExtra.toString(16)} is taken in this process`,
      );
    }
    this.userStart = BigInt(this.#address);
    this.#memory = openSync("/proc/self/mem", "r+");
  }

  /** A copy of `length` bytes from byte `offset` of the arena on. @throws RangeError outside. */
  readBytes(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    this.#copy(readSync, offset, bytes);
    return bytes;
  }

  /** @throws RangeError outside. */
  writeBytes(offset: number, bytes: Uint8Array): void {
    this.#copy(writeSync, offset, bytes);
  }

  #copy(copy: Copy, offset: number, bytes: Uint8Array): void {
    const { spec } = this.#map;
    if (this.#memory < 0) throw new TypeError(`mapped arena ${spec.name}: is closed`);
    checkArenaRange(spec, offset, bytes.length);
    let done = 0;
    try {
      while (done < bytes.length) {
        const count = copy(this.#memory, bytes, done, bytes.length - done, this.#address + offset + done);
        if (count <= 0) break;
        done += count;
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EIO") throw error;
    }
    if (done === bytes.length) return;
    const page = Math.floor((offset + done) / ARENA_PAGE);
    throw new RangeError(`arena ${spec.name}: page ${page} is not allocated`);
  }

  close(): void {
    if (this.#memory < 0) return;
    closeSync(this.#memory);
    this.#memory = -1;
    munmap(this.#address, this.#length);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
