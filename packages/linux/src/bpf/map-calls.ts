/**
 * Map commands of bpf(2), one function each, on fds and addresses. Those that are called per element answer `-errno`;
 * the others throw. Nothing here knows what a key means: see map.ts.
 * Source: include/uapi/linux/bpf.h `union bpf_attr`.
 */
import { setPointer } from "../mem/index.ts";
import { check } from "../sys/index.ts";
import { attr, BPF_F_TOKEN_FD, bpf, Cmd, cmdName, setName } from "./command.ts";

/** Arguments of MAP_CREATE; absent fields are 0. */
export interface MapCreate {
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly name?: string;
  readonly flags?: number;
  readonly innerMapFd?: number;
  /** With BPF_F_NUMA_NODE. */
  readonly numaNode?: number;
  readonly mapExtra?: bigint;
  readonly btfFd?: number;
  readonly btfKeyTypeId?: number;
  readonly btfValueTypeId?: number;
  /** For struct_ops: the BTF id of the `bpf_struct_ops_*` value type in vmlinux. */
  readonly btfVmlinuxValueTypeId?: number;
  /** With `BPF_F_VTYPE_BTF_OBJ_FD` (Linux 6.9): the module's BTF object that has that type. */
  readonly valueTypeBtfFd?: number;
  readonly tokenFd?: number;
}

/** @returns the new map's fd, or `-errno`. */
export function tryMapCreate(map: MapCreate): number {
  const size = 80;
  const a = attr(size);
  a.setUint32(0, map.type, true);
  a.setUint32(4, map.keySize, true);
  a.setUint32(8, map.valueSize, true);
  a.setUint32(12, map.maxEntries, true);
  a.setUint32(16, (map.flags ?? 0) | (map.tokenFd === undefined ? 0 : BPF_F_TOKEN_FD), true);
  a.setUint32(20, map.innerMapFd ?? 0, true);
  a.setUint32(24, map.numaNode ?? 0, true);
  setName(a, 28, map.name ?? "");
  a.setUint32(48, map.btfFd ?? 0, true);
  a.setUint32(52, map.btfKeyTypeId ?? 0, true);
  a.setUint32(56, map.btfValueTypeId ?? 0, true);
  a.setUint32(60, map.btfVmlinuxValueTypeId ?? 0, true);
  a.setBigUint64(64, map.mapExtra ?? 0n, true);
  a.setUint32(72, map.valueTypeBtfFd ?? 0, true);
  a.setUint32(76, map.tokenFd ?? 0, true);
  return bpf(Cmd.MAP_CREATE, size);
}

/** @returns the new map's fd. @throws SysError with the kernel's answer. */
export function mapCreate(map: MapCreate): number {
  return check(cmdName(Cmd.MAP_CREATE), tryMapCreate(map), map.name);
}

/**
 * LOOKUP, UPDATE, DELETE, LOOKUP_AND_DELETE or GET_NEXT_KEY on one element.
 * `key` is 0 (NULL) for types without one and for the first GET_NEXT_KEY; `value` is where the next key goes there.
 */
export function mapElem(cmd: number, fd: number, key: number, value: number, flags: number): number {
  const a = attr(32);
  a.setUint32(0, fd, true);
  setPointer(a, 8, key);
  setPointer(a, 16, value);
  a.setUint32(24, flags, true);
  return bpf(cmd, 32);
}

/** One batch command; `count` elements at most. @returns the result and how many elements were done. */
export function mapBatch(
  cmd: number,
  batch: {
    readonly fd: number;
    /** Cursors; 0 to start. */
    readonly inBatch: number;
    readonly outBatch: number;
    readonly keys: number;
    readonly values: number;
    readonly count: number;
    readonly elemFlags?: number;
  },
): { result: number; count: number } {
  const a = attr(56);
  setPointer(a, 0, batch.inBatch);
  setPointer(a, 8, batch.outBatch);
  setPointer(a, 16, batch.keys);
  setPointer(a, 24, batch.values);
  a.setUint32(32, batch.count, true);
  a.setUint32(36, batch.fd, true);
  a.setUint32(40, batch.elemFlags ?? 0, true);
  const result = bpf(cmd, 56);
  return { result, count: a.getUint32(32, true) };
}

/** Makes a map read-only from userspace, for good. */
export function mapFreeze(fd: number): void {
  attr(4).setUint32(0, fd, true);
  check(cmdName(Cmd.MAP_FREEZE), bpf(Cmd.MAP_FREEZE, 4));
}
