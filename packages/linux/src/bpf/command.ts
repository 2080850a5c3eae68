/**
 * bpf(2) itself: command numbers and the one attr block that every command fills. A call is synchronous and the kernel
 * keeps no pointer to the attr, so reuse is safe; commands write every field up to the size they pass.
 * Source: include/uapi/linux/bpf.h `enum bpf_cmd`, `union bpf_attr`.
 */
import { Errno } from "@ebplane/core/errors";
import { allocBlock, type Block, raiseMemlock } from "../mem/index.ts";
import { NR, syscall } from "../sys/index.ts";
import { chargesMemlock } from "./memlock.ts";

export const Cmd = {
  MAP_CREATE: 0,
  MAP_LOOKUP_ELEM: 1,
  MAP_UPDATE_ELEM: 2,
  MAP_DELETE_ELEM: 3,
  MAP_GET_NEXT_KEY: 4,
  PROG_LOAD: 5,
  OBJ_PIN: 6,
  OBJ_GET: 7,
  PROG_ATTACH: 8,
  PROG_DETACH: 9,
  PROG_TEST_RUN: 10,
  PROG_GET_NEXT_ID: 11,
  MAP_GET_NEXT_ID: 12,
  PROG_GET_FD_BY_ID: 13,
  MAP_GET_FD_BY_ID: 14,
  OBJ_GET_INFO_BY_FD: 15,
  PROG_QUERY: 16,
  RAW_TRACEPOINT_OPEN: 17,
  BTF_LOAD: 18,
  BTF_GET_FD_BY_ID: 19,
  TASK_FD_QUERY: 20,
  MAP_LOOKUP_AND_DELETE_ELEM: 21,
  MAP_FREEZE: 22,
  BTF_GET_NEXT_ID: 23,
  MAP_LOOKUP_BATCH: 24,
  MAP_LOOKUP_AND_DELETE_BATCH: 25,
  MAP_UPDATE_BATCH: 26,
  MAP_DELETE_BATCH: 27,
  LINK_CREATE: 28,
  LINK_UPDATE: 29,
  LINK_GET_FD_BY_ID: 30,
  LINK_GET_NEXT_ID: 31,
  ENABLE_STATS: 32,
  ITER_CREATE: 33,
  LINK_DETACH: 34,
  PROG_BIND_MAP: 35,
  TOKEN_CREATE: 36,
} as const;

const NAMES = new Map<number, string>(Object.entries(Cmd).map(([name, n]) => [n, name]));

/** Larger than any `union bpf_attr` so far (168 bytes in 6.18). */
const ATTR_SIZE = 256;

/** In the flags of a command that comes with a token's fd. */
export const BPF_F_TOKEN_FD = 1 << 16;

let block: Block | undefined;

/** The shared attr, its first `size` bytes zeroed. Fill it and call `bpf` before any other command. */
export function attr(size: number): DataView {
  block ??= allocBlock(ATTR_SIZE);
  block.bytes.fill(0, 0, size);
  return block.view;
}

/** Commands whose objects kernels before 5.11 charge to RLIMIT_MEMLOCK. */
const CHARGED: ReadonlySet<number> = new Set([Cmd.MAP_CREATE, Cmd.PROG_LOAD, Cmd.BTF_LOAD]);

/**
 * Runs a command on the attr just filled; once more where an old kernel's limit of locked memory may have been what
 * refused it, and could be lifted. @returns its result (often an fd), or `-errno`.
 */
export function bpf(cmd: number, size: number): number {
  block ??= allocBlock(ATTR_SIZE);
  const result = syscall(NR.bpf, cmd, block.address, size);
  if (result !== -Errno.EPERM || !CHARGED.has(cmd) || !chargesMemlock() || !raiseMemlock()) return result;
  return syscall(NR.bpf, cmd, block.address, size);
}

/** What errors call a command: `bpf(MAP_CREATE)`. */
export function cmdName(cmd: number): string {
  return `bpf(${NAMES.get(cmd) ?? cmd})`;
}

/** A kernel object name from any text: at most 15 of letters, digits, `_` and `.`; other characters become `_`. */
export function objectName(name: string): string {
  return name.replace(/[^A-Za-z0-9_.]/g, "_").slice(0, 15);
}

/** Writes an object name, NUL-padded to 16 bytes. */
export function setName(view: DataView, at: number, name: string): void {
  const text = objectName(name);
  for (let i = 0; i < text.length; i++) view.setUint8(at + i, text.charCodeAt(i));
}
