/** BTF as commands name it: of the running kernel, of a module, of an object or a file. */
import { existsSync, readFileSync } from "node:fs";
import { type Btf, parseBtf } from "@ebplane/core/btf";
import { relocateCore } from "@ebplane/core/elf";
import { BpfError } from "@ebplane/core/errors";
import type { CollectionSpec, ProgramSpec } from "@ebplane/core/object";
import { UsageError } from "./failure.ts";
import { inFile, loadObject, readBytes } from "./input.ts";
import { requireKernel } from "./kernel.ts";
import { findMap, withProgram } from "./kernel-objects.ts";
import { wholeNumber } from "./options.ts";

const KERNEL = "/sys/kernel/btf";

/**
 * `vmlinux`, a module's name, one of the kernel's BTF objects (`id:N`, `prog:WHICH`, `map:WHICH`), or a file: raw BTF by its
 * magic number, else PROG.
 */
export async function loadBtf(where: string, base?: Btf): Promise<Btf> {
  const [, kind, which] = /^(id|prog|map):(.+)$/.exec(where) ?? [];
  if (kind !== undefined && !existsSync(where)) return loadedBtf(kind, which!);
  if (/^\w+$/.test(where) && !existsSync(where)) return kernelTypes(where);
  const bytes = where.endsWith(".ts") ? undefined : readBytes(where);
  if (bytes && bytes.length >= 2 && [0xeb9f, 0x9feb].includes((bytes[1]! << 8) | bytes[0]!))
    return inFile(where, () => parseBtf(bytes, base));
  const { btf } = await loadObject(where);
  if (!btf) throw new BpfError("EBTF", `${where}: the object has no BTF (clang -g makes it)`);
  return btf;
}

/** Types that the kernel holds: by their id, or those of a program or map. */
async function loadedBtf(kind: string, which: string): Promise<Btf> {
  await requireKernel("btf dump");
  const { btfBytes, btfInfo } = await import("@ebplane/linux/bpf");
  let id = 0;
  if (kind === "prog") await withProgram(which, (_fd, info) => void (id = info.btfId));
  else if (kind === "map") {
    const { mapInfo, openMap } = await import("@ebplane/linux");
    using map = openMap(await findMap(which));
    id = mapInfo(map.fd).btfId;
  } else id = wholeNumber(which, "id");
  if (id === 0) throw new BpfError("EBTF", `${kind} ${which}: was loaded without types`);
  const info = btfInfo(id);
  const bytes = btfBytes(id);
  if (!info || !bytes) throw new UsageError(`btf ${id}: there is none (ebplane btf list)`);
  const split = info.kernel && info.name !== "vmlinux";
  return parseBtf(bytes, split ? kernelTypes("vmlinux") : undefined);
}

function kernelTypes(name: string): Btf {
  const file = (of: string): Uint8Array => new Uint8Array(readFileSync(`${KERNEL}/${of}`));
  if (!existsSync(`${KERNEL}/${name}`)) {
    throw new UsageError(`${name}: no such file, nor is there ${KERNEL}/${name}`);
  }
  return name === "vmlinux" ? parseBtf(file(name)) : parseBtf(file(name), parseBtf(file("vmlinux")));
}

/** The running kernel's types, read when first asked for; undefined on a machine that has none. */
export function runningKernel(): () => Btf | undefined {
  let types: Btf | undefined;
  let asked = false;
  return () => {
    if (!asked && existsSync(`${KERNEL}/vmlinux`)) types = kernelTypes("vmlinux");
    asked = true;
    return types;
  };
}

/** The program with its CO-RE relocations done, where it has some and the kernel's types are at hand. */
export function relocated(spec: CollectionSpec, program: ProgramSpec, types: () => Btf | undefined): ProgramSpec {
  const target = program.coreRelos?.length ? types() : undefined;
  if (!target) return program;
  return relocateCore({ ...spec, programs: new Map([[program.name, program]]) }, target).programs.get(program.name)!;
}
