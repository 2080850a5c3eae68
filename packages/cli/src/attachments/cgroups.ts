/** The control groups of the system, by the id that the kernel's links give. */
import { readdirSync, readFileSync, statSync } from "node:fs";

/** Paths by id, from the first cgroup2 mount; empty without one. */
export function cgroupPaths(): ReadonlyMap<bigint, string> {
  const paths = new Map<bigint, string>();
  const root = cgroupRoot();
  if (root === undefined) return paths;
  const visit = (path: string): void => {
    try {
      paths.set(statSync(path, { bigint: true }).ino, path);
      for (const entry of readdirSync(path, { withFileTypes: true })) {
        if (entry.isDirectory()) visit(`${path}/${entry.name}`);
      }
    } catch (error) {
      // Control groups come and go while we look.
      if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
    }
  };
  visit(root);
  return paths;
}

function cgroupRoot(): string | undefined {
  for (const line of readFileSync("/proc/self/mounts", "utf8").split("\n")) {
    const [, path, type] = line.split(" ");
    if (type === "cgroup2") return path;
  }
  return undefined;
}
