/** Resource limits of this process. Source: prlimit(2). */
import { check, NR, syscall } from "../sys/index.ts";
import { scratch } from "./scratch.ts";

const RLIMIT_MEMLOCK = 8;

/** Bytes that this process may lock in memory; Infinity without limit. */
export function memlockLimit(): number {
  return scratch((memory) => {
    const limit = memory.take(16);
    check("prlimit", syscall(NR.prlimit64, 0, RLIMIT_MEMLOCK, 0, limit.address));
    const soft = limit.view.getBigUint64(0, true);
    return soft === 0xffff_ffff_ffff_ffffn ? Number.POSITIVE_INFINITY : Number(soft);
  });
}
