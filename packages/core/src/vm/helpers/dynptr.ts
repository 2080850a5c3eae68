/**
 * Dynptrs: 16 bytes on the program's stack that stand for a range of memory or of a packet. Ours hold an address, a
 * kind, the size with a read-only bit, and an offset, 32 bits each; programs treat them as opaque.
 * Source: kernel/bpf/helpers.c 6.18 `bpf_dynptr_*`.
 */
import { Errno } from "../../errors/index.ts";
import { ProgType } from "../../object/index.ts";
import { type Env, type HelperFactory, type HelperImpl, helper } from "../env.ts";
import { SKB } from "../layout.ts";
import { get, skbLoadBytes, skbStoreBytes } from "./skb.ts";
import { bufferLength, copyXdpBytes, pullXdpData } from "./xdp.ts";

const DATA = 0;
const KIND = 4;
const SIZE = 8;
const OFFSET = 12;
const READ_ONLY = 0x80000000;
/** Bytes that a dynptr can stand for. Source: DYNPTR_MAX_SIZE. */
export const MAX_DYNPTR = (1 << 24) - 1;

export const DYNPTR = { LOCAL: 1, RINGBUF: 2, SKB: 3, XDP: 4, SKB_META: 5 } as const;

export const DYNPTR_HELPERS: readonly (readonly [number, HelperImpl])[] = [
  /* dynptr_from_mem(data, size, flags, ptr) */ [
    197,
    helper("iiwi", "i", (env, data, size, flags, flagsHi, ptr) => {
      const error = size >>> 0 > MAX_DYNPTR ? -Errno.E2BIG : flags | flagsHi ? -Errno.EINVAL : 0;
      if (error) clearDynptr(env, ptr);
      else setDynptr(env, ptr, DYNPTR.LOCAL, data, size, false);
      return error;
    }),
  ],
  /* dynptr_read(dst, len, src, offset, flags) */ [201, helper("iiiiw", "i", read)],
  /* dynptr_write(dst, offset, src, len, flags) */ [202, helper("iiiiw", "i", writeDynptr)],
  /* dynptr_data(ptr, offset, len) */ [
    203,
    helper("iii", "u", (env, ptr, offset, length) => {
      const d = dynptrAt(env, ptr);
      if (!d || d.readOnly || !inRange(d, offset, length)) return 0;
      if (d.kind === DYNPTR.SKB || d.kind === DYNPTR.XDP) return 0;
      return env.grant(d.data + d.offset + (offset >>> 0), length >>> 0, "dynptr data", true);
    }),
  ],
];

/** Of the types that have an skb. Others get dynptrs for reading. Source: `may_access_direct_pkt_data`, `specialize_kfunc`. */
const WRITES_PACKETS: ReadonlySet<number> = new Set([
  ProgType.BPF_PROG_TYPE_SCHED_CLS,
  ProgType.BPF_PROG_TYPE_SCHED_ACT,
  ProgType.BPF_PROG_TYPE_LWT_XMIT,
  ProgType.BPF_PROG_TYPE_SK_SKB,
]);

export const DYNPTR_KFUNCS: readonly (readonly [string, HelperImpl | HelperFactory])[] = [
  [
    "bpf_dynptr_from_skb",
    ({ progType }) => {
      const readOnly = !WRITES_PACKETS.has(progType);
      return helper("iwi", "i", (env, ...a) => fromPacket(env, DYNPTR.SKB, a, readOnly));
    },
  ],
  ["bpf_dynptr_from_xdp", helper("iwi", "i", (env, ...a) => fromPacket(env, DYNPTR.XDP, a))],
  [
    /* (skb, flags, ptr): the metadata in front of the packet */
    "bpf_dynptr_from_skb_meta",
    helper("iwi", "i", (env, skb, flags, flagsHi, ptr) => {
      if (flags | flagsHi) {
        clearDynptr(env, ptr);
        return -Errno.EINVAL;
      }
      const meta = get(env, skb, SKB.DATA_META);
      setDynptr(env, ptr, DYNPTR.SKB_META, meta, get(env, skb, SKB.DATA) - meta, false);
      return 0;
    }),
  ],
  ["bpf_dynptr_copy", helper("iiiii", "i", copy)],
  ["bpf_dynptr_memset", helper("iiii", "i", set)],
  ["bpf_xdp_pull_data", helper("ii", "i", pullXdpData)],
  ["bpf_dynptr_slice", helper("iiii", "u", (env, ...a) => slice(env, false, a))],
  ["bpf_dynptr_slice_rdwr", helper("iiii", "u", (env, ...a) => slice(env, true, a))],
  [
    "bpf_dynptr_adjust",
    helper("iii", "i", (env, ptr, start, end) => {
      const d = dynptrAt(env, ptr);
      if (!d || start >>> 0 > end >>> 0) return -Errno.EINVAL;
      if (start >>> 0 > d.size || end >>> 0 > d.size) return -Errno.ERANGE;
      setDynptr(env, ptr, d.kind, d.data, (end - start) >>> 0, d.readOnly, d.offset + (start >>> 0));
      return 0;
    }),
  ],
  ["bpf_dynptr_is_null", helper("i", "u", (env, ptr) => (dynptrAt(env, ptr) ? 0 : 1))],
  ["bpf_dynptr_is_rdonly", helper("i", "u", (env, ptr) => (dynptrAt(env, ptr)?.readOnly ? 1 : 0))],
  ["bpf_dynptr_size", helper("i", "i", (env, ptr) => dynptrAt(env, ptr)?.size ?? -Errno.EINVAL)],
  [
    "bpf_dynptr_clone",
    helper("ii", "i", (env, ptr, clone) => {
      const d = dynptrAt(env, ptr);
      if (!d) {
        clearDynptr(env, clone);
        return -Errno.EINVAL;
      }
      setDynptr(env, clone, d.kind, d.data, d.size, d.readOnly, d.offset);
      return 0;
    }),
  ],
];

interface Dynptr {
  readonly data: number;
  readonly kind: number;
  readonly size: number;
  readonly readOnly: boolean;
  readonly offset: number;
}

export function setDynptr(
  env: Env,
  ptr: number,
  kind: number,
  data: number,
  size: number,
  readOnly: boolean,
  offset = 0,
): void {
  const { view } = env.memory;
  view.setInt32((ptr >>> 0) + DATA, data, true);
  view.setInt32((ptr >>> 0) + KIND, kind, true);
  view.setInt32((ptr >>> 0) + SIZE, readOnly ? size | READ_ONLY : size, true);
  view.setInt32((ptr >>> 0) + OFFSET, offset, true);
}

export function clearDynptr(env: Env, ptr: number): void {
  env.memory.u8.fill(0, ptr >>> 0, (ptr >>> 0) + 16);
}

export function dynptrAt(env: Env, ptr: number): Dynptr | undefined {
  const { view } = env.memory;
  const at = ptr >>> 0;
  const data = view.getUint32(at + DATA, true);
  if (!data) return undefined;
  const size = view.getUint32(at + SIZE, true);
  return {
    data,
    kind: view.getUint32(at + KIND, true),
    size: size & MAX_DYNPTR,
    readOnly: (size & READ_ONLY) !== 0,
    offset: view.getUint32(at + OFFSET, true),
  };
}

function inRange(d: Dynptr, offset: number, length: number): boolean {
  return length >>> 0 <= d.size && offset >>> 0 <= d.size - (length >>> 0);
}

function read(
  env: Env,
  dst: number,
  length: number,
  src: number,
  offset: number,
  flags: number,
  flagsHi: number,
): number {
  const d = dynptrAt(env, src);
  if (!d || flags | flagsHi) return -Errno.EINVAL;
  if (!inRange(d, offset, length)) return -Errno.E2BIG;
  const at = d.offset + (offset >>> 0);
  if (d.kind === DYNPTR.SKB) return skbLoadBytes(env, d.data, at, dst, length);
  if (d.kind === DYNPTR.XDP) return copyXdpBytes(env, d.data, at, dst, length, false);
  env.memory.u8.copyWithin(dst >>> 0, d.data + at, d.data + at + (length >>> 0));
  return 0;
}

export function writeDynptr(
  env: Env,
  dst: number,
  offset: number,
  src: number,
  length: number,
  flags: number,
  flagsHi: number,
): number {
  const d = dynptrAt(env, dst);
  if (!d || d.readOnly) return -Errno.EINVAL;
  if (!inRange(d, offset, length)) return -Errno.E2BIG;
  const at = d.offset + (offset >>> 0);
  if (d.kind === DYNPTR.SKB) return skbStoreBytes(env, d.data, at, src, length, flags, flagsHi);
  if (flags | flagsHi) return -Errno.EINVAL;
  if (d.kind === DYNPTR.XDP) return copyXdpBytes(env, d.data, at, src, length, true);
  env.memory.u8.copyWithin(d.data + at, src >>> 0, (src >>> 0) + (length >>> 0));
  return 0;
}

function fromPacket(env: Env, kind: number, a: readonly number[], readOnly = false): number {
  const [ctx, flags, flagsHi, ptr] = a as [number, number, number, number];
  if (flags | flagsHi) {
    clearDynptr(env, ptr);
    return -Errno.EINVAL;
  }
  const size = kind === DYNPTR.SKB ? env.memory.view.getUint32(ctx + SKB.LEN, true) : bufferLength(env, ctx);
  setDynptr(env, ptr, kind, ctx, size, readOnly);
  return 0;
}

/** Copies between two dynptrs, over a buffer where one of them is a packet. */
function copy(env: Env, dst: number, dstOffset: number, src: number, srcOffset: number, size: number): number {
  const [to, from] = [dynptrAt(env, dst), dynptrAt(env, src)];
  if (!to || !from) return -Errno.EINVAL;
  if (!inRange(to, dstOffset, size) || !inRange(from, srcOffset, size)) return -Errno.E2BIG;
  if (to.readOnly) return -Errno.EINVAL;
  const n = size >>> 0;
  const buffer = env.memory.tryAlloc(Math.max(1, n));
  if (!buffer) return -Errno.ENOMEM;
  const error = read(env, buffer, n, src, srcOffset, 0, 0) || writeDynptr(env, dst, dstOffset, buffer, n, 0, 0);
  env.memory.free(buffer);
  return error;
}

function set(env: Env, ptr: number, offset: number, size: number, value: number): number {
  const d = dynptrAt(env, ptr);
  if (!d || d.readOnly) return -Errno.EINVAL;
  if (!inRange(d, offset, size)) return -Errno.E2BIG;
  const n = size >>> 0;
  const buffer = env.memory.tryAlloc(Math.max(1, n));
  if (!buffer) return -Errno.ENOMEM;
  env.memory.u8.fill(value & 0xff, buffer, buffer + n);
  const error = writeDynptr(env, ptr, offset, buffer, n, 0, 0);
  env.memory.free(buffer);
  return error;
}

/** A pointer straight into the memory where it is linear; else `buffer`, filled with a copy. */
function slice(env: Env, write: boolean, a: readonly number[]): number {
  const [ptr, offset, buffer, length] = a as [number, number, number, number];
  const d = dynptrAt(env, ptr);
  if (!d || (write && d.readOnly) || !inRange(d, offset, length)) return 0;
  const at = d.offset + (offset >>> 0);
  const { view } = env.memory;
  if (d.kind === DYNPTR.SKB || d.kind === DYNPTR.XDP) {
    const data = view.getUint32(d.data + (d.kind === DYNPTR.SKB ? SKB.DATA : 0), true);
    const end = view.getUint32(d.data + (d.kind === DYNPTR.SKB ? SKB.DATA_END : 4), true);
    if (data + at + length <= end) return env.grant(data + at, length, "dynptr slice", write);
    if (!buffer) return 0;
    const error =
      d.kind === DYNPTR.SKB
        ? skbLoadBytes(env, d.data, at, buffer, length)
        : copyXdpBytes(env, d.data, at, buffer, length, false);
    return error ? 0 : buffer;
  }
  return env.grant(d.data + at, length, "dynptr slice", write);
}
