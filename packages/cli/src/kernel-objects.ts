/** Objects of the kernel as commands name them: by name, id, or file in bpffs. */
import { closeSync } from "node:fs";
import type { LinuxProgram, MapInfo, ProgInfo } from "@ebplane/linux";
import { UsageError } from "./failure.ts";
import { requireKernel } from "./kernel.ts";

type Kind = "prog" | "map";
type Place = { path: string } | { id: number };

export const WHICH_PROGRAM = "a program's name, id, or file in bpffs";
export const WHICH_MAP = "a map's name, id, or file in bpffs";

export async function allPrograms(): Promise<ProgInfo[]> {
  const { progInfo } = await import("@ebplane/linux");
  return all("prog", progInfo);
}

export async function allMaps(): Promise<MapInfo[]> {
  const { mapInfo } = await import("@ebplane/linux");
  return all("map", mapInfo);
}

async function all<T>(kind: Kind, infoOf: (fd: number) => T): Promise<T[]> {
  const { fdById, objectIds } = await import("@ebplane/linux");
  return objectIds(kind).flatMap((id) => {
    const fd = fdById(kind, id);
    if (fd === undefined) return []; // Gone between the two questions.
    try {
      return [infoOf(fd)];
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
  using program = openProgram(await find("prog", which, allPrograms));
  body(program.fd, program.info(), program);
}

/** @throws UsageError when no map has the name, or several. */
export function findMap(which: string): Promise<Place> {
  return find("map", which, allMaps);
}

async function find(
  kind: Kind,
  which: string,
  list: () => Promise<readonly { readonly id: number; readonly name: string }[]>,
): Promise<Place> {
  if (which.includes("/")) return { path: which };
  if (/^\d+$/.test(which)) return { id: Number(which) };
  // The kernel keeps 15 characters of a name.
  const { objectName } = await import("@ebplane/linux/bpf");
  const found = (await list()).filter(({ name }) => name === objectName(which));
  const [only] = found;
  const word = { prog: "program", map: "map" }[kind];
  if (!only) throw new UsageError(`${word} ${which}: no ${word} has this name (ebplane ${kind} list)`);
  if (found.length === 1) return { id: only.id };
  const ids = found.map(({ id }) => id).join(", ");
  throw new UsageError(`${word} ${which}: several ${word}s have this name: choose by id: ${ids}`);
}
