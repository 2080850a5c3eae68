/**
 * Links several objects into one, as `bpftool gen object` does: sections of one name are joined, global symbols
 * resolved (a strong one wins over weak ones, undefined ones find their definition), types deduplicated.
 *
 * The result is an object like any other: calls into `.text` and references to maps and data stay relocations.
 * Source: tools/lib/bpf/linker.c (libbpf 1.5) for the rules.
 */
import {
  type Btf,
  type BtfDatasec,
  type BtfExt,
  type BtfType,
  dedupTypes,
  encodeBtf,
  encodeBtfExt,
  extStrings,
  mapReferences,
  parseBtf,
  parseBtfExt,
} from "../btf/index.ts";
import { bytesEqual, concatBytes, viewOf } from "../bytes/index.ts";
import { ElfError } from "../errors/index.ts";
import { OP_CALL, OP_LDDW, SLOT } from "../isa/index.ts";
import * as elf from "./container.ts";

export interface LinkInput {
  /** For messages: usually the file's name. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** Sections that must be the same in all objects and stay once. */
const ONCE = new Set(["license", "version"]);
const DROPPED = /^\.(?:symtab|strtab|shstrtab|llvm|debug_|comment|note|eh_frame|BTF)|^$/;

interface Joined {
  readonly name: string;
  readonly type: number;
  flags: number;
  align: number;
  size: number;
  readonly parts: Uint8Array[];
}

interface Input extends LinkInput {
  readonly file: elf.ElfFile;
  readonly btf: Btf | undefined;
  readonly ext: BtfExt | undefined;
  /** Where each of its sections begins in the joined one. */
  readonly base: Map<number, number>;
}

/**
 * One object out of several.
 * @throws ElfError naming the objects for two strong definitions, unlike licenses, or an object that is big-endian.
 */
export function linkObjects(inputs: readonly LinkInput[]): Uint8Array {
  if (!inputs.length) throw new RangeError("expected at least one object to link");
  const objects = inputs.map(openInput);
  const joined = joinSections(objects);
  const out = new elf.ElfBuilder();
  const data = new Map<string, Uint8Array>();
  const index = new Map<string, number>();
  for (const s of joined.values()) {
    const bytes = concatBytes(s.parts);
    data.set(s.name, bytes);
    index.set(s.name, out.section(s.name, s.type, s.flags, bytes, { align: s.align, size: s.size }));
  }
  const globals = resolveGlobals(objects);
  const symbolOf = writeSymbols(objects, globals, out, index);
  for (const o of objects) relocateInput(o, out, index, data, symbolOf);
  const types = joinTypes(objects, joined, globals);
  if (types) {
    const ext = joinExt(objects, types.maps);
    const { bytes, strings } = encodeBtf(types.types, { extraStrings: extStrings(ext) });
    out.section(".BTF", elf.SHT_PROGBITS, 0, bytes);
    if (ext.funcs.length) out.section(".BTF.ext", elf.SHT_PROGBITS, 0, encodeBtfExt(ext, strings));
  }
  return out.finish();
}

function openInput({ name, bytes }: LinkInput): Input {
  const file = elf.parseElf(bytes);
  if (!file.littleEndian) throw new ElfError(`${name} is big-endian, which is not linked`);
  const section = (n: string) => file.sections.find((s) => s.name === n && s.data.length > 0)?.data;
  const btfBytes = section(".BTF");
  const extBytes = section(".BTF.ext");
  const btf = btfBytes && parseBtf(btfBytes);
  return { name, bytes, file, btf, ext: btf && extBytes ? parseBtfExt(extBytes, btf) : undefined, base: new Map() };
}

function isKept(s: elf.ElfSection): boolean {
  return (s.type === elf.SHT_PROGBITS || s.type === elf.SHT_NOBITS) && !DROPPED.test(s.name) && s.size > 0;
}

function joinSections(objects: readonly Input[]): Map<string, Joined> {
  const joined = new Map<string, Joined>();
  for (const o of objects) {
    for (const s of o.file.sections) {
      if (!isKept(s)) continue;
      const align = Math.max(1, Math.min(s.align, 4096));
      let to = joined.get(s.name);
      if (!to) {
        to = { name: s.name, type: s.type, flags: s.flags, align, size: 0, parts: [] };
        joined.set(s.name, to);
      } else if (to.type !== s.type)
        throw new ElfError(`${o.name}: has bytes in one object and none in another`, { section: s.name });
      if (ONCE.has(s.name) && to.parts.length) {
        if (!bytesEqual(concatBytes(to.parts), s.data))
          throw new ElfError(`${o.name}: differs from the other objects'`, { section: s.name });
        o.base.set(s.index, 0);
        continue;
      }
      const start = Math.ceil(to.size / align) * align;
      if (s.type === elf.SHT_PROGBITS) to.parts.push(new Uint8Array(start - to.size), s.data.slice());
      to.size = start + s.size;
      to.align = Math.max(to.align, align);
      to.flags |= s.flags;
      o.base.set(s.index, start);
    }
  }
  return joined;
}

/** A global name's definition: the winner, or the first undefined mention. */
interface Global {
  readonly object: Input;
  readonly symbol: elf.ElfSymbol;
}

function resolveGlobals(objects: readonly Input[]): Map<string, Global> {
  const globals = new Map<string, Global>();
  for (const object of objects) {
    for (const symbol of object.file.symbols) {
      if (symbol.bind === elf.STB_LOCAL || !symbol.name) continue;
      // The license's variable is the same in all.
      if (ONCE.has(object.file.sections[symbol.section]?.name ?? "")) {
        if (!globals.has(symbol.name)) globals.set(symbol.name, { object, symbol });
        continue;
      }
      const known = globals.get(symbol.name);
      if (!known || rank(symbol) > rank(known.symbol)) globals.set(symbol.name, { object, symbol });
      else if (rank(symbol) === 3 && rank(known.symbol) === 3) {
        throw new ElfError(`${symbol.name} is defined in ${known.object.name} and in ${object.name}`);
      }
    }
  }
  return globals;
}

/** Strong definition, weak definition, strong mention, weak mention. */
function rank(s: elf.ElfSymbol): number {
  const weak = s.bind === elf.STB_WEAK;
  if (s.section === elf.SHN_UNDEF) return weak ? 0 : 1;
  return weak ? 2 : 3;
}

type SymbolOf = (object: Input, symbol: number) => elf.ElfSymbol;

function writeSymbols(
  objects: readonly Input[],
  globals: ReadonlyMap<string, Global>,
  out: elf.ElfBuilder,
  index: ReadonlyMap<string, number>,
): SymbolOf {
  const written = new Map<Input, (elf.ElfSymbol | undefined)[]>();
  const place = (o: Input, s: elf.ElfSymbol) => {
    const section = o.file.sections[s.section];
    const base = o.base.get(s.section);
    if (!section || base === undefined) return undefined;
    return { section: index.get(section.name)!, value: base + s.value };
  };
  const winners = new Map<string, elf.ElfSymbol>();
  for (const [name, { object, symbol }] of globals) {
    const at = symbol.section === elf.SHN_UNDEF ? { section: elf.SHN_UNDEF, value: 0 } : place(object, symbol);
    if (at) winners.set(name, out.symbol({ ...symbol, ...at }));
  }
  for (const o of objects) {
    written.set(
      o,
      o.file.symbols.map((s, i) => {
        if (i === 0) return undefined;
        if (s.bind !== elf.STB_LOCAL && s.name) {
          const loser = globals.get(s.name)!.symbol !== s && s.section !== elf.SHN_UNDEF && s.type === elf.STT_FUNC;
          const at = loser ? place(o, s) : undefined;
          // Code that lost stays as bytes; a local name keeps function borders known.
          if (at) out.symbol({ ...s, ...at, bind: elf.STB_LOCAL, visibility: elf.STV_DEFAULT });
          return winners.get(s.name);
        }
        const at = place(o, s);
        if (!at) return undefined;
        if (s.type === elf.STT_SECTION) return out.sectionSymbol(at.section);
        // Labels inside code are of no use to loaders.
        return s.type === elf.STT_NOTYPE ? { ...s, ...at } : out.symbol({ ...s, ...at });
      }),
    );
  }
  return (o, symbol) => {
    const s = written.get(o)![symbol];
    if (!s) throw new ElfError(`${o.name}: a relocation needs symbol ${symbol}, whose section is not linked`);
    return s;
  };
}

function relocateInput(
  o: Input,
  out: elf.ElfBuilder,
  index: ReadonlyMap<string, number>,
  data: ReadonlyMap<string, Uint8Array>,
  symbolOf: SymbolOf,
): void {
  for (const [target, relocs] of o.file.relocs) {
    const section = o.file.sections[target]!;
    const base = o.base.get(target);
    if (base === undefined) continue;
    const bytes = data.get(section.name)!;
    const view = viewOf(bytes);
    for (const r of relocs) {
      const at = base + r.offset;
      if (at + SLOT > bytes.length)
        throw new ElfError(`${o.name}: a relocation at ${r.offset} is outside`, { section: section.name });
      const symbol = o.file.symbols[r.symbol]!;
      const shift = symbol.type === elf.STT_SECTION ? (o.base.get(symbol.section) ?? 0) : 0;
      // What is meant stands as an offset from the section's start in the instruction: its part moved.
      if (shift && (section.flags & elf.SHF_EXECINSTR) !== 0) {
        const step = bytes[at] === OP_CALL ? shift / SLOT : bytes[at] === OP_LDDW ? shift : 0;
        view.setInt32(at + 4, view.getInt32(at + 4, true) + step, true);
      } else if (shift && r.type === elf.R_BPF_64_ABS64) {
        view.setBigUint64(at, view.getBigUint64(at, true) + BigInt(shift), true);
      }
      out.reloc(index.get(section.name)!, at, symbolOf(o, r.symbol), r.type);
    }
  }
}

/** Keeps a type's id until all are joined. */
const PLACEHOLDER: BtfType = { kind: "typedef", name: "__ebplane_placeholder", type: 0 };

interface JoinedTypes {
  readonly types: readonly BtfType[];
  /** New id of each type of each object. */
  readonly maps: ReadonlyMap<Input, (id: number) => number>;
}

/** All types in one list, sections of one name joined, mentions of what another object defines resolved; then dedup. */
function joinTypes(
  objects: readonly Input[],
  joined: ReadonlyMap<string, Joined>,
  globals: ReadonlyMap<string, Global>,
): JoinedTypes | undefined {
  if (!objects.some((o) => o.btf)) return undefined;
  const all: BtfType[] = [];
  const first = new Map<Input, number>();
  const sections = new Map<string, BtfDatasec["vars"][number][]>();
  for (const o of objects) {
    if (!o.btf) continue;
    const shift = all.length;
    first.set(o, shift);
    const move = (id: number) => (id ? id + shift : 0);
    for (let id = 1; id < o.btf.length; id++) {
      const type = mapReferences(o.btf.type(id), move);
      // A mention of what another object defines goes; that object has the definition.
      if ((type.kind === "func" || type.kind === "var") && type.linkage === "extern" && isDefined(type.name, globals)) {
        all.push(PLACEHOLDER);
      } else all.push(type);
      if (type.kind !== "datasec") continue;
      const list = sections.get(type.name) ?? [];
      list.push(...placeVars(o, type, globals, (v) => o.btf!.type(v - shift)));
      sections.set(type.name, list);
      // Its place in the list is kept by a type that nothing refers to; the joined one comes last.
      all[all.length - 1] = PLACEHOLDER;
    }
  }
  for (const [name, vars] of sections) {
    const size = joined.get(name)?.size ?? 0;
    if (vars.length) all.push({ kind: "datasec", name, size, vars: vars.sort((a, b) => a.offset - b.offset) });
  }
  const { types, ids } = dropPlaceholders(dedupTypes(all));
  const maps = new Map(objects.map((o) => [o, (id: number) => (id ? ids[id + (first.get(o) ?? 0)]! : 0)]));
  return { types, maps };
}

function isDefined(name: string, globals: ReadonlyMap<string, Global>): boolean {
  const found = globals.get(name);
  return found !== undefined && found.symbol.section !== elf.SHN_UNDEF;
}

/** The section's variables at their joined offsets; a mention of what another object defines is left out. */
function placeVars(
  o: Input,
  section: BtfDatasec,
  globals: ReadonlyMap<string, Global>,
  typeOf: (id: number) => BtfType,
): BtfDatasec["vars"][number][] {
  const own = o.file.sections.find((s) => s.name === section.name && isKept(s));
  const base = own ? o.base.get(own.index)! : 0;
  if (ONCE.has(section.name) && objectsBefore(o, globals)) return [];
  return section.vars.flatMap((v) => {
    const variable = typeOf(v.type);
    const global = globals.get(variable.name);
    const extern = (variable.kind === "var" || variable.kind === "func") && variable.linkage === "extern";
    if (extern) {
      // Still undefined: one mention stays. Defined elsewhere: that object lists it.
      if (global && (global.symbol.section !== elf.SHN_UNDEF || global.object !== o)) return [];
      return [v];
    }
    const symbol =
      variable.kind === "var" && variable.linkage === "global" && own && section.size === 0
        ? o.file.symbols.find((s) => s.section === own.index && s.name === variable.name && s.bind !== elf.STB_LOCAL)
        : undefined;
    return [{ ...v, offset: base + (symbol?.value ?? v.offset) }];
  });
}

/** True when the license's section was taken from an earlier object. */
function objectsBefore(o: Input, globals: ReadonlyMap<string, Global>): boolean {
  for (const { object, symbol } of globals.values()) {
    if (ONCE.has(object.file.sections[symbol.section]?.name ?? "") && object !== o) return true;
  }
  return false;
}

/** Takes the placeholders of joined sections out and moves all ids. */
function dropPlaceholders({ types, ids }: { types: readonly BtfType[]; ids: Uint32Array }) {
  const move = new Uint32Array(types.length + 1);
  const kept: BtfType[] = [];
  types.forEach((t, i) => {
    if (t.kind === PLACEHOLDER.kind && t.name === PLACEHOLDER.name) return;
    kept.push(t);
    move[i + 1] = kept.length;
  });
  return { types: kept.map((t) => mapReferences(t, (id) => move[id]!)), ids: ids.map((id) => move[id]!) };
}

function joinExt(objects: readonly Input[], maps: JoinedTypes["maps"]): BtfExt {
  const join = <T extends { readonly offset: number }>(
    pick: (ext: BtfExt) => readonly { readonly section: string; readonly records: readonly T[] }[],
    change: (o: Input, record: T) => T,
  ) => {
    const sections = new Map<string, T[]>();
    for (const o of objects) {
      for (const { section, records } of o.ext ? pick(o.ext) : []) {
        const own = o.file.sections.find((s) => s.name === section && isKept(s));
        const base = own ? o.base.get(own.index)! : 0;
        const list = sections.get(section) ?? [];
        for (const r of records) list.push(change(o, { ...r, offset: r.offset + base }));
        sections.set(section, list);
      }
    }
    return [...sections].map(([section, records]) => ({ section, records }));
  };
  const typed = <T extends { readonly typeId: number }>(o: Input, r: T): T => ({
    ...r,
    typeId: maps.get(o)!(r.typeId),
  });
  return {
    funcs: join((e) => e.funcs, typed),
    lines: join(
      (e) => e.lines,
      (_, r) => r,
    ),
    coreRelos: join((e) => e.coreRelos, typed),
  };
}
