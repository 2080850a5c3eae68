/**
 * An ELF object as a collection: what libbpf's `bpf_object__open` does, with nothing loaded. Programs come with the
 * subprograms that they call linked in (functions.ts), maps with their initial slots, variables with their types.
 *
 * Left to the loader: map fds and addresses (`relocs`), CO-RE (`coreRelos`), values of `.kconfig`, sizes that depend
 * on the machine (a perf event array of 0 entries). Data sections are not made mmapable.
 */
import { type Btf, type BtfExt, type BtfPatch, parseBtf, parseBtfExt, patchBtf, sizeOf } from "../btf/index.ts";
import { viewOf } from "../bytes/index.ts";
import { ElfError } from "../errors/index.ts";
import {
  ARENA_PAGE,
  BPF_F_RDONLY_PROG,
  type CollectionSpec,
  type ExternSpec,
  type MapEntry,
  type MapSpec,
  MapType,
  type ProgramSpec,
  type StructOpsSpec,
  type UnknownPart,
  type VariableSpec,
} from "../object/index.ts";
import * as elf from "./container.ts";
import { CONTENTS_SECTION, decodeContents } from "./contents.ts";
import { ARENA_SECTION, isDataSectionName } from "./data.ts";
import { findExterns, KCONFIG_MAP } from "./externs.ts";
import { findFunctions, linkPrograms } from "./functions.ts";
import { type FoundMap, isLegacyMapSection, parseBtfMaps, parseLegacyMaps, slotKey } from "./map-def.ts";
import type { ObjectIndex } from "./object-index.ts";

/** Sections that have no meaning for loading. */
const IGNORED = /^\.(?:debug_|llvm|note|comment|eh_frame|symtab|strtab|shstrtab)|^\.BTF(?:\.ext|_ids|\.base)?$/;
const STRUCT_OPS = /^\??\.struct_ops(?:\.link)?$/;

/**
 * Reads an object of either byte order. A big-endian one is listed with its code turned to little-endian slots;
 * `byteOrder` tells loaders to refuse it.
 * @throws ElfError, or BtfError for its types, naming the section and the offset.
 */
export function readElf(bytes: Uint8Array): CollectionSpec {
  const file = elf.parseElf(bytes);
  const { btf, ext } = readBtf(file);
  const maps = new Map<string, MapSpec>();
  const found = readMaps(file, btf, maps);
  const dataMaps = readDataSections(file, btf, maps);
  const externs = findExterns(btf, file, maps);
  const mapNames = new Map(
    [...found.bySection].map(([section, list]) => [section, new Map(list.map((m) => [m.offset, m.spec.name]))]),
  );
  const index: ObjectIndex = {
    file,
    btf,
    ext,
    holdsMaps: (section) => found.bySection.has(section),
    mapAt: (section, offset) => mapNames.get(section)?.get(offset),
    dataMap: (section) => dataMaps.get(section),
    externs: new Map(externs.map((e) => [e.name, e])),
  };
  const functions = findFunctions(index);
  const programs = linkPrograms(functions, index);
  fillSlots(index, found.bySection, maps, (section, offset) => functions.at(section, offset)?.name);
  fillNumberedSlots(programs, found.ids, maps);
  const contents = file.sections.find((s) => s.name === CONTENTS_SECTION);
  if (contents) {
    for (const [name, entries] of decodeContents(contents.data)) {
      const map = maps.get(name);
      if (!map) throw new ElfError(`entries of map ${name}, which is not here`, { section: CONTENTS_SECTION });
      maps.set(name, { ...map, contents: [...(map.contents ?? []), ...entries] });
    }
  }
  const structOps = readStructOps(index, functions.at);
  const version = file.sections.find((s) => s.name === "version");
  return {
    programs: typedBySlots(programs, maps),
    maps,
    license: licenseOf(file),
    btf,
    byteOrder: file.littleEndian ? "little" : "big",
    variables: readVariables(file, btf, dataMaps),
    externs: [...externs, ...undescribed(programs, externs)],
    structOps,
    unknown: unknownParts(file, structOps),
    ...(version && version.data.length >= 4 ? { version: viewOf(version.data).getUint32(0, file.littleEndian) } : {}),
  };
}

function readBtf(file: elf.ElfFile): { btf: Btf | undefined; ext: BtfExt | undefined } {
  const section = file.sections.find((s) => s.name === ".BTF");
  if (!section || section.data.length === 0) return { btf: undefined, ext: undefined };
  const raw = parseBtf(section.data);
  const ext = file.sections.find((s) => s.name === ".BTF.ext");
  return {
    btf: patchBtf(raw, [...datasecPatches(raw, file), ...hiddenFunctions(raw, file)]),
    ext: ext?.data.length ? parseBtfExt(ext.data, raw) : undefined,
  };
}

/**
 * clang leaves a DATASEC's size 0 and the offsets of global variables to relocations. Source: libbpf.c
 * `btf_fixup_datasec`, which finds both by the symbols too.
 */
function datasecPatches(btf: Btf, file: elf.ElfFile): BtfPatch[] {
  const patches: BtfPatch[] = [];
  const symbols = new Map<string, elf.ElfSymbol>();
  for (const s of file.symbols) {
    if (s.type === elf.STT_OBJECT && s.bind !== elf.STB_LOCAL) symbols.set(`${s.section} ${s.name}`, s);
  }
  for (const section of file.sections) {
    if (section.index === 0 || section.size === 0) continue;
    const id = btf.find(section.name, "datasec");
    const type = id === undefined ? undefined : btf.type(id);
    if (type?.kind !== "datasec" || type.size !== 0) continue;
    const offsets = new Map<number, number>();
    type.vars.forEach((v, i) => {
      const variable = btf.type(v.type);
      const symbol = symbols.get(`${section.index} ${variable.name}`);
      if (symbol && variable.kind === "var" && variable.linkage !== "static") offsets.set(i, symbol.value);
    });
    patches.push({ id: id!, size: section.size, offsets });
  }
  return patches;
}

/** A hidden function is verified at each call, as a static one is: libbpf makes its BTF say so. */
function hiddenFunctions(btf: Btf, file: elf.ElfFile): BtfPatch[] {
  const patches: BtfPatch[] = [];
  for (const s of file.symbols) {
    if (s.type !== elf.STT_FUNC || s.bind === elf.STB_LOCAL || s.visibility === elf.STV_DEFAULT) continue;
    const id = btf.find(s.name, "func");
    if (id !== undefined) patches.push({ id, linkage: "static" });
  }
  return patches;
}

function addMap(maps: Map<string, MapSpec>, map: MapSpec, section: string): void {
  if (!map.name) throw new ElfError("a map has no name", { section });
  if (maps.has(map.name)) throw new ElfError(`two maps are named ${map.name}`, { section });
  maps.set(map.name, map);
}

interface FoundMaps {
  /** By section index. */
  readonly bySection: ReadonlyMap<number, readonly FoundMap[]>;
  /** Names by iproute2's ids. */
  readonly ids: ReadonlyMap<number, string>;
}

function readMaps(file: elf.ElfFile, btf: Btf | undefined, maps: Map<string, MapSpec>): FoundMaps {
  const namesIn = (s: elf.ElfSection) =>
    file.symbols.filter((y) => y.section === s.index && y.name && y.type !== elf.STT_SECTION);
  const sections = file.sections.filter((s) => s.size > 0 && s.type === elf.SHT_PROGBITS);
  const old = sections.filter((s) => isLegacyMapSection(s.name));
  const legacy = parseLegacyMaps(
    old.map(({ index, name, data }, i) => ({ index, name, data, symbols: namesIn(old[i]!) })),
    file.littleEndian,
  );
  const bySection = new Map(legacy.found);
  for (const s of sections) {
    if (s.name !== ".maps") continue;
    if (!btf) throw new ElfError("needs .BTF, which the object has not (clang -g)", { section: s.name });
    bySection.set(s.index, parseBtfMaps(btf, s.size));
  }
  for (const [section, list] of [...bySection].sort((a, b) => a[0] - b[0])) {
    for (const m of list) addMap(maps, m.spec, file.sections[section]!.name);
  }
  return { bySection, ids: legacy.ids };
}

/** Data sections as array maps of one value; the map's name by section index. */
function readDataSections(file: elf.ElfFile, btf: Btf | undefined, maps: Map<string, MapSpec>): Map<number, string> {
  const names = new Map<number, string>();
  for (const s of file.sections) {
    if (!isDataSectionName(s.name) || s.size === 0) continue;
    if (s.type !== elf.SHT_PROGBITS && s.type !== elf.SHT_NOBITS) continue;
    const readOnly = s.name.startsWith(".rodata");
    const map: MapSpec = {
      name: s.name,
      type: MapType.BPF_MAP_TYPE_ARRAY,
      keySize: 4,
      valueSize: s.size,
      maxEntries: 1,
      flags: readOnly ? BPF_F_RDONLY_PROG : 0,
      frozen: readOnly,
      valueTypeId: btf?.find(s.name, "datasec") ?? 0,
      // Zeros need no contents: a map is created with them.
      ...(s.type === elf.SHT_PROGBITS ? { contents: [{ key: new Uint8Array(4), value: s.data.slice() }] } : {}),
    };
    addMap(maps, map, s.name);
    names.set(s.index, s.name);
  }
  const arena = placeArenaData(file, maps);
  if (arena) names.set(arena.section, arena.map);
  return names;
}

/**
 * The variables of `.addr_space.1` begin the arena. Source: libbpf.c `init_arena_map_data`; it moves them to the arena's
 * end where the kernel takes offsets of any size, which 6.18 does not.
 */
function placeArenaData(file: elf.ElfFile, maps: Map<string, MapSpec>): { section: number; map: string } | undefined {
  const section = file.sections.find((s) => s.name === ARENA_SECTION);
  if (!section?.size) return undefined;
  const where = { section: ARENA_SECTION };
  const arenas = [...maps.values()].filter((m) => m.type === MapType.BPF_MAP_TYPE_ARENA);
  const [arena] = arenas;
  if (!arena || arenas.length > 1) {
    const have = arenas.length ? arenas.map((m) => m.name).join(", ") : "none";
    throw new ElfError(`variables of an arena need one map of that type in .maps, the object has ${have}`, where);
  }
  const room = arena.maxEntries * ARENA_PAGE;
  if (section.size > room)
    throw new ElfError(`${section.size} bytes of variables, arena ${arena.name} has ${room}`, where);
  const data = section.type === elf.SHT_NOBITS ? new Uint8Array(section.size) : section.data.slice();
  maps.set(arena.name, { ...arena, contents: [{ key: new Uint8Array(0), value: data }] });
  return { section: section.index, map: arena.name };
}

/** Initial slots of `values`: each a relocation to a program or a map. */
function fillSlots(
  index: ObjectIndex,
  found: ReadonlyMap<number, readonly FoundMap[]>,
  maps: Map<string, MapSpec>,
  functionAt: (section: number, offset: number) => string | undefined,
): void {
  for (const [section, list] of found) {
    const holder = index.file.sections[section]!;
    const where = { section: holder.name };
    for (const r of index.file.relocs.get(section) ?? []) {
      const map = list.find((m) => r.offset >= m.offset && r.offset < m.offset + m.size);
      if (!map || map.valuesAt === undefined || r.offset < map.valuesAt) {
        throw new ElfError(`a relocation at ${r.offset} is in no map's values`, where);
      }
      const to = elf.pointedAt(index.file, holder, r);
      const slot = (r.offset - map.valuesAt) / 8;
      if (!Number.isInteger(slot)) throw new ElfError(`a relocation at ${r.offset} is between two slots`, where);
      const key = slotKey(slot);
      const target = map.spec.inner ? index.mapAt(to.section, to.offset) : functionAt(to.section, to.offset);
      if (target === undefined) throw new ElfError(`map ${map.spec.name}: slot ${slot} refers to nothing known`, where);
      const entry: MapEntry = { key, value: map.spec.inner ? { map: target } : { program: target } };
      const spec = maps.get(map.spec.name)!;
      maps.set(map.spec.name, { ...spec, contents: [...(spec.contents ?? []), entry] });
    }
  }
}

/** iproute2's sections `ID/KEY`: the program goes into that slot of the array with that id. */
function fillNumberedSlots(
  programs: ReadonlyMap<string, ProgramSpec>,
  ids: ReadonlyMap<number, string>,
  maps: Map<string, MapSpec>,
): void {
  for (const { name: program, section } of programs.values()) {
    const numbers = /^(0[xX][0-9a-fA-F]+|\d+)\/(0[xX][0-9a-fA-F]+|\d+)$/.exec(section);
    const map = numbers && maps.get(ids.get(Number(numbers[1])) ?? "");
    if (!map || map.type !== MapType.BPF_MAP_TYPE_PROG_ARRAY) continue;
    const entry: MapEntry = { key: slotKey(Number(numbers[2])), value: { program } };
    maps.set(map.name, { ...map, contents: [...(map.contents ?? []), entry] });
  }
}

/**
 * A program whose section says nothing, but that stands in a slot of a program array, has the type of those that
 * call through the array: the kernel allows no other.
 */
function typedBySlots(
  programs: ReadonlyMap<string, ProgramSpec>,
  maps: ReadonlyMap<string, MapSpec>,
): ReadonlyMap<string, ProgramSpec> {
  const out = new Map(programs);
  // Those in the slots may call through further arrays, so until nothing changes.
  for (let changed = true; changed; ) {
    changed = false;
    for (const map of maps.values()) {
      if (map.type !== MapType.BPF_MAP_TYPE_PROG_ARRAY) continue;
      const targets = (map.contents ?? []).flatMap(({ value }) => ("program" in value ? [out.get(value.program)] : []));
      const untyped = targets.filter((t) => t !== undefined && t.type === 0);
      if (!untyped.length) continue;
      const callers = [...out.values()].filter(
        (p) => p.type !== 0 && p.relocs.some((r) => r.kind === "map" && r.name === map.name),
      );
      const [caller] = callers;
      if (!caller || callers.some((c) => c.type !== caller.type)) continue;
      const { type, attachType } = caller;
      for (const target of untyped) out.set(target!.name, { ...target!, type, attachType });
      changed = true;
    }
  }
  return out;
}

/** Variables of the data sections: from BTF where there is a DATASEC, else from the symbols, without type. */
function readVariables(
  file: elf.ElfFile,
  btf: Btf | undefined,
  dataMaps: ReadonlyMap<number, string>,
): Map<string, VariableSpec> {
  const variables = new Map<string, VariableSpec>();
  const add = (v: VariableSpec) => {
    // Two static variables may share a name; the second is found under its section's.
    if (!variables.has(v.name)) variables.set(v.name, v);
    else variables.set(`${v.map}:${v.name}:${v.offset}`, v);
  };
  for (const [index, map] of dataMaps) {
    const { name: section, size: end } = file.sections[index]!;
    const id = btf?.find(section, "datasec");
    const datasec = id === undefined ? undefined : btf!.type(id);
    if (datasec?.kind === "datasec") {
      for (const { type, offset, size } of datasec.vars) {
        const v = btf!.type(type);
        if (v.kind !== "var" || v.linkage === "extern") continue;
        if (offset + size > end)
          throw new ElfError(`variable ${v.name} ends at ${offset + size} of ${end}`, { section });
        const least = sizeOf(btf!, v.type);
        if (least > size) throw new ElfError(`variable ${v.name} has ${size} bytes, its type ${least}`, { section });
        add({ name: v.name, map, offset, size, typeId: v.type, linkage: v.linkage });
      }
      continue;
    }
    for (const s of file.symbols) {
      if (s.section !== index || s.type !== elf.STT_OBJECT || !s.name) continue;
      if (s.value + s.size > end)
        throw new ElfError(`variable ${s.name} ends at ${s.value + s.size} of ${end}`, { section });
      const linkage = s.bind === elf.STB_LOCAL ? "static" : "global";
      add({ name: s.name, map, offset: s.value, size: s.size, typeId: 0, linkage });
    }
  }
  return variables;
}

function readStructOps(
  { file, btf }: ObjectIndex,
  functionAt: (section: number, offset: number) => { readonly name: string } | undefined,
): StructOpsSpec[] {
  const out: StructOpsSpec[] = [];
  for (const s of file.sections) {
    if (!STRUCT_OPS.test(s.name)) continue;
    const id = btf?.find(s.name, "datasec");
    const datasec = id === undefined ? undefined : btf!.type(id);
    if (datasec?.kind !== "datasec") continue;
    const relocs = file.relocs.get(s.index) ?? [];
    for (const { type, offset, size } of datasec.vars) {
      const v = btf!.type(type);
      if (v.kind !== "var") continue;
      const programs = relocs
        .filter((r) => r.offset >= offset && r.offset < offset + size)
        .flatMap((r) => {
          const to = elf.pointedAt(file, s, r);
          const program = functionAt(to.section, to.offset)?.name;
          return program === undefined ? [] : [{ offset: r.offset - offset, program }];
        });
      out.push({ name: v.name, section: s.name, typeId: v.type, data: s.data.slice(offset, offset + size), programs });
    }
  }
  return out;
}

/**
 * What programs refer to, that no DATASEC describes: functions of another object, or the constants that cilium/ebpf
 * once had the loader write. libbpf refuses such an object; it is listed here, and loading it says what is missing.
 */
function undescribed(programs: ReadonlyMap<string, ProgramSpec>, externs: readonly ExternSpec[]): ExternSpec[] {
  const known = new Set(externs.map((e) => e.name));
  const out: ExternSpec[] = [];
  for (const { relocs } of programs.values()) {
    for (const r of relocs) {
      if ((r.kind !== "kfunc" && r.kind !== "ksym") || known.has(r.name)) continue;
      known.add(r.name);
      out.push({ name: r.name, kind: r.kind, weak: r.weak, typeId: 0, offset: 0 });
    }
  }
  return out;
}

function licenseOf(file: elf.ElfFile): string {
  const data = file.sections.find((s) => s.name === "license")?.data;
  if (!data) return "";
  const end = data.indexOf(0);
  return new TextDecoder().decode(end < 0 ? data : data.subarray(0, end));
}

function unknownParts(file: elf.ElfFile, structOps: readonly StructOpsSpec[]): UnknownPart[] {
  const out: UnknownPart[] = [];
  const known = (s: elf.ElfSection) =>
    s.index === 0 ||
    IGNORED.test(s.name) ||
    (STRUCT_OPS.test(s.name) && structOps.some((o) => o.section === s.name)) ||
    isDataSectionName(s.name) ||
    s.name === ARENA_SECTION ||
    [".maps", "license", "version", ".text", CONTENTS_SECTION, KCONFIG_MAP].includes(s.name) ||
    isLegacyMapSection(s.name) ||
    ((s.flags & elf.SHF_EXECINSTR) !== 0 && s.type === elf.SHT_PROGBITS) ||
    s.type === elf.SHT_SYMTAB ||
    s.type === elf.SHT_STRTAB;
  for (const s of file.sections) {
    if (s.type === elf.SHT_REL || s.type === elf.SHT_RELA) {
      const target = file.sections[s.info]!;
      if (isDataSectionName(target.name) || target.name === ARENA_SECTION) {
        out.push({ section: s.name, why: "relocations of data are not applied, as libbpf does not", data: s.data });
      }
    } else if (!known(s) && s.size > 0) {
      const why = STRUCT_OPS.test(s.name) ? "needs .BTF to tell what its structs are" : "no known meaning";
      out.push({ section: s.name || `section ${s.index}`, why, data: s.data });
    }
  }
  return out;
}
