/**
 * Functions of an object, their relocations, and programs: each program's code is its function followed by every
 * function that it reaches, in the order of first call, depth first, as libbpf appends them.
 */
import { viewOf } from "../bytes/index.ts";
import { BtfError, ElfError } from "../errors/index.ts";
import {
  BPF_PSEUDO_BTF_ID,
  BPF_PSEUDO_CALL,
  BPF_PSEUDO_FUNC,
  BPF_PSEUDO_KFUNC_CALL,
  BPF_PSEUDO_MAP_FD,
  BPF_PSEUDO_MAP_VALUE,
  OP_CALL,
  OP_LDDW,
  SLOT,
} from "../isa/index.ts";
import {
  type CoreReloc,
  exceptionTags,
  type FuncInfo,
  type LineInfo,
  type ProgramSpec,
  type Reloc,
} from "../object/index.ts";
import * as elf from "./container.ts";
import type { ObjectIndex } from "./object-index.ts";
import { sectionKind } from "./sections.ts";

/** Linked code of all programs together may not be more: a shared subprogram is copied into each program. */
const MAX_LINKED_BYTES = 64 << 20;

/** One function as it stands in its section, little-endian, references made symbolic. Slots count from its start. */
interface ObjectFunction {
  readonly name: string;
  readonly section: elf.ElfSection;
  readonly offset: number;
  readonly global: boolean;
  readonly code: Uint8Array;
  readonly relocs: readonly Reloc[];
  readonly links: readonly Link[];
  /** It has a function without a symbol inside. */
  readonly callsInside: boolean;
  readonly typeId: number;
  readonly lines: readonly LineInfo[];
  readonly coreRelos: readonly CoreReloc[];
}

/** A call of a function of the object, or (lddw) its address. */
interface Link {
  readonly pc: number;
  readonly section: number;
  readonly offset: number;
}

export interface Functions {
  readonly all: readonly ObjectFunction[];
  at(section: number, offset: number): ObjectFunction | undefined;
}

/** Every function of the executable sections, in the order of sections and offsets. */
export function findFunctions(index: ObjectIndex): Functions {
  const all: ObjectFunction[] = [];
  const byPlace = new Map<number, Map<number, ObjectFunction>>();
  const symbolsOf = new Map<number, elf.ElfSymbol[]>();
  for (const s of index.file.symbols) {
    if (s.type === elf.STT_SECTION || !s.name) continue;
    const list = symbolsOf.get(s.section);
    if (list) list.push(s);
    else symbolsOf.set(s.section, [s]);
  }
  for (const section of index.file.sections) {
    if (section.type !== elf.SHT_PROGBITS || !(section.flags & elf.SHF_EXECINSTR) || section.size === 0) continue;
    const places = new Map<number, ObjectFunction>();
    byPlace.set(section.index, places);
    const code = toLittleEndian(section, index.file.littleEndian);
    const relocs = new Map(index.file.relocs.get(section.index)?.map((r) => [r.offset, r]));
    const ext = extOf(section.name, index);
    for (const place of functionPlaces(section, symbolsOf.get(section.index) ?? [])) {
      const f = readFunction(place, section, code, relocs, ext, index);
      all.push(f);
      if (!places.has(f.offset)) places.set(f.offset, f);
    }
  }
  return { all, at: (section, offset) => byPlace.get(section)?.get(offset) };
}

interface Place {
  readonly name: string;
  readonly start: number;
  readonly end: number;
  readonly global: boolean;
}

function functionPlaces(section: elf.ElfSection, symbols: readonly elf.ElfSymbol[]): Place[] {
  let functions = symbols.filter((s) => s.type === elf.STT_FUNC);
  // clang before 9 gave functions no type.
  if (!functions.length) functions = symbols.filter((s) => s.type === elf.STT_NOTYPE && s.bind === elf.STB_GLOBAL);
  if (!functions.length) return [{ name: section.name, start: 0, end: section.size, global: true }];
  const sorted = [...functions].sort((a, b) => a.value - b.value);
  return sorted.map((s, i) => {
    let next = i + 1;
    while (next < sorted.length && sorted[next]!.value === s.value) next++;
    const end = s.size ? s.value + s.size : (sorted[next]?.value ?? section.size);
    if (s.value % SLOT || end % SLOT || end > section.size || end <= s.value) {
      throw new ElfError(`function ${s.name} from ${s.value} to ${end} of ${section.size} bytes`, {
        section: section.name,
      });
    }
    return { name: s.name, start: s.value, end, global: s.bind !== elf.STB_LOCAL };
  });
}

/** Code with little-endian fields: in big-endian slots dst and src change places too. */
function toLittleEndian(section: elf.ElfSection, little: boolean): Uint8Array {
  if (section.size % SLOT)
    throw new ElfError(`${section.size} bytes are no whole instructions`, { section: section.name });
  const code = section.data.slice();
  if (little) return code;
  const view = viewOf(code);
  for (let at = 0; at < code.length; at += SLOT) {
    const regs = code[at + 1]!;
    code[at + 1] = (regs << 4) | (regs >> 4);
    view.setInt16(at + 2, view.getInt16(at + 2), true);
    view.setInt32(at + 4, view.getInt32(at + 4), true);
  }
  return code;
}

interface SectionExt {
  readonly funcs: ReadonlyMap<number, number>;
  readonly lines: readonly {
    readonly offset: number;
    readonly file: string;
    readonly text: string;
    readonly line: number;
    readonly col: number;
  }[];
  readonly coreRelos: readonly {
    readonly offset: number;
    readonly typeId: number;
    readonly access: string;
    readonly kind: number;
  }[];
}

const NO_EXT: SectionExt = { funcs: new Map(), lines: [], coreRelos: [] };

function extOf(section: string, { ext, btf }: ObjectIndex): SectionExt {
  if (!ext || !btf) return NO_EXT;
  const records = <T extends { readonly offset: number }>(
    parts: readonly { readonly section: string; readonly records: readonly T[] }[],
  ): T[] => {
    const list = parts.filter((p) => p.section === section).flatMap((p) => [...p.records]);
    const bad = list.find((r) => r.offset % SLOT);
    if (bad) throw new BtfError(`.BTF.ext: section ${section}: offset ${bad.offset} is inside an instruction`);
    return list.sort((a, b) => a.offset - b.offset);
  };
  const funcs = records(ext.funcs);
  for (const f of funcs) {
    if (btf.type(f.typeId).kind !== "func")
      throw new BtfError("func_info names it, but it is no function", { typeId: f.typeId });
  }
  const coreRelos = records(ext.coreRelos);
  for (const r of coreRelos) btf.type(r.typeId);
  return { funcs: new Map(funcs.map((f) => [f.offset, f.typeId])), lines: records(ext.lines), coreRelos };
}

/** The records with `start <= offset < end` of a list sorted by offset. */
function between<T extends { readonly offset: number }>(list: readonly T[], start: number, end: number): T[] {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle]!.offset < start) low = middle + 1;
    else high = middle;
  }
  const out: T[] = [];
  for (; low < list.length && list[low]!.offset < end; low++) out.push(list[low]!);
  return out;
}

function readFunction(
  place: Place,
  section: elf.ElfSection,
  sectionCode: Uint8Array,
  relocAt: ReadonlyMap<number, elf.ElfReloc>,
  ext: SectionExt,
  index: ObjectIndex,
): ObjectFunction {
  const { start, end } = place;
  const code = sectionCode.slice(start, end);
  const view = viewOf(code);
  const relocs: Reloc[] = [];
  const links: Link[] = [];
  // Of a function that has no symbol: it stands where this one has it, and the call stays as it is.
  let callsInside = false;
  for (let at = 0; at < code.length; at += SLOT) {
    const opcode = code[at]!;
    const reloc = relocAt.get(start + at);
    const where = { section: section.name, offset: start + at };
    if (opcode === OP_LDDW) {
      if (at + 2 * SLOT > code.length || view.getUint32(at + SLOT, true) !== 0) {
        throw new ElfError("lddw needs a second slot of zeros", where);
      }
      if (reloc) relocateLddw(reloc, at / SLOT, view, relocs, links, index, where);
      at += SLOT;
    } else if (opcode === OP_CALL && (reloc || code[at + 1]! >> 4 === BPF_PSEUDO_CALL)) {
      const target = start + at + (view.getInt32(at + 4, true) + 1) * SLOT;
      if (!reloc && target > start && target < end) callsInside = true;
      else relocateCall(reloc, at / SLOT, view, relocs, links, section.index, start + at, index, where);
    } else if (reloc) {
      throw new ElfError(
        `a relocation of an instruction that is neither lddw nor call (opcode 0x${opcode.toString(16)})`,
        where,
      );
    }
  }
  const pcOf = (offset: number) => (offset - start) / SLOT;
  return {
    name: place.name,
    section,
    offset: start,
    global: place.global,
    code,
    relocs,
    links,
    callsInside,
    typeId: ext.funcs.get(start) ?? 0,
    lines: between(ext.lines, start, end).map(({ offset, ...line }) => ({ pc: pcOf(offset), ...line })),
    coreRelos: between(ext.coreRelos, start, end).map(({ offset, ...r }) => ({ pc: pcOf(offset), ...r })),
  };
}

interface Where {
  readonly section: string;
  readonly offset: number;
}

function isCode(section: elf.ElfSection | undefined): boolean {
  return section?.type === elf.SHT_PROGBITS && (section.flags & elf.SHF_EXECINSTR) !== 0;
}

function relocateLddw(
  reloc: elf.ElfReloc,
  pc: number,
  view: DataView,
  relocs: Reloc[],
  links: Link[],
  { file, holdsMaps, mapAt, dataMap, externs }: ObjectIndex,
  where: Where,
): void {
  const symbol = file.symbols[reloc.symbol]!;
  const section = file.sections[symbol.section];
  const imm = view.getInt32(pc * SLOT + 4, true);
  const dst = view.getUint8(pc * SLOT + 1) & 15;
  const set = (src: number, low: number, high: number) => {
    view.setUint8(pc * SLOT + 1, (src << 4) | dst);
    view.setInt32(pc * SLOT + 4, low, true);
    view.setInt32((pc + 1) * SLOT + 4, high, true);
  };
  if (symbol.section === elf.SHN_UNDEF) {
    const extern = externs.get(symbol.name);
    if (extern?.kind === "kconfig") {
      relocs.push({ pc, kind: "mapValue", name: ".kconfig", offset: extern.offset });
      set(BPF_PSEUDO_MAP_VALUE, 0, 0);
    } else {
      if (!symbol.name) throw new ElfError(`symbol ${reloc.symbol} is defined nowhere and has no name`, where);
      relocs.push({ pc, kind: "ksym", name: symbol.name, weak: symbol.bind === elf.STB_WEAK });
      set(BPF_PSEUDO_BTF_ID, 0, 0);
    }
    return;
  }
  const name = section?.name ?? `section ${symbol.section}`;
  const offset = symbol.value + imm + reloc.addend;
  if (isCode(section)) {
    links.push({ pc, section: symbol.section, offset });
    set(BPF_PSEUDO_FUNC, 0, 0);
    return;
  }
  if (holdsMaps(symbol.section)) {
    // A map's own symbol says which it is, as for libbpf: GNU as leaves the symbol's value in the insn as well.
    const at = symbol.type === elf.STT_SECTION ? offset : symbol.value;
    const map = mapAt(symbol.section, at);
    if (map === undefined) throw new ElfError(`no map stands at ${name} + ${at}`, where);
    relocs.push({ pc, kind: "map", name: map });
    set(BPF_PSEUDO_MAP_FD, 0, 0);
    return;
  }
  const data = dataMap(symbol.section);
  if (data === undefined)
    throw new ElfError(`the address of ${symbol.name || name} in ${name} has no meaning to eBPF`, where);
  relocs.push({ pc, kind: "mapValue", name: data, offset });
  set(BPF_PSEUDO_MAP_VALUE, 0, 0);
}

function relocateCall(
  reloc: elf.ElfReloc | undefined,
  pc: number,
  view: DataView,
  relocs: Reloc[],
  links: Link[],
  ownSection: number,
  ownOffset: number,
  { file }: ObjectIndex,
  where: Where,
): void {
  const imm = view.getInt32(pc * SLOT + 4, true);
  if (!reloc) {
    links.push({ pc, section: ownSection, offset: ownOffset + (imm + 1) * SLOT });
    view.setInt32(pc * SLOT + 4, 0, true);
    return;
  }
  const symbol = file.symbols[reloc.symbol]!;
  if (symbol.section === elf.SHN_UNDEF) {
    if (!symbol.name) throw new ElfError(`function ${reloc.symbol} is defined nowhere and has no name`, where);
    relocs.push({ pc, kind: "kfunc", name: symbol.name, weak: symbol.bind === elf.STB_WEAK });
    view.setUint8(pc * SLOT + 1, BPF_PSEUDO_KFUNC_CALL << 4);
    view.setInt32(pc * SLOT + 4, 0, true);
    return;
  }
  if (!isCode(file.sections[symbol.section])) throw new ElfError(`a call of ${symbol.name}, which is no code`, where);
  links.push({ pc, section: symbol.section, offset: symbol.value + (imm + 1) * SLOT + reloc.addend });
  view.setUint8(pc * SLOT + 1, BPF_PSEUDO_CALL << 4);
  view.setInt32(pc * SLOT + 4, 0, true);
}

/**
 * Programs by name. Functions of `.text` are subprograms, unless the object has no other function. A static function
 * beside programs is a subprogram where something calls it, else a program: what only a slot of a map refers to.
 */
export function linkPrograms(functions: Functions, index: ObjectIndex): Map<string, ProgramSpec> {
  const programs = new Map<string, ProgramSpec>();
  let mains = functions.all.filter((f) => f.section.name !== ".text");
  if (!mains.length && functions.all.length === 1) mains = [...functions.all];
  const called = new Set(functions.all.flatMap((f) => f.links.map((l) => functions.at(l.section, l.offset))));
  let budget = MAX_LINKED_BYTES;
  const tags = index.btf && exceptionTags(index.btf);
  for (const main of mains) {
    const where = { section: main.section.name, offset: main.offset };
    if (!main.global && called.has(main)) continue;
    if (programs.has(main.name)) throw new ElfError(`two programs are named ${main.name}`, where);
    const callback = exceptionCallbackOf(main, functions, tags?.get(main.typeId));
    const program = linkProgram(main, callback, functions, index, budget);
    budget -= program.code.length;
    programs.set(main.name, program);
  }
  return programs;
}

/** The function that the program's tag names: nothing calls it, so it is appended by its name. */
function exceptionCallbackOf(
  main: ObjectFunction,
  functions: Functions,
  names: readonly string[] | undefined,
): ObjectFunction | undefined {
  if (!names || !main.typeId) return undefined;
  const where = { section: main.section.name, offset: main.offset };
  const [name] = names;
  if (names.length > 1) throw new ElfError(`program ${main.name} has more than one exception callback`, where);
  const found = functions.all.find((f) => f.name === name);
  if (!found) throw new ElfError(`program ${main.name}: there is no exception callback ${name}`, where);
  if (!found.global) {
    throw new ElfError(`program ${main.name}: exception callback ${name} must be a global function`, where);
  }
  return found;
}

function linkProgram(
  main: ObjectFunction,
  callback: ObjectFunction | undefined,
  functions: Functions,
  { btf }: ObjectIndex,
  budget: number,
): ProgramSpec {
  const order: ObjectFunction[] = [];
  const startOf = new Map<ObjectFunction, number>();
  let size = 0;
  const stack: { f: ObjectFunction; next: number }[] = [];
  const append = (f: ObjectFunction): void => {
    if (startOf.has(f)) return;
    startOf.set(f, size / SLOT);
    order.push(f);
    size += f.code.length;
    if (order.length > 1 && size > budget)
      throw new ElfError(`program ${main.name}: the programs with their subprograms are over 64 MB`);
    stack.push({ f, next: 0 });
  };
  for (const root of callback ? [main, callback] : [main]) {
    append(root);
    while (stack.length) {
      const top = stack.at(-1)!;
      const link = top.f.links[top.next++];
      if (link) append(targetOf(link, top.f, functions));
      else stack.pop();
    }
  }
  const code = new Uint8Array(size);
  const view = viewOf(code);
  const relocs: Reloc[] = [];
  const funcInfo: FuncInfo[] = [];
  const lineInfo: LineInfo[] = [];
  const coreRelos: CoreReloc[] = [];
  for (const f of order) {
    const start = startOf.get(f)!;
    code.set(f.code, start * SLOT);
    for (const link of f.links) {
      view.setInt32(
        (start + link.pc) * SLOT + 4,
        startOf.get(targetOf(link, f, functions))! - (start + link.pc) - 1,
        true,
      );
    }
    for (const r of f.relocs) relocs.push(start ? { ...r, pc: start + r.pc } : r);
    for (const l of f.lines) lineInfo.push(start ? { ...l, pc: start + l.pc } : l);
    for (const r of f.coreRelos) coreRelos.push(start ? { ...r, pc: start + r.pc } : r);
    if (btf && f.typeId) funcInfo.push({ pc: start, name: f.name, typeId: f.typeId });
  }
  const nameless = order.some((f) => f.callsInside);
  const kind = sectionKind(main.section.name);
  return {
    name: main.name,
    section: main.section.name,
    type: kind.type,
    attachType: kind.attachType,
    flags: kind.flags,
    ...(kind.attachTo === undefined ? {} : { attachTo: kind.attachTo }),
    ...(kind.autoload ? {} : { autoload: false }),
    code,
    relocs,
    // The kernel wants all functions or none, and a line for each.
    funcInfo: funcInfo.length === order.length && !nameless ? funcInfo : [],
    lineInfo: nameless ? [] : lineInfo,
    coreRelos,
  };
}

function targetOf(link: Link, from: ObjectFunction, functions: Functions): ObjectFunction {
  const to = functions.at(link.section, link.offset);
  if (!to) {
    throw new ElfError(`no function starts at offset ${link.offset} of section ${link.section}`, {
      section: from.section.name,
      offset: from.offset + link.pc * SLOT,
    });
  }
  return to;
}
