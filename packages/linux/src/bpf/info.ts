/**
 * What the kernel says about its objects: info of programs, maps, links and BTF, walks over ids, fds from ids.
 * Source: include/uapi/linux/bpf.h `struct bpf_prog_info`, `bpf_map_info`, `bpf_link_info`, `bpf_btf_info`.
 */
import { Errno } from "@ebplane/core/errors";
import { type Block, scratch, setPointer } from "../mem/index.ts";
import { check, sysError } from "../sys/index.ts";
import { attr, bpf, Cmd, cmdName } from "./command.ts";

export interface ProgInfo {
  readonly type: number;
  readonly id: number;
  /** 8 bytes as hex: the hash of the code that bpftool prints as `tag`. */
  readonly tag: string;
  readonly name: string;
  readonly jitedLen: number;
  readonly xlatedLen: number;
  /** Nanoseconds since boot. */
  readonly loadTime: bigint;
  readonly uid: number;
  readonly ifindex: number;
  readonly gplCompatible: boolean;
  readonly btfId: number;
  /** With run statistics on (`enableStats`): nanoseconds and runs so far. */
  readonly runTimeNs: bigint;
  readonly runCount: bigint;
  readonly recursionMisses: bigint;
  readonly verifiedInsns: number;
  readonly mapIds: readonly number[];
}

export interface MapInfo {
  readonly type: number;
  readonly id: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
  readonly name: string;
  readonly ifindex: number;
  readonly btfId: number;
  readonly btfKeyTypeId: number;
  readonly btfValueTypeId: number;
  readonly mapExtra: bigint;
}

/** What all links have; `data` holds the type-specific part (from byte 16 of the struct), see link/info.ts. */
export interface LinkInfo {
  readonly type: number;
  readonly id: number;
  readonly progId: number;
  readonly data: DataView;
  /** Of a tracepoint, a probe: what it is on, as far as this kernel tells (events: Linux 6.6). */
  readonly name?: string;
}

const INFO_SIZE = 256;

/** More of anything than a kernel has: a million instructions, rewritten and compiled, stay below it. */
const MAX_BYTES = 1 << 28;

/** A length or count that the kernel told, times a size. @throws SysError EBADMSG for one that cannot be. */
export function bytesTold(what: string, count: number, size: number): number {
  const bytes = count * size;
  if (bytes <= MAX_BYTES) return bytes;
  throw sysError(cmdName(Cmd.OBJ_GET_INFO_BY_FD), Errno.EBADMSG, `${what}: ${count} of ${size} bytes`);
}

/** Reads the info of the object behind `fd`: the first `size` bytes of its struct as this kernel fills them. */
function objInfo(fd: number, size: number, block: Block): number {
  return check(cmdName(Cmd.OBJ_GET_INFO_BY_FD), tryObjInfo(fd, size, block));
}

/** @returns how many bytes it told, or `-errno`. */
function tryObjInfo(fd: number, size: number, block: Block): number {
  const a = attr(16);
  a.setUint32(0, fd, true);
  a.setUint32(4, size, true);
  setPointer(a, 8, block.address);
  const result = bpf(Cmd.OBJ_GET_INFO_BY_FD, 16);
  return result < 0 ? result : a.getUint32(4, true);
}

export function progInfo(fd: number): ProgInfo {
  return scratch((memory) => {
    const block = memory.take(INFO_SIZE);
    objInfo(fd, INFO_SIZE, block);
    const v = block.view;
    const mapCount = v.getUint32(52, true);
    const mapIds: number[] = [];
    if (mapCount > 0) {
      // Asking for map ids needs a second call with room for them; everything else stays out of that one.
      const ids = memory.take(bytesTold("map ids", mapCount, 4));
      const again = memory.take(INFO_SIZE);
      again.view.setUint32(52, mapCount, true);
      setPointer(again.view, 56, ids.address);
      objInfo(fd, INFO_SIZE, again);
      const got = Math.min(mapCount, again.view.getUint32(52, true));
      for (let i = 0; i < got; i++) mapIds.push(ids.view.getUint32(i * 4, true));
    }
    return {
      type: v.getUint32(0, true),
      id: v.getUint32(4, true),
      tag: Array.from(block.bytes.slice(8, 16), (b) => b.toString(16).padStart(2, "0")).join(""),
      jitedLen: v.getUint32(16, true),
      xlatedLen: v.getUint32(20, true),
      loadTime: v.getBigUint64(40, true),
      uid: v.getUint32(48, true),
      name: cstringAt(block.bytes, 64, 16),
      ifindex: v.getUint32(80, true),
      gplCompatible: (v.getUint32(84, true) & 1) === 1,
      btfId: v.getUint32(128, true),
      runTimeNs: v.getBigUint64(192, true),
      runCount: v.getBigUint64(200, true),
      recursionMisses: v.getBigUint64(208, true),
      verifiedInsns: v.getUint32(216, true),
      mapIds,
    };
  });
}

/**
 * The program as the kernel runs it: after the verifier's rewriting, or as the JIT's machine code. Undefined when the
 * kernel hides it (no CAP_SYS_ADMIN, hardened, not compiled).
 */
export function progCode(fd: number, form: "xlated" | "jited"): Uint8Array | undefined {
  const [lengthAt, pointerAt] = form === "xlated" ? [20, 32] : [16, 24];
  return scratch((memory) => {
    const block = memory.take(INFO_SIZE);
    objInfo(fd, INFO_SIZE, block);
    const length = block.view.getUint32(lengthAt, true);
    if (length === 0) return undefined;
    const code = memory.take(bytesTold(`${form} code`, length, 1));
    block.bytes.fill(0);
    block.view.setUint32(lengthAt, length, true);
    setPointer(block.view, pointerAt, code.address);
    objInfo(fd, INFO_SIZE, block);
    // A kernel that hides it leaves the pointer NULL.
    const hidden = block.view.getBigUint64(pointerAt, true) === 0n;
    return hidden ? undefined : code.bytes.slice(0, Math.min(length, block.view.getUint32(lengthAt, true)));
  });
}

/** `bpf_line_info` records of the program as the kernel runs it; undefined where it was loaded without. */
export function progLineInfo(fd: number): { readonly recordSize: number; readonly records: Uint8Array } | undefined {
  const [countAt, pointerAt, sizeAt] = [148, 152, 172];
  return scratch((memory) => {
    const block = memory.take(INFO_SIZE);
    objInfo(fd, INFO_SIZE, block);
    const count = block.view.getUint32(countAt, true);
    const recordSize = block.view.getUint32(sizeAt, true);
    if (count === 0 || recordSize === 0) return undefined;
    const records = memory.take(bytesTold("line info", count, recordSize));
    block.bytes.fill(0);
    block.view.setUint32(countAt, count, true);
    block.view.setUint32(sizeAt, recordSize, true);
    setPointer(block.view, pointerAt, records.address);
    objInfo(fd, INFO_SIZE, block);
    const got = Math.min(count, block.view.getUint32(countAt, true));
    return got === 0 ? undefined : { recordSize, records: records.bytes.slice(0, got * recordSize) };
  });
}

export function mapInfo(fd: number): MapInfo {
  return scratch((memory) => {
    const block = memory.take(INFO_SIZE);
    objInfo(fd, INFO_SIZE, block);
    const v = block.view;
    return {
      type: v.getUint32(0, true),
      id: v.getUint32(4, true),
      keySize: v.getUint32(8, true),
      valueSize: v.getUint32(12, true),
      maxEntries: v.getUint32(16, true),
      flags: v.getUint32(20, true),
      name: cstringAt(block.bytes, 24, 16),
      ifindex: v.getUint32(40, true),
      btfId: v.getUint32(64, true),
      btfKeyTypeId: v.getUint32(68, true),
      btfValueTypeId: v.getUint32(72, true),
      mapExtra: v.getBigUint64(80, true),
    };
  });
}

export function linkInfo(fd: number): LinkInfo {
  return scratch((memory) => {
    const block = memory.take(INFO_SIZE);
    const size = objInfo(fd, INFO_SIZE, block);
    const copy = block.bytes.slice(0, Math.min(INFO_SIZE, Math.max(size, 64)));
    const type = block.view.getUint32(0, true);
    return {
      type,
      id: block.view.getUint32(4, true),
      progId: block.view.getUint32(8, true),
      data: new DataView(copy.buffer, 16),
      name: linkTargetName(fd, type, block),
    };
  });
}

/** Where in the info of a kind of link a buffer for a name is given; its length follows. */
const NAME_AT: Readonly<Record<number, number>> = { 1: 16, 7: 24 };
const LINK_NAME_MAX = 256;

function linkTargetName(fd: number, type: number, block: Block): string | undefined {
  const at = NAME_AT[type];
  if (at === undefined) return undefined;
  return scratch((memory) => {
    const name = memory.take(LINK_NAME_MAX);
    block.bytes.fill(0);
    setPointer(block.view, at, name.address);
    block.view.setUint32(at + 8, LINK_NAME_MAX, true);
    // Events that have no name refuse the buffer.
    if (tryObjInfo(fd, INFO_SIZE, block) < 0) return undefined;
    return cstringAt(name.bytes, 0, LINK_NAME_MAX) || undefined;
  });
}

const NEXT_ID = {
  prog: Cmd.PROG_GET_NEXT_ID,
  map: Cmd.MAP_GET_NEXT_ID,
  link: Cmd.LINK_GET_NEXT_ID,
  btf: Cmd.BTF_GET_NEXT_ID,
} as const;
const FD_BY_ID = {
  prog: Cmd.PROG_GET_FD_BY_ID,
  map: Cmd.MAP_GET_FD_BY_ID,
  link: Cmd.LINK_GET_FD_BY_ID,
  btf: Cmd.BTF_GET_FD_BY_ID,
} as const;

export type ObjectKind = keyof typeof NEXT_ID;

/** The ids of every object of a kind in the system, ascending. @throws SysError EPERM without CAP_SYS_ADMIN. */
export function objectIds(kind: ObjectKind): number[] {
  const cmd = NEXT_ID[kind];
  const ids: number[] = [];
  for (let id = 0; ; ) {
    const a = attr(12);
    a.setUint32(0, id, true);
    const result = bpf(cmd, 12);
    if (result === -Errno.ENOENT) return ids;
    check(cmdName(cmd), result);
    const next = a.getUint32(4, true);
    // Otherwise the walk would never end.
    if (next <= id) throw sysError(cmdName(cmd), Errno.EBADMSG, `id ${next} after ${id}`);
    id = next;
    ids.push(id);
  }
}

/**
 * A new fd of the object with this id, or undefined when it is gone, or not there yet: a link that another process is
 * making has its id before it is attached (EAGAIN; kernel/bpf/syscall.c `bpf_link_by_id`).
 */
export function fdById(kind: ObjectKind, id: number): number | undefined {
  attr(12).setUint32(0, id, true);
  const result = bpf(FD_BY_ID[kind], 12);
  return result === -Errno.ENOENT || result === -Errno.EAGAIN
    ? undefined
    : check(cmdName(FD_BY_ID[kind]), result, `id ${id}`);
}

/** Turns run statistics on until the returned fd is closed. It costs some 70 ns a run. */
export function enableStats(): number {
  attr(4);
  return check(cmdName(Cmd.ENABLE_STATS), bpf(Cmd.ENABLE_STATS, 4));
}

function cstringAt(bytes: Uint8Array, at: number, max: number): string {
  const field = bytes.slice(at, at + max);
  const end = field.indexOf(0);
  return new TextDecoder().decode(end < 0 ? field : field.subarray(0, end));
}
