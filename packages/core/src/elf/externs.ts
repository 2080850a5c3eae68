/**
 * Externs: `.kconfig` variables, which get a place in a map of their own, and `.ksyms` functions and variables.
 * Source: libbpf.c `bpf_object__collect_externs` (the order of the variables in `.kconfig`).
 */
import { alignOf, type Btf, resolve, sizeOf } from "../btf/index.ts";
import { BPF_F_RDONLY_PROG, type ExternSpec, type MapSpec, MapType } from "../object/index.ts";
import { type ElfFile, STB_WEAK } from "./container.ts";

export const KCONFIG_MAP = ".kconfig";

/** All externs; where there are `.kconfig` variables, their map (all zero, frozen) is added to `maps`. */
export function findExterns(btf: Btf | undefined, file: ElfFile, maps: Map<string, MapSpec>): ExternSpec[] {
  if (!btf) return [];
  const weak = new Set(file.symbols.filter((s) => s.bind === STB_WEAK && s.section === 0).map((s) => s.name));
  const externs: ExternSpec[] = [];
  for (const { type } of varsOf(btf, ".ksyms")) {
    const t = btf.type(type);
    if (t.kind === "func")
      externs.push({ name: t.name, kind: "kfunc", weak: weak.has(t.name), typeId: type, offset: 0 });
    else if (t.kind === "var") {
      externs.push({ name: t.name, kind: "ksym", weak: weak.has(t.name), typeId: t.type, offset: 0 });
    }
  }
  const config = varsOf(btf, KCONFIG_MAP).flatMap(({ type }) => {
    const v = btf.type(type);
    if (v.kind !== "var") return [];
    return [{ name: v.name, typeId: v.type, size: sizeOf(btf, v.type), align: alignOf(btf, resolve(btf, v.type)) }];
  });
  config.sort((a, b) => b.align - a.align || a.size - b.size || (a.name < b.name ? -1 : 1));
  let end = 0;
  for (const { name, typeId, size, align } of config) {
    const offset = Math.ceil(end / align) * align;
    end = offset + size;
    externs.push({ name, kind: "kconfig", weak: weak.has(name), typeId, offset });
  }
  if (end > 0) {
    maps.set(KCONFIG_MAP, {
      name: KCONFIG_MAP,
      type: MapType.BPF_MAP_TYPE_ARRAY,
      keySize: 4,
      valueSize: end,
      maxEntries: 1,
      flags: BPF_F_RDONLY_PROG,
      frozen: true,
    });
  }
  return externs;
}

function varsOf(btf: Btf, section: string): readonly { readonly type: number }[] {
  const id = btf.find(section, "datasec");
  const type = id === undefined ? undefined : btf.type(id);
  return type?.kind === "datasec" ? type.vars : [];
}
