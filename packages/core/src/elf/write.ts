/**
 * A collection as an ELF object that libbpf, bpftool, tc and ip load: program sections, `.text` with the subprograms,
 * BTF-defined maps, global data, `.BTF` and `.BTF.ext`.
 *
 * Subprograms that several programs share (same name, same code) are written once. Initial entries of hash maps have
 * no place in libbpf's format: they go into a section of our own, which others ignore and read.ts knows.
 */
import { BtfBuilder, type BtfDatasec, type BtfExt, encodeBtfExt, extStrings } from "../btf/index.ts";
import { concatBytes, toHex, viewOf } from "../bytes/index.ts";
import { ElfError } from "../errors/index.ts";
import { BPF_PSEUDO_CALL, BPF_PSEUDO_FUNC, decode, type Insn, OP_CALL, OP_LDDW, SLOT } from "../isa/index.ts";
import type { CollectionSpec, CoreReloc, LineInfo, MapSpec, ProgramSpec, Reloc } from "../object/index.ts";
import * as elf from "./container.ts";
import { CONTENTS_SECTION, encodeContents } from "./contents.ts";
import { ARENA_SECTION, holdsArenaData, isDataSection } from "./data.ts";
import { KCONFIG_MAP } from "./externs.ts";
import { defineMap } from "./map-btf.ts";
import { libbpfSection } from "./sections.ts";

/** Initial entries of all maps together. */
const MAX_SLOTS = 1 << 22;

/** One function to be written: the entry of a program, or a subprogram. `relocs`, `lines` … count from its start. */
interface OutFunction {
  readonly name: string;
  /** Tells a program's entry from a subprogram of the same name. */
  readonly key: string;
  readonly section: string;
  readonly global: boolean;
  readonly typeId: number;
  /** Set to a view of its section when placed, so that patches land there. */
  code: Uint8Array;
  readonly relocs: readonly Reloc[];
  readonly lines: readonly LineInfo[];
  readonly coreRelos: readonly CoreReloc[];
  /** Calls and function addresses: slot in this function, and the key of the function meant. */
  readonly links: readonly { readonly pc: number; readonly to: string }[];
  /** Byte offset in its section, set when placed. */
  offset: number;
}

/**
 * Writes the collection, little-endian.
 * @throws ElfError for what an object cannot express, naming the program or map.
 */
export function writeElf(spec: CollectionSpec): Uint8Array {
  if (spec.byteOrder === "big") throw new ElfError("a big-endian collection cannot be written");
  const out = new elf.ElfBuilder();
  const btf = spec.btf ? BtfBuilder.from(spec.btf) : new BtfBuilder();
  const functions = splitFunctions(spec);
  const sections = placeFunctions(functions);

  const codeIndex = new Map<string, number>();
  for (const [name, code] of sections) {
    codeIndex.set(name, out.section(name, elf.SHT_PROGBITS, elf.SHF_ALLOC | elf.SHF_EXECINSTR, code));
  }
  const license = new TextEncoder().encode(`${spec.license}\0`);
  const licenseIndex = out.section("license", elf.SHT_PROGBITS, elf.SHF_ALLOC | elf.SHF_WRITE, license, { align: 1 });
  out.symbol({
    name: "_license",
    bind: elf.STB_GLOBAL,
    type: elf.STT_OBJECT,
    section: licenseIndex,
    value: 0,
    size: license.length,
  });
  if (spec.version !== undefined) {
    const version = new Uint8Array(4);
    viewOf(version).setUint32(0, spec.version, true);
    out.section("version", elf.SHT_PROGBITS, elf.SHF_ALLOC | elf.SHF_WRITE, version, { align: 4 });
  }

  const funcSymbols = new Map<OutFunction, elf.ElfSymbol>();
  for (const f of functions) {
    // libbpf finds functions by their symbols, static ones too; it is called through the section's, as clang does.
    const bind = f.global ? elf.STB_GLOBAL : elf.STB_LOCAL;
    const place = { section: codeIndex.get(f.section)!, value: f.offset, size: f.code.length };
    const symbol = out.symbol({ name: f.name, bind, type: elf.STT_FUNC, ...place });
    if (f.global) funcSymbols.set(f, symbol);
  }
  const mapSymbols = writeMaps(spec, out, btf, new Map([...funcSymbols].map(([f, s]) => [f.name, s])));
  const dataSections = writeData(spec, out, btf);
  const externs = externSymbols(spec, out, btf);
  const byKey = new Map(functions.map((f) => [f.key, f]));
  for (const f of functions) {
    const index = codeIndex.get(f.section)!;
    for (const r of f.relocs) relocate(r, f, index, out, { spec, mapSymbols, dataSections, externs });
    for (const link of f.links) {
      const to = byKey.get(link.to)!;
      const isCall = f.code[link.pc * SLOT] === OP_CALL;
      if (isCall && to.section === f.section) continue;
      const symbol = funcSymbols.get(to) ?? out.sectionSymbol(codeIndex.get(to.section)!);
      out.reloc(index, f.offset + link.pc * SLOT, symbol, isCall ? elf.R_BPF_64_32 : elf.R_BPF_64_64);
    }
  }
  writeStructOps(spec, out, new Map([...funcSymbols].map(([f, s]) => [f.name, s])));
  for (const part of spec.unknown ?? []) {
    // Relocations of data are listed as unknown; without their symbols they would be wrong.
    if (!part.section.startsWith(".rel")) out.section(part.section, elf.SHT_PROGBITS, elf.SHF_ALLOC, part.data);
  }
  const contents = encodeContents(spec);
  if (contents) out.section(CONTENTS_SECTION, elf.SHT_PROGBITS, 0, contents);

  const ext = extOf(functions, spec.btf !== undefined);
  if (btf.length > 1) {
    const { bytes, strings } = btf.encode(extStrings(ext));
    out.section(".BTF", elf.SHT_PROGBITS, 0, bytes);
    if (ext.funcs.length || ext.lines.length || ext.coreRelos.length) {
      out.section(".BTF.ext", elf.SHT_PROGBITS, 0, encodeBtfExt(ext, strings));
    }
  }
  return out.finish();
}

/** Every program's functions; subprograms that are the same in several programs only once. */
function splitFunctions(spec: CollectionSpec): OutFunction[] {
  const mains: OutFunction[] = [];
  const subs = new Map<string, OutFunction>();
  const globals = new Map<string, string>();
  for (const program of spec.programs.values()) {
    const insns = decode(program.code);
    const starts = functionStarts(program, insns);
    const names = functionNames(program, starts, spec);
    const cuts = starts.map((start, i) =>
      cutFunction(program, insns, start, starts[i + 1] ?? program.code.length / SLOT, names.get(start)!, spec),
    );
    const keys = functionKeys(program, cuts);
    for (const { start, targets, ...f } of cuts) {
      const links = targets.map(({ pc, target }) => ({ pc, to: keys.get(target)! }));
      const bad = targets.find(({ target }) => !keys.has(target));
      if (bad)
        throw new ElfError(
          `program ${program.name} slot ${start + bad.pc}: calls slot ${bad.target}, which is outside`,
        );
      const key = keys.get(start)!;
      if (start === 0) mains.push({ ...f, key, links });
      else if (!subs.has(key)) {
        if (f.global && globals.has(f.name)) {
          throw new ElfError(`program ${program.name}: function ${f.name} differs from another program's of that name`);
        }
        if (f.global) globals.set(f.name, key);
        subs.set(key, { ...f, key, links });
      }
    }
  }
  return [...mains, ...subs.values()];
}

/** A function as cut from a program, its calls still by slot of the program. */
type Cut = Omit<OutFunction, "key" | "links"> & {
  readonly start: number;
  readonly targets: readonly { readonly pc: number; readonly target: number }[];
};

/**
 * Keys by start slot: name and all that the function is, what it calls included, so that equal keys mean functions
 * that can stand for each other.
 */
function functionKeys(program: ProgramSpec, cuts: readonly Cut[]): Map<number, string> {
  const byStart = new Map(cuts.map((c) => [c.start, c]));
  const own = new Map(
    cuts.map((c) => {
      const code = c.code.slice();
      for (const t of c.targets) viewOf(code).setInt32(t.pc * SLOT + 4, 0);
      return [c.start, JSON.stringify([c.name, toHex(code), c.relocs, c.coreRelos])];
    }),
  );
  return new Map(
    cuts.map((c) => {
      if (c.start === 0) return [0, `program ${program.name}`];
      // Everything reachable, in the order of calls: each function once, so cycles end.
      const seen = new Set<number>();
      const stack = [c.start];
      const parts: string[] = [];
      while (stack.length) {
        const at = stack.pop()!;
        const cut = byStart.get(at);
        parts.push(at === 0 ? `program ${program.name}` : seen.has(at) ? (cut?.name ?? "") : (own.get(at) ?? ""));
        if (seen.has(at) || !cut || at === 0) continue;
        seen.add(at);
        for (const t of [...cut.targets].reverse()) stack.push(t.target);
      }
      return [c.start, parts.join("\n")];
    }),
  );
}

function functionStarts(program: ProgramSpec, insns: readonly Insn[]): number[] {
  const starts = new Set<number>([0, ...program.funcInfo.map((f) => f.pc)]);
  for (const i of insns) {
    const to = i.pc + 1 + i.imm;
    if (isLink(i) && to >= 0 && to < program.code.length / SLOT) starts.add(to);
  }
  return [...starts].sort((a, b) => a - b);
}

/** A call of, or an address of, another function of the program. */
function isLink(i: Insn): boolean {
  return (i.opcode === OP_CALL && i.src === BPF_PSEUDO_CALL) || (i.opcode === OP_LDDW && i.src === BPF_PSEUDO_FUNC);
}

function functionNames(program: ProgramSpec, starts: readonly number[], spec: CollectionSpec): Map<number, string> {
  const known = new Map(program.funcInfo.map((f) => [f.pc, f.name]));
  return new Map(
    starts.map((pc) => {
      if (pc === 0) return [pc, program.name];
      const name = known.get(pc) ?? `${program.name}_sub_${pc}`;
      // A function that is a program of its own too keeps one name; the copy in .text needs another.
      return [pc, spec.programs.has(name) ? `${name}_sub` : name];
    }),
  );
}

function cutFunction(
  program: ProgramSpec,
  insns: readonly Insn[],
  start: number,
  end: number,
  name: string,
  spec: CollectionSpec,
): Cut {
  const inside = <T extends { readonly pc: number }>(list: readonly T[]): T[] =>
    list.filter((x) => x.pc >= start && x.pc < end).map((x) => ({ ...x, pc: x.pc - start }));
  const info = program.funcInfo.find((f) => f.pc === start);
  const type = info && spec.btf ? spec.btf.type(info.typeId) : undefined;
  const targets = inside(insns.filter(isLink)).map((i) => ({ pc: i.pc, target: i.pc + start + 1 + i.imm }));
  return {
    start,
    name,
    section: start === 0 ? libbpfSection(program) : ".text",
    global: start === 0 || (type?.kind === "func" && type.linkage === "global"),
    typeId: info?.typeId ?? 0,
    code: program.code.slice(start * SLOT, end * SLOT),
    relocs: inside(program.relocs),
    lines: withFirstLine(inside(program.lineInfo)),
    coreRelos: inside(program.coreRelos ?? []),
    targets,
    offset: 0,
  };
}

/** The kernel refuses line info that does not begin with each function's first instruction. */
function withFirstLine(lines: LineInfo[]): LineInfo[] {
  const [first] = lines;
  return first && first.pc !== 0 ? [{ ...first, pc: 0 }, ...lines] : lines;
}

/** Functions by section, both in order of first mention. */
function bySection(functions: readonly OutFunction[]): Map<string, OutFunction[]> {
  const sections = new Map<string, OutFunction[]>();
  for (const f of functions) {
    const list = sections.get(f.section);
    if (list) list.push(f);
    else sections.set(f.section, [f]);
  }
  return sections;
}

/** Puts each function into its section's bytes and patches the links' distances; .text comes first. */
function placeFunctions(functions: readonly OutFunction[]): Map<string, Uint8Array> {
  const found = bySection(functions);
  const text = found.get(".text");
  const sections = new Map([...(text ? [[".text", text] as const] : []), ...found]);
  const bytes = new Map<string, Uint8Array>();
  for (const [name, list] of sections) {
    const code = concatBytes(list.map((f) => f.code));
    let at = 0;
    for (const f of list) {
      f.offset = at;
      f.code = code.subarray(at, (at += f.code.length));
    }
    bytes.set(name, code);
  }
  const byKey = new Map(functions.map((f) => [f.key, f]));
  for (const f of functions) {
    for (const link of f.links) {
      const to = byKey.get(link.to)!;
      const address = f.code[link.pc * SLOT] === OP_LDDW;
      const at = to.offset / SLOT;
      let imm: number;
      // An address is always a relocation, and counts bytes from its symbol. A call inside a section is final; from
      // another it counts slots from its symbol, less 1.
      if (address) imm = to.global ? 0 : to.offset;
      else if (f.section === to.section) imm = at - (f.offset / SLOT + link.pc + 1);
      else imm = to.global ? -1 : at - 1;
      viewOf(f.code).setInt32(link.pc * SLOT + 4, imm, true);
      // clang leaves src 0 in a function's address; libbpf sets the pseudo kind.
      if (address) f.code[link.pc * SLOT + 1]! &= 0x0f;
    }
  }
  return bytes;
}

function writeMaps(
  spec: CollectionSpec,
  out: elf.ElfBuilder,
  btf: BtfBuilder,
  programs: ReadonlyMap<string, elf.ElfSymbol>,
): Map<string, elf.ElfSymbol> {
  const symbols = new Map<string, elf.ElfSymbol>();
  // libbpf creates maps in this order, and those in the slots of another must be there first.
  const holdsMaps = (m: MapSpec) => Number(m.inner !== undefined);
  const maps = [...spec.maps.values()]
    .filter((m) => !isDataSection(m) && m.name !== KCONFIG_MAP)
    .sort((a, b) => holdsMaps(a) - holdsMaps(b));
  if (!maps.length) return symbols;
  const slots = maps.reduce((sum, m) => sum + (m.contents?.length ?? 0), 0);
  if (slots > MAX_SLOTS) throw new ElfError(`the maps have ${slots} initial entries, an object ${MAX_SLOTS} at most`);
  const defined = maps.map((map) => ({ map, ...defineMap(map, btf) }));
  const total = defined.reduce((sum, d) => sum + d.size, 0);
  const section = out.section(".maps", elf.SHT_PROGBITS, elf.SHF_ALLOC | elf.SHF_WRITE, new Uint8Array(total));
  let offset = 0;
  const vars = [];
  for (const { map, typeId, size } of defined) {
    const place = { section, value: offset, size };
    symbols.set(map.name, out.symbol({ name: map.name, bind: elf.STB_GLOBAL, type: elf.STT_OBJECT, ...place }));
    vars.push({ type: btf.var(map.name, typeId), offset, size });
    offset += size;
  }
  setDatasec(spec, btf, ".maps", total, vars);
  for (const d of defined) {
    const start = symbols.get(d.map.name)!.value;
    for (const slot of d.slots) {
      const symbol = slot.program !== undefined ? programs.get(slot.program) : symbols.get(slot.map);
      if (!symbol)
        throw new ElfError(`map ${d.map.name}: its slot names ${slot.program ?? slot.map}, which is not here`);
      out.reloc(section, start + slot.offset, symbol, elf.R_BPF_64_ABS64);
    }
  }
  return symbols;
}

/** Adds a DATASEC, or replaces the one that the collection's BTF has. */
function setDatasec(spec: CollectionSpec, btf: BtfBuilder, name: string, size: number, vars: BtfDatasec["vars"]): void {
  const known = spec.btf?.find(name, "datasec");
  if (known === undefined) btf.datasec(name, size, vars);
  else btf.define(known, { kind: "datasec", name, size, vars });
}

/**
 * `.rodata*`, `.data*`, `.bss*`: the bytes of the map's one value, and a DATASEC of its variables. `.addr_space.1`: the
 * same of what an arena begins with. Section indexes by the map's name.
 */
function writeData(spec: CollectionSpec, out: elf.ElfBuilder, btf: BtfBuilder): Map<string, number> {
  const indexes = new Map<string, number>();
  for (const map of spec.maps.values()) {
    if (!isDataSection(map) && !holdsArenaData(map)) continue;
    const value = map.contents?.[0]?.value;
    const name = isDataSection(map) ? map.name : ARENA_SECTION;
    const size = value instanceof Uint8Array ? value.length : map.valueSize;
    const flags = elf.SHF_ALLOC | (name.startsWith(".rodata") ? 0 : elf.SHF_WRITE);
    const index =
      value instanceof Uint8Array
        ? out.section(name, elf.SHT_PROGBITS, flags, value)
        : out.section(name, elf.SHT_NOBITS, flags, new Uint8Array(0), { size });
    indexes.set(map.name, index);
    const variables = [...(spec.variables?.values() ?? [])].filter((v) => v.map === map.name);
    for (const v of variables) {
      const bind = v.linkage === "global" ? elf.STB_GLOBAL : elf.STB_LOCAL;
      out.symbol({ name: v.name, bind, type: elf.STT_OBJECT, section: index, value: v.offset, size: v.size });
    }
    const typed = variables.filter((v) => v.typeId);
    if (typed.length && spec.btf?.find(name, "datasec") === undefined) {
      const vars = typed.map((v) => ({ type: btf.var(v.name, v.typeId, v.linkage), offset: v.offset, size: v.size }));
      btf.datasec(name, size, vars);
    }
  }
  return indexes;
}

/** `.struct_ops*`: each variable's bytes where its DATASEC says, and relocations for the programs. */
function writeStructOps(spec: CollectionSpec, out: elf.ElfBuilder, programs: ReadonlyMap<string, elf.ElfSymbol>): void {
  for (const name of new Set(spec.structOps?.map((s) => s.section))) {
    const id = spec.btf?.find(name, "datasec");
    const datasec = id === undefined ? undefined : spec.btf!.type(id);
    if (datasec?.kind !== "datasec") throw new ElfError("its variables have no DATASEC", { section: name });
    const all = spec.structOps!.filter((s) => s.section === name);
    // As long as what is there, whatever size the DATASEC claims.
    const room = all.reduce((sum, s) => sum + s.data.length, 0) + datasec.vars.length * 64;
    const end = Math.max(...datasec.vars.map((v) => v.offset + v.size));
    if (end > room)
      throw new ElfError(`its variables end at ${end}, and have ${room} bytes at most`, { section: name });
    const data = new Uint8Array(end);
    const section = out.section(name, elf.SHT_PROGBITS, elf.SHF_ALLOC | elf.SHF_WRITE, data);
    for (const ops of all) {
      const place = datasec.vars.find((v) => spec.btf!.type(v.type).name === ops.name);
      if (!place || place.offset + ops.data.length > data.length) {
        throw new ElfError(`variable ${ops.name} has no place in the DATASEC`, { section: name });
      }
      data.set(ops.data, place.offset);
      const at = { section, value: place.offset, size: ops.data.length };
      out.symbol({ name: ops.name, bind: elf.STB_GLOBAL, type: elf.STT_OBJECT, ...at });
      for (const { offset, program } of ops.programs) {
        const symbol = programs.get(program);
        if (!symbol) throw new ElfError(`${ops.name}: program ${program} is not here`, { section: name });
        out.reloc(section, place.offset + offset, symbol, elf.R_BPF_64_ABS64);
      }
    }
  }
}

/** Undefined symbols for what something outside defines; libbpf wants it listed in the DATASEC `.ksyms` or `.kconfig`. */
function externSymbols(spec: CollectionSpec, out: elf.ElfBuilder, btf: BtfBuilder): Map<string, elf.ElfSymbol> {
  const symbols = new Map<string, elf.ElfSymbol>();
  const vars: { type: number; offset: number; size: number }[] = [];
  for (const e of spec.externs ?? []) {
    if (e.kind !== "kconfig") continue;
    const bind = e.weak ? elf.STB_WEAK : elf.STB_GLOBAL;
    const place = { section: elf.SHN_UNDEF, value: 0, size: 0 };
    symbols.set(e.name, out.symbol({ name: e.name, bind, type: elf.STT_NOTYPE, ...place }));
  }
  for (const program of spec.programs.values()) {
    for (const r of program.relocs) {
      if ((r.kind !== "kfunc" && r.kind !== "ksym") || symbols.has(r.name)) continue;
      const bind = r.weak ? elf.STB_WEAK : elf.STB_GLOBAL;
      const place = { section: elf.SHN_UNDEF, value: 0, size: 0 };
      symbols.set(r.name, out.symbol({ name: r.name, bind, type: elf.STT_NOTYPE, ...place }));
      const known = spec.btf?.find(r.name, r.kind === "kfunc" ? "func" : "var");
      // Without a type the name stays a mere symbol, as clang leaves a function that nobody declared.
      if (known !== undefined) vars.push({ type: known, offset: 0, size: 0 });
      else if (r.kind === "ksym" && spec.btf) vars.push({ type: btf.var(r.name, 0, "extern"), offset: 0, size: 0 });
    }
  }
  if (vars.length && spec.btf?.find(".ksyms", "datasec") === undefined) btf.datasec(".ksyms", 0, vars);
  return symbols;
}

interface Targets {
  readonly spec: CollectionSpec;
  readonly mapSymbols: ReadonlyMap<string, elf.ElfSymbol>;
  readonly dataSections: ReadonlyMap<string, number>;
  readonly externs: ReadonlyMap<string, elf.ElfSymbol>;
}

function relocate(r: Reloc, f: OutFunction, section: number, out: elf.ElfBuilder, targets: Targets): void {
  const at = f.offset + r.pc * SLOT;
  const fail = (why: string) => new ElfError(`function ${f.name} slot ${r.pc}: ${why}`);
  switch (r.kind) {
    case "map": {
      const symbol = targets.mapSymbols.get(r.name);
      if (!symbol) throw fail(`there is no map ${r.name}`);
      clearPseudo(f, r.pc);
      out.reloc(section, at, symbol, elf.R_BPF_64_64);
      break;
    }
    case "mapValue": {
      const extern = r.name === KCONFIG_MAP ? kconfigAt(targets.spec, r.offset) : undefined;
      if (extern) {
        clearPseudo(f, r.pc);
        out.reloc(section, at, targets.externs.get(extern)!, elf.R_BPF_64_64);
        break;
      }
      const data = targets.dataSections.get(r.name);
      if (data === undefined) throw fail(`the address of a value of map ${r.name} has no form in an object`);
      clearPseudo(f, r.pc);
      viewOf(f.code).setInt32(r.pc * SLOT + 4, r.offset, true);
      out.reloc(section, at, out.sectionSymbol(data), elf.R_BPF_64_64);
      break;
    }
    case "kfunc":
      // As clang writes an undefined function: a local call of -1, made a kfunc call by the symbol.
      f.code[r.pc * SLOT + 1] = BPF_PSEUDO_CALL << 4;
      viewOf(f.code).setInt32(r.pc * SLOT + 4, -1, true);
      out.reloc(section, at, targets.externs.get(r.name)!, elf.R_BPF_64_32);
      break;
    case "ksym":
      clearPseudo(f, r.pc);
      out.reloc(section, at, targets.externs.get(r.name)!, elf.R_BPF_64_64);
      break;
  }
}

function kconfigAt(spec: CollectionSpec, offset: number): string | undefined {
  return spec.externs?.find((e) => e.kind === "kconfig" && e.offset === offset)?.name;
}

function clearPseudo(f: OutFunction, pc: number): void {
  f.code[pc * SLOT + 1]! &= 0x0f;
}

function extOf(functions: readonly OutFunction[], withFuncs: boolean): BtfExt {
  const records = <T>(of: (f: OutFunction) => readonly T[]) =>
    [...bySection(functions)]
      .map(([section, list]) => ({ section, records: list.flatMap((f) => [...of(f)]) }))
      .filter((s) => s.records.length);
  return {
    funcs: withFuncs ? records((f) => (f.typeId ? [{ offset: f.offset, typeId: f.typeId }] : [])) : [],
    lines: withFuncs
      ? records((f) =>
          f.lines.map(({ pc, file, line, col, text }) => ({ offset: f.offset + pc * SLOT, file, line, col, text })),
        )
      : [],
    coreRelos: withFuncs
      ? records((f) => f.coreRelos.map(({ pc, ...rest }) => ({ offset: f.offset + pc * SLOT, ...rest })))
      : [],
  };
}
