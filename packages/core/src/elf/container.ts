/**
 * The ELF container: sections, symbols and relocations of a 64-bit relocatable object, both byte orders, as they
 * stand in the file. What they mean to BPF is read.ts's and write.ts's work.
 * Source: System V ABI, chapters 4 "Object Files" and "Symbol Table"; LLVM's BPF relocation numbers.
 */
import { viewOf } from "../bytes/index.ts";
import { ElfError } from "../errors/index.ts";

export const EM_BPF = 247;
export const ET_REL = 1;
export const SHT_PROGBITS = 1;
export const SHT_SYMTAB = 2;
export const SHT_STRTAB = 3;
export const SHT_RELA = 4;
export const SHT_NOBITS = 8;
export const SHT_REL = 9;
export const SHF_WRITE = 1;
export const SHF_ALLOC = 2;
export const SHF_EXECINSTR = 4;
export const SHF_INFO_LINK = 0x40;
export const STB_LOCAL = 0;
export const STB_GLOBAL = 1;
export const STB_WEAK = 2;
export const STT_NOTYPE = 0;
export const STT_OBJECT = 1;
export const STT_FUNC = 2;
export const STT_SECTION = 3;
export const STV_DEFAULT = 0;
export const STV_HIDDEN = 2;
export const SHN_UNDEF = 0;
export const SHN_LORESERVE = 0xff00;
export const SHN_COMMON = 0xfff2;

/** lddw; 64-bit and 32-bit addresses in data; calls. */
export const R_BPF_64_64 = 1;
export const R_BPF_64_ABS64 = 2;
export const R_BPF_64_ABS32 = 3;
export const R_BPF_64_NODYLD32 = 4;
export const R_BPF_64_32 = 10;

const EHDR_SIZE = 64;
const SHDR_SIZE = 64;
const SYM_SIZE = 24;

export interface ElfSection {
  readonly index: number;
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  /** A view of the file; empty for SHT_NOBITS, whose `size` says how many zeros it stands for. */
  readonly data: Uint8Array;
  readonly size: number;
  readonly link: number;
  readonly info: number;
  readonly align: number;
}

export interface ElfSymbol {
  readonly name: string;
  readonly bind: number;
  readonly type: number;
  readonly visibility: number;
  readonly section: number;
  readonly value: number;
  readonly size: number;
}

export interface ElfReloc {
  /** Byte offset in the section that it applies to. */
  readonly offset: number;
  readonly symbol: number;
  readonly type: number;
  readonly addend: number;
}

export interface ElfFile {
  readonly littleEndian: boolean;
  readonly sections: readonly ElfSection[];
  readonly symbols: readonly ElfSymbol[];
  /** Relocations by index of the section that they apply to. */
  readonly relocs: ReadonlyMap<number, readonly ElfReloc[]>;
}

/** Parses the container. @throws ElfError for anything out of range, and for what is no 64-bit relocatable BPF object. */
export function parseElf(file: Uint8Array): ElfFile {
  // A plain view: what callers copy with slice() must be a copy, and a Node Buffer's slice() is none.
  const bytes = new Uint8Array(file.buffer, file.byteOffset, file.byteLength);
  const view = viewOf(bytes);
  if (bytes.length < EHDR_SIZE) throw new ElfError(`need ${EHDR_SIZE} bytes of ELF header, have ${bytes.length}`);
  if (view.getUint32(0) !== 0x7f454c46) throw new ElfError("not an ELF file: expected the magic 7f 45 4c 46");
  if (bytes[4] !== 2) throw new ElfError(`expected a 64-bit object (class 2), got class ${bytes[4]}`);
  if (bytes[5] !== 1 && bytes[5] !== 2) throw new ElfError(`expected byte order 1 or 2, got ${bytes[5]}`);
  const little = bytes[5] === 1;
  const u16 = (at: number) => view.getUint16(at, little);
  const machine = u16(18);
  // Linkers and some compilers leave the machine 0; libbpf allows it too.
  if (machine !== EM_BPF && machine !== 0) throw new ElfError(`expected machine ${EM_BPF} (BPF), got ${machine}`);
  if (u16(16) !== ET_REL) throw new ElfError(`expected a relocatable object (type 1), got type ${u16(16)}`);
  const sections = parseSections(bytes, view, little);
  const { symbols, relocs } = parseLinking(sections, little);
  return { littleEndian: little, sections, symbols, relocs };
}

/** A 64-bit field whose value must be usable as an offset into the file. */
function u64(view: DataView, at: number, little: boolean): number {
  return Number(view.getBigUint64(at, little));
}

function parseSections(bytes: Uint8Array, view: DataView, little: boolean): ElfSection[] {
  const start = u64(view, 40, little);
  const entrySize = view.getUint16(58, little);
  const count = view.getUint16(60, little);
  const namesIndex = view.getUint16(62, little);
  if (count === 0) throw new ElfError("has no sections", { offset: 60 });
  if (entrySize !== SHDR_SIZE)
    throw new ElfError(`expected section headers of 64 bytes, got ${entrySize}`, { offset: 58 });
  if (start + count * SHDR_SIZE > bytes.length) {
    throw new ElfError(`${count} section headers at ${start} do not fit ${bytes.length} bytes`, { offset: 40 });
  }
  const header = (i: number) => {
    const at = start + i * SHDR_SIZE;
    return {
      index: i,
      nameAt: view.getUint32(at, little),
      type: view.getUint32(at + 4, little),
      flags: Number(view.getBigUint64(at + 8, little) & 0xffffffffn),
      offset: u64(view, at + 24, little),
      size: u64(view, at + 32, little),
      link: view.getUint32(at + 40, little),
      info: view.getUint32(at + 44, little),
      align: u64(view, at + 48, little),
    };
  };
  if (namesIndex >= count) throw new ElfError(`section names in section ${namesIndex} of ${count}`, { offset: 62 });
  const names = header(namesIndex);
  if (names.offset + names.size > bytes.length)
    throw new ElfError("section names end outside the file", { offset: 62 });
  const nameBytes = bytes.subarray(names.offset, names.offset + names.size);
  return Array.from({ length: count }, (_, i): ElfSection => {
    const { offset, nameAt, ...h } = header(i);
    const name = i === 0 ? "" : stringAt(nameBytes, nameAt, `section ${i}`);
    const inFile = h.type !== SHT_NOBITS && h.type !== 0;
    if (inFile && offset + h.size > bytes.length) {
      throw new ElfError(`${h.size} bytes at ${offset} end outside the file`, { section: name || `section ${i}` });
    }
    if (h.size > 0xffffffff) throw new ElfError(`${h.size} bytes are more than 4 GB`, { section: name });
    return { ...h, name, data: inFile ? bytes.subarray(offset, offset + h.size) : new Uint8Array(0) };
  });
}

function stringAt(strings: Uint8Array, at: number, what: string): string {
  if (at >= strings.length && at !== 0)
    throw new ElfError(`name at ${at} of ${strings.length} bytes`, { section: what });
  const end = strings.indexOf(0, at);
  if (end < 0) {
    if (at === 0 && strings.length === 0) return "";
    throw new ElfError(`name at ${at} has no end`, { section: what });
  }
  let text = "";
  for (let i = at; i < end; i++) {
    if (strings[i]! > 0x7f) return new TextDecoder().decode(strings.subarray(at, end));
    text += String.fromCharCode(strings[i]!);
  }
  return text;
}

function parseLinking(sections: readonly ElfSection[], little: boolean) {
  const symbols: ElfSymbol[] = [];
  const relocs = new Map<number, ElfReloc[]>();
  const table = sections.find((s) => s.type === SHT_SYMTAB);
  if (table) {
    const strings = sections[table.link];
    if (!strings || strings.type !== SHT_STRTAB) {
      throw new ElfError(`expected its names in a string table, got section ${table.link}`, { section: table.name });
    }
    if (table.size % SYM_SIZE) throw new ElfError(`${table.size} bytes are no whole symbols`, { section: table.name });
    const view = viewOf(table.data);
    for (let at = 0; at < table.data.length; at += SYM_SIZE) {
      const info = view.getUint8(at + 4);
      const section = view.getUint16(at + 6, little);
      if (section >= sections.length && section < SHN_LORESERVE) {
        throw new ElfError(`symbol in section ${section} of ${sections.length}`, { section: table.name, offset: at });
      }
      symbols.push({
        name: stringAt(strings.data, view.getUint32(at, little), strings.name),
        bind: info >> 4,
        type: info & 15,
        visibility: view.getUint8(at + 5) & 3,
        section,
        value: u64(view, at + 8, little),
        size: u64(view, at + 16, little),
      });
    }
  }
  for (const section of sections) {
    if (section.type !== SHT_REL && section.type !== SHT_RELA) continue;
    const size = section.type === SHT_REL ? 16 : 24;
    if (section.size % size)
      throw new ElfError(`${section.size} bytes are no whole relocations`, { section: section.name });
    const target = sections[section.info];
    if (!target || section.info === 0) {
      throw new ElfError(`applies to section ${section.info} of ${sections.length}`, { section: section.name });
    }
    const view = viewOf(section.data);
    const list = relocs.get(section.info) ?? [];
    for (let at = 0; at < section.data.length; at += size) {
      const symbol = view.getUint32(at + (little ? 12 : 8), little);
      if (symbol >= symbols.length) {
        throw new ElfError(`symbol ${symbol} of ${symbols.length}`, { section: section.name, offset: at });
      }
      list.push({
        offset: u64(view, at, little),
        symbol,
        type: view.getUint32(at + (little ? 8 : 12), little),
        addend: size === 24 ? Number(view.getBigInt64(at + 16, little)) : 0,
      });
    }
    relocs.set(section.info, list);
  }
  return { symbols, relocs };
}

/**
 * Where a relocation of 64 bits of data points, in bytes from the start of its symbol's section: what stands in the
 * data counts too, as it does where the symbol is that of a whole section.
 */
export function pointedAt(file: ElfFile, section: ElfSection, r: ElfReloc): { section: number; offset: number } {
  const symbol = file.symbols[r.symbol]!;
  const inPlace =
    r.offset + 8 <= section.data.length ? Number(viewOf(section.data).getBigInt64(r.offset, file.littleEndian)) : 0;
  return { section: symbol.section, offset: symbol.value + inPlace + r.addend };
}

interface PendingSection {
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  readonly data: Uint8Array;
  readonly size: number;
  readonly align: number;
}

interface LinkedSection extends PendingSection {
  readonly link: number;
  readonly info: number;
  readonly entrySize: number;
}

/** Collects sections, symbols and relocations, and lays them out. */
export class ElfBuilder {
  readonly #sections: PendingSection[] = [];
  readonly #locals: ElfSymbol[] = [];
  readonly #globals: ElfSymbol[] = [];
  readonly #relocs = new Map<number, { offset: number; symbol: ElfSymbol; type: number }[]>();

  /** `data` is not copied. `size` is of a SHT_NOBITS section. Returns the section's index. */
  section(
    name: string,
    type: number,
    flags: number,
    data: Uint8Array,
    options: { align?: number; size?: number } = {},
  ): number {
    const { align = 8, size = data.length } = options;
    return this.#sections.push({ name, type, flags, data, size, align });
  }

  symbol(symbol: Omit<ElfSymbol, "visibility"> & { visibility?: number }): ElfSymbol {
    const full = { visibility: STV_DEFAULT, ...symbol };
    (symbol.bind === STB_LOCAL ? this.#locals : this.#globals).push(full);
    return full;
  }

  /** The symbol that stands for a whole section; one a section. */
  sectionSymbol(section: number): ElfSymbol {
    const known = this.#locals.find((s) => s.type === STT_SECTION && s.section === section);
    return known ?? this.symbol({ name: "", bind: STB_LOCAL, type: STT_SECTION, section, value: 0, size: 0 });
  }

  reloc(section: number, offset: number, symbol: ElfSymbol, type: number): void {
    const list = this.#relocs.get(section) ?? [];
    list.push({ offset, symbol, type });
    this.#relocs.set(section, list);
  }

  /** The file, little-endian. */
  finish(): Uint8Array {
    const symbols = [...this.#locals, ...this.#globals];
    const symbolIndex = new Map(symbols.map((s, i) => [s, i + 1]));
    const symtabIndex = this.#sections.length + this.#relocs.size + 1;
    const all: LinkedSection[] = this.#sections.map((s) => ({ ...s, link: 0, info: 0, entrySize: 0 }));
    for (const [target, list] of [...this.#relocs].sort((a, b) => a[0] - b[0])) {
      const data = new Uint8Array(list.length * 16);
      const view = viewOf(data);
      [...list]
        .sort((a, b) => a.offset - b.offset)
        .forEach((r, i) => {
          view.setBigUint64(i * 16, BigInt(r.offset), true);
          view.setUint32(i * 16 + 8, r.type, true);
          view.setUint32(i * 16 + 12, symbolIndex.get(r.symbol)!, true);
        });
      const name = `.rel${this.#sections[target - 1]!.name}`;
      const flags = SHF_INFO_LINK;
      all.push({
        name,
        type: SHT_REL,
        flags,
        data,
        size: data.length,
        align: 8,
        link: symtabIndex,
        info: target,
        entrySize: 16,
      });
    }
    const names = stringTable();
    const symtab = new Uint8Array((symbols.length + 1) * SYM_SIZE);
    const view = viewOf(symtab);
    symbols.forEach((s, i) => {
      const at = (i + 1) * SYM_SIZE;
      view.setUint32(at, names.add(s.name), true);
      view.setUint8(at + 4, (s.bind << 4) | s.type);
      view.setUint8(at + 5, s.visibility);
      view.setUint16(at + 6, s.section, true);
      view.setBigUint64(at + 8, BigInt(s.value), true);
      view.setBigUint64(at + 16, BigInt(s.size), true);
    });
    const info = this.#locals.length + 1;
    const base = { flags: 0, align: 8, entrySize: SYM_SIZE, info };
    all.push({ ...base, name: ".symtab", type: SHT_SYMTAB, data: symtab, size: symtab.length, link: symtabIndex + 1 });
    const nameAt = [...all.map((s) => names.add(s.name)), names.add(".strtab")];
    const strings = names.bytes();
    all.push({
      name: ".strtab",
      type: SHT_STRTAB,
      flags: 0,
      data: strings,
      size: strings.length,
      align: 1,
      link: 0,
      info: 0,
      entrySize: 0,
    });
    return layOut(all, nameAt);
  }
}

function stringTable() {
  const known = new Map<string, number>([["", 0]]);
  const parts: number[] = [0];
  const encoder = new TextEncoder();
  return {
    add(s: string): number {
      const at = known.get(s);
      if (at !== undefined) return at;
      known.set(s, parts.length);
      const start = parts.length;
      for (const b of encoder.encode(s)) parts.push(b);
      parts.push(0);
      return start;
    },
    bytes: () => Uint8Array.from(parts),
  };
}

function layOut(sections: readonly LinkedSection[], nameAt: readonly number[]): Uint8Array {
  let at = EHDR_SIZE;
  const offsets = sections.map((s) => {
    at = Math.ceil(at / s.align) * s.align;
    const start = at;
    at += s.data.length;
    return start;
  });
  const table = Math.ceil(at / 8) * 8;
  const out = new Uint8Array(table + (sections.length + 1) * SHDR_SIZE);
  const view = viewOf(out);
  out.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, ET_REL, true);
  view.setUint16(18, EM_BPF, true);
  view.setUint32(20, 1, true);
  view.setBigUint64(40, BigInt(table), true);
  view.setUint16(52, EHDR_SIZE, true);
  view.setUint16(58, SHDR_SIZE, true);
  view.setUint16(60, sections.length + 1, true);
  view.setUint16(62, sections.length, true);
  sections.forEach((s, i) => {
    out.set(s.data, offsets[i]!);
    const h = table + (i + 1) * SHDR_SIZE;
    view.setUint32(h, nameAt[i]!, true);
    view.setUint32(h + 4, s.type, true);
    view.setBigUint64(h + 8, BigInt(s.flags), true);
    view.setBigUint64(h + 24, BigInt(offsets[i]!), true);
    view.setBigUint64(h + 32, BigInt(s.size), true);
    view.setUint32(h + 40, s.link, true);
    view.setUint32(h + 44, s.info, true);
    view.setBigUint64(h + 48, BigInt(s.align), true);
    view.setBigUint64(h + 56, BigInt(s.entrySize), true);
  });
  return out;
}
