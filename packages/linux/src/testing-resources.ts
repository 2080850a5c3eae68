/** What this process holds of the kernel's, counted before and after tests of lifetimes. */
import { readdirSync, readFileSync } from "node:fs";

export function processResources(): { fds: number; mappings: number; threads: number } {
  return {
    fds: readdirSync("/proc/self/fd").length,
    // V8's own heap comes and goes: what this package maps is shared with the kernel or recycled.
    mappings: readFileSync("/proc/self/maps", "latin1")
      .split("\n")
      .filter((line) => /anon_inode|socket:/.test(line)).length,
    threads: readdirSync("/proc/self/task").length,
  };
}
