/** The CPUs that per-CPU values are spread over. */
import { readFileSync } from "node:fs";
import { BpfError } from "@ebplane/core/errors";

let count: number | undefined;

/** Number of *possible* CPUs, online or not: how many values a per-CPU map keeps for each key. */
export function possibleCpus(): number {
  count ??= readCpuList("possible").length;
  return count;
}

/** The kernel's `nr_cpu_ids`: every CPU number lies below it. */
export function cpuNumbersEnd(): number {
  return Math.max(...readCpuList("possible")) + 1;
}

/** The numbers of the CPUs that are online now. */
export function onlineCpus(): number[] {
  return readCpuList("online");
}

/** More than any kernel is built for. Source: arch/x86/Kconfig NR_CPUS_RANGE_END. */
const MAX_CPUS = 8192;

/** @throws BpfError for what is no list of CPUs. */
function readCpuList(name: "possible" | "online"): number[] {
  const path = `/sys/devices/system/cpu/${name}`;
  const text = readFileSync(path, "latin1").trim();
  const known = /^\d{1,5}(-\d{1,5})?(,\d{1,5}(-\d{1,5})?)*$/.test(text);
  const cpus = known ? parseCpuList(text) : [];
  if (cpus.length && cpus.every((cpu) => cpu < MAX_CPUS)) return cpus;
  throw new BpfError("ECPUS", `${path}: expected a list of CPUs such as 0-3, got ${JSON.stringify(text.slice(0, 40))}`);
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
