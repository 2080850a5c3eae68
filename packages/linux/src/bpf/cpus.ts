/** The CPUs that per-CPU values are spread over. */
import { readFileSync } from "node:fs";

let count: number | undefined;

/** Number of *possible* CPUs, online or not: how many values a per-CPU map keeps for each key. */
export function possibleCpus(): number {
  count ??= parseCpuList(readFileSync("/sys/devices/system/cpu/possible", "latin1")).length;
  return count;
}

/** The kernel's `nr_cpu_ids`: every CPU number lies below it. */
export function cpuNumbersEnd(): number {
  return Math.max(...parseCpuList(readFileSync("/sys/devices/system/cpu/possible", "latin1"))) + 1;
}

/** The numbers of the CPUs that are online now. */
export function onlineCpus(): number[] {
  return parseCpuList(readFileSync("/sys/devices/system/cpu/online", "latin1"));
}

/** The numbers in a list as the kernel writes it: `0-3,8`. */
export function parseCpuList(text: string): number[] {
  const cpus: number[] = [];
  for (const part of text.trim().split(",")) {
    if (part === "") continue;
    const [first, last = first] = part.split("-").map(Number);
    for (let cpu = first!; cpu <= last!; cpu++) cpus.push(cpu);
  }
  return cpus;
}
