/**
 * Reading memory that may not be there. The kernel's memory is the machine's, and there is no user memory.
 * Source: kernel/trace/bpf_trace.c 6.18 `bpf_probe_read_*`.
 */
import { Errno } from "../../errors/index.ts";
import { NULL_GUARD } from "../../mem/index.ts";
import { type Env, type HelperImpl, helper } from "../env.ts";
import { dynptrAt, writeDynptr } from "./dynptr.ts";

/** @param error what an address that is not there answers: reads of kernel memory say ERANGE, others EFAULT. */
const read = (error: number): HelperImpl =>
  helper("iiw", "i", (env, dst, size, address, high) => {
    const { u8 } = env.memory;
    const from = address >>> 0;
    const n = size >>> 0;
    if (!isThere(env, from, high, n)) return fail(env, dst, n, error);
    u8.copyWithin(dst >>> 0, from, from + n);
    return 0;
  });

/** Up to a NUL, which is always there: answers the bytes copied, NUL included. */
const readString = (error: number): HelperImpl =>
  helper("iiw", "i", (env, dst, size, address, high) => {
    const { u8 } = env.memory;
    const from = address >>> 0;
    const n = size >>> 0;
    if (n === 0) return 0;
    if (!isThere(env, from, high, 1)) return fail(env, dst, n, error);
    const out = dst >>> 0;
    let i = 0;
    for (; i < n - 1 && from + i < u8.length && u8[from + i] !== 0; i++) u8[out + i] = u8[from + i]!;
    u8[out + i] = 0;
    return i + 1;
  });

const nowhere = helper("iiw", "i", (env, dst, size) => fail(env, dst, size >>> 0, Errno.EFAULT));

export const PROBE_HELPERS: readonly (readonly [number, HelperImpl])[] = [
  /* probe_read */ [4, read(Errno.EFAULT)],
  /* probe_read_str */ [45, readString(Errno.EFAULT)],
  /* probe_read_user */ [112, nowhere],
  /* probe_read_kernel */ [113, read(Errno.ERANGE)],
  /* probe_read_user_str */ [114, nowhere],
  /* probe_read_kernel_str */ [115, readString(Errno.ERANGE)],
];

/** Reads into a dynptr: what is there, up to `size` bytes. Source: kernel/trace/bpf_trace.c `__bpf_dynptr_copy*`. */
function intoDynptr(impl: HelperImpl): HelperImpl {
  return helper("iiiw", "i", (env, ptr, offset, size, low, high) => {
    const n = size >>> 0;
    const d = dynptrAt(env, ptr);
    if (!d) return -Errno.EINVAL;
    const at = env.memory.tryAlloc(Math.max(1, n));
    if (!at) return -Errno.ENOMEM;
    const answer = impl.fn(env, at, size, low, high);
    const written = answer < 0 ? answer : writeDynptr(env, ptr, offset, at, n, 0, 0);
    env.memory.free(at);
    return written < 0 ? written : answer;
  });
}

export const PROBE_KFUNCS: readonly (readonly [string, HelperImpl])[] = [
  ["bpf_probe_read_kernel_dynptr", intoDynptr(read(Errno.ERANGE))],
  ["bpf_probe_read_kernel_str_dynptr", intoDynptr(readString(Errno.ERANGE))],
  ["bpf_probe_read_user_dynptr", intoDynptr(nowhere)],
  ["bpf_probe_read_user_str_dynptr", intoDynptr(nowhere)],
  ["bpf_copy_from_user_dynptr", intoDynptr(nowhere)],
  ["bpf_copy_from_user_str_dynptr", intoDynptr(nowhere)],
  ["bpf_copy_from_user_str", helper("iiw", "i", (env, dst, size) => fail(env, dst, size >>> 0, Errno.EFAULT))],
];

function isThere(env: Env, address: number, high: number, size: number): boolean {
  return high === 0 && address >= NULL_GUARD && address + size <= env.memory.size;
}

function fail(env: Env, dst: number, size: number, error: number): number {
  env.memory.u8.fill(0, dst >>> 0, (dst >>> 0) + size);
  return -error;
}
