/** Resource limits of this process. Source: prlimit(2). */
import { check, NR, syscall } from "../sys/index.ts";
import { scratch } from "./scratch.ts";

const RLIMIT_MEMLOCK = 8;

/** `RLIM_INFINITY` */
const UNLIMITED = 0xffff_ffff_ffff_ffffn;

function limits(): { readonly soft: bigint; readonly hard: bigint } {
  return scratch((memory) => {
    const limit = memory.take(16);
    check("prlimit", syscall(NR.prlimit64, 0, RLIMIT_MEMLOCK, 0, limit.address));
    return { soft: limit.view.getBigUint64(0, true), hard: limit.view.getBigUint64(8, true) };
  });
}

function set(both: bigint): boolean {
  return scratch((memory) => {
    const limit = memory.take(16);
    limit.view.setBigUint64(0, both, true);
    limit.view.setBigUint64(8, both, true);
    return syscall(NR.prlimit64, 0, RLIMIT_MEMLOCK, limit.address, 0) === 0;
  });
}

/** Bytes that this process may lock in memory; Infinity without limit. */
export function memlockLimit(): number {
  const { soft } = limits();
  return soft === UNLIMITED ? Number.POSITIVE_INFINITY : Number(soft);
}

/**
 * Lets this process lock as much memory as it may: kernels before 5.11 charge maps and programs to that limit, and answer
 * EPERM when it is reached. @returns whether the limit rose.
 */
export function raiseMemlock(): boolean {
  const { soft, hard } = limits();
  if (soft === UNLIMITED) return false;
  return set(UNLIMITED) || (soft < hard && set(hard));
}
