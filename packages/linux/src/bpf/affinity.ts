/** Where the calling thread runs. */
import { scratch } from "../mem/index.ts";
import { check, NR, syscall } from "../sys/index.ts";

/**
 * Keeps the calling thread on one CPU, so that test runs always meet the same per-CPU values.
 * @throws SysError EINVAL when there is no such CPU.
 */
export function pinToCpu(cpu: number): void {
  scratch((memory) => {
    const mask = memory.take(1024);
    mask.bytes[cpu >> 3] = 1 << (cpu & 7);
    check("sched_setaffinity", syscall(NR.sched_setaffinity, 0, mask.bytes.length, mask.address), `cpu ${cpu}`);
  });
}
