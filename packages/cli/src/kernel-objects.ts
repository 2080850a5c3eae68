/** Objects of the kernel as commands name them: by name, id, or file in bpffs. */
import { closeSync } from "node:fs";
import type { LinuxProgram, MapInfo, ProgInfo } from "@ebplane/linux";
import { UsageError } from "./failure.ts";
import { requireKernel } from "./kernel.ts";

export const WHICH_PROGRAM = "a program's name, id, or file in bpffs";
export const WHICH_MAP = "a map's name, id, or file in bpffs";

export async function allPrograms(): Promise<ProgInfo[]> {
  const { fdById, objectIds, progInfo } = await import("@ebplane/linux");
  return objectIds("prog").flatMap((id) => {
    const fd = fdById("prog", id);
    if (fd === undefined) return []; // Gone between the two questions.
    try {
      return progInfo(fd);
    } finally {
      closeSync(fd);
    }
  });
}

/** @throws UsageError when no program has the name, or several. */
export async function withProgram(
  which: string,
  body: (fd: number, info: ProgInfo, program: LinuxProgram) => void,
): Promise<void> {
  await requireKernel("prog");
  const { openProgram } = await import("@ebplane/linux");
  using program = openProgram(await findProgram(which));
  body(program.fd, program.info(), program);
}

async function findProgram(which: string): Promise<{ path: string } | { id: number }> {
  if (which.includes("/")) return { path: which };
  if (/^\d+$/.test(which)) return { id: Number(which) };
  const { objectName } = await import("@ebplane/linux/bpf");
  const found = (await allPrograms()).filter((p) => p.name === objectName(which));
  const [only] = found;
  if (!only) throw new UsageError(`program ${which}: no program has this name (ebplane prog list)`);
  if (found.length > 1) {
    const ids = found.map((p) => p.id).join(", ");
    throw new UsageError(`program ${which}: several programs have this name: choose by id: ${ids}`);
  }
  return { id: only.id };
}

/** @throws UsageError when no map has the name, or several. */
export async function findMap(which: string): Promise<{ path: string } | { id: number }> {
  if (which.includes("/")) return { path: which };
  if (/^\d+$/.test(which)) return { id: Number(which) };
  // The kernel keeps 15 characters of a name.
  const { objectName } = await import("@ebplane/linux/bpf");
  const found = (await allMaps()).filter((m) => m.name === which || m.name === objectName(which));
  const [only] = found;
  if (!only) throw new UsageError(`map ${which}: no map has this name (ebplane map list)`);
  if (found.length > 1) {
    throw new UsageError(
      `map ${which}: several maps have this name: choose by id: ${found.map((m) => m.id).join(", ")}`,
    );
  }
  return { id: only.id };
}

export async function allMaps(): Promise<MapInfo[]> {
  const { fdById, mapInfo, objectIds } = await import("@ebplane/linux");
  return objectIds("map").flatMap((id) => {
    const fd = fdById("map", id);
    if (fd === undefined) return []; // Gone between the two questions.
    try {
      return mapInfo(fd);
    } finally {
      closeSync(fd);
    }
  });
}
