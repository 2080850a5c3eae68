/**
 * The compiler as one call: parse, check and lower, optimise, allocate registers, emit. It reads no files and keeps no
 * state but the parsed library.
 */
import { CompileError, type Diagnostic } from "@ebplane/core/errors";
import { STACK_SIZE } from "@ebplane/core/isa";
import type { CollectionSpec, LineInfo, MapSpec, ProgramSpec } from "@ebplane/core/object";
import { DataSection, emit, TypeTable } from "./emit/index.ts";
import { missingCheck } from "./explain.ts";
import { irLines, printFn, RODATA } from "./ir/index.ts";
import { type ListingBlock, listing } from "./listing.ts";
import {
  type Constants,
  type Lowered,
  type LoweredProgram,
  lower,
  type MapDecl,
  type ModuleSettings,
} from "./lower/index.ts";
import { optimize } from "./opt/index.ts";
import { PLACE_FILE, type Source } from "./parse/index.ts";
import { select } from "./regalloc/index.ts";

export interface CompileInput {
  /** Path of the file whose exported programs are built. */
  readonly entry: string;
  /** Texts by path, or a function that gives one (undefined where there is no file). */
  readonly files: ReadonlyMap<string, string> | ((path: string) => string | undefined);
  /** Values for `config(name, …)`. */
  readonly constants?: Constants;
  /**
   * false: constants of the configuration are not folded but kept in `.rodata`, as variables of their names that a loader
   * may still set (as libbpf does). Nothing is left out then.
   */
  readonly fold?: boolean;
  /** What holds for single files, by their paths. */
  readonly modules?: ReadonlyMap<string, ModuleSettings>;
}

/** What the build left out and why. Lines start at 1. */
export interface Receipt {
  /** Constants that were given and asked for, with their values. */
  readonly constants: ReadonlyMap<string, number | bigint | boolean>;
  /** Constants that were given and that no file asks for. */
  readonly unusedConstants: readonly string[];
  /** Branches that a constant decided. */
  readonly branches: readonly { readonly file: string; readonly line: number }[];
  /** Functions that no program reaches. */
  readonly functions: readonly string[];
  /** Maps that no program uses. */
  readonly maps: readonly string[];
  /** By program: instructions (8-byte slots) and bytes of stack. */
  readonly programs: ReadonlyMap<string, { readonly insns: number; readonly stack: number }>;
}

/** Source place of the instruction at `pc`, and of those up to the next. */
interface Place {
  readonly pc: number;
  readonly at: number;
}

export interface Compiled {
  readonly spec: CollectionSpec;
  readonly receipt: Receipt;
  readonly diagnostics: readonly Diagnostic[];
  /** The intermediate form of a program after optimisation, as text; undefined where there is no such program. */
  readonly ir: (program: string) => string | undefined;
  /** A program's source, intermediate form and bytecode, side by side. @throws RangeError where there is no such program. */
  readonly listing: (program: string) => readonly ListingBlock[];
  /**
   * What a verifier's rejection of a program at `pc` means in the source: its place, and where the compiler knows it the
   * variable and the missing check; otherwise `reason`, the verifier's own words.
   */
  readonly explain: (program: string, pc: number, reason: string) => Diagnostic;
}

/**
 * Compiles the programs that the entry file exports.
 * @throws CompileError with every complaint, each at its line and column.
 */
export function compile(input: CompileInput): Compiled {
  const { files } = input;
  const read = typeof files === "function" ? files : (path: string) => files.get(path);
  const diagnostics: Diagnostic[] = [];
  const seen = new Set<string>();
  const report = (at: number, message: string, sources: readonly Source[]): void => {
    const d = diagnostic(at, message, sources);
    const key = `${d.file}:${d.line}:${d.col}:${d.message}`;
    if (!seen.has(key)) diagnostics.push(d);
    seen.add(key);
  };
  const lowered = lower(
    input.entry,
    read,
    input.constants ?? {},
    input.modules ?? new Map(),
    input.fold ?? true,
    report,
  );
  if (!lowered) throw new CompileError([{ file: input.entry, line: 1, col: 1, message: "there is no such file" }]);
  if (diagnostics.length) throw new CompileError(sorted(diagnostics));
  const types = new TypeTable();
  const rodata = new DataSection();
  const programs = new Map<string, ProgramSpec>();
  const places = new Map<string, readonly Place[]>();
  const sizes = new Map<string, { insns: number; stack: number }>();
  for (const p of lowered.programs) {
    optimize(p.fn);
    programs.set(p.name, build(p, lowered, types, rodata, report, sizes, places));
  }
  if (diagnostics.length) throw new CompileError(sorted(diagnostics));
  const maps = new Map<string, MapSpec>();
  const used = new Set(
    [...programs.values()].flatMap((p) => p.relocs.flatMap((r) => (r.kind === "map" ? [r.name] : []))),
  );
  for (const [name, map] of lowered.maps) if (used.has(name)) maps.set(name, mapSpec(map, types));
  if (rodata.size) maps.set(RODATA, rodata.map());
  const spec: CollectionSpec = {
    programs,
    maps,
    license: lowered.license,
    btf: types.build(),
    byteOrder: "little",
    ...(rodata.size ? { variables: rodata.variables() } : {}),
  };
  const ir = (name: string): string | undefined => {
    const p = lowered.programs.find((x) => x.name === name);
    return p && printFn(p.fn);
  };
  const list = (name: string): readonly ListingBlock[] => {
    const [built, lower] = [programs.get(name), lowered.programs.find((x) => x.name === name)];
    if (!built || !lower) throw new RangeError(`there is no program ${name}`);
    return listing(built, irLines(lower.fn), (at) => position(at, lowered.sources));
  };
  const explain = (name: string, pc: number, reason: string): Diagnostic => {
    const at = places.get(name)?.findLast((p) => p.pc <= pc)?.at;
    const program = lowered.programs.find((p) => p.name === name);
    if (!program) throw new RangeError(`there is no program ${name}`);
    return diagnostic(at ?? program.decl.at, missingCheck(lowered, at, reason) ?? reason, lowered.sources);
  };
  return { spec, receipt: receipt(input, lowered, used, sizes), diagnostics, ir, listing: list, explain };
}

function build(
  p: LoweredProgram,
  lowered: Lowered,
  types: TypeTable,
  rodata: DataSection,
  report: (at: number, message: string, sources: readonly Source[]) => void,
  sizes: Map<string, { insns: number; stack: number }>,
  placesOf: Map<string, readonly Place[]>,
): ProgramSpec {
  const machine = select(p.fn);
  const { code, relocs, places, frame } = emit(machine, (object) => rodata.place(object));
  if (frame.size > STACK_SIZE) {
    const largest = [...frame.offsets.keys()].sort((a, b) => b.size - a.size).slice(0, 4);
    const what = largest.map((s) => `${s.name} ${s.size}`).join(", ");
    const message = `${p.name} needs ${frame.size} bytes of stack, the limit is ${STACK_SIZE}: the largest are ${what}; keep large objects in a percpuArray`;
    report(largest[0]!.at || p.decl.at, message, lowered.sources);
  }
  placesOf.set(p.name, places);
  sizes.set(p.name, { insns: code.length / 8, stack: frame.size });
  return {
    name: p.name,
    section: p.decl.section,
    type: p.decl.type,
    attachType: p.decl.attachType,
    flags: p.decl.flags,
    ...(p.decl.attachTo === undefined ? {} : { attachTo: p.decl.attachTo }),
    code,
    relocs,
    funcInfo: [{ pc: 0, name: p.name, typeId: types.program(p.name, p.decl.type, p.decl.attachType) }],
    lineInfo: lineInfo(places[0]?.pc === 0 ? places : [{ pc: 0, at: p.decl.at }, ...places], lowered.sources),
  };
}

function lineInfo(places: readonly { pc: number; at: number }[], sources: readonly Source[]): LineInfo[] {
  const out: LineInfo[] = [];
  for (const { pc, at } of places) {
    const { file, line, col } = position(at, sources);
    const last = out.at(-1);
    if (last && last.file === file && last.line === line && last.col === col) continue;
    const source = sources[Math.floor(at / PLACE_FILE)]!;
    const text = source.text.slice(source.lines[line - 1]!, source.lines[line] ?? source.text.length).trimEnd();
    out.push({ pc, file, line, col, text });
  }
  return out;
}

function mapSpec(map: MapDecl, types: TypeTable): MapSpec {
  return {
    name: map.name,
    type: map.type,
    keySize: map.keySize,
    valueSize: map.valueSize,
    maxEntries: map.maxEntries,
    flags: map.flags,
    pinning: map.pinned ? "by-name" : "none",
    keyTypeId: map.key && types.id(map.key),
    valueTypeId: map.value && types.id(map.value),
  };
}

function receipt(
  input: CompileInput,
  lowered: Lowered,
  used: ReadonlySet<string>,
  sizes: Receipt["programs"],
): Receipt {
  const branches = lowered.removed.map(({ at }) => position(at, lowered.sources));
  const unique = new Map(branches.map((b) => [`${b.file}:${b.line}`, { file: b.file, line: b.line }]));
  return {
    constants: lowered.usedConstants,
    unusedConstants: Object.keys(input.constants ?? {}).filter((name) => !lowered.usedConstants.has(name)),
    branches: [...unique.values()],
    functions: lowered.unusedFunctions.map(({ fn }) => fn.name),
    maps: [...lowered.maps.keys()].filter((m) => !used.has(m)),
    programs: sizes,
  };
}

function position(at: number, sources: readonly Source[]): { file: string; line: number; col: number } {
  const source = sources[Math.floor(at / PLACE_FILE)]!;
  const offset = at % PLACE_FILE;
  let lo = 0;
  let hi = source.lines.length - 1;
  while (lo < hi) {
    const mid = (lo + hi + 1) >> 1;
    if (source.lines[mid]! <= offset) lo = mid;
    else hi = mid - 1;
  }
  return { file: source.name, line: lo + 1, col: offset - source.lines[lo]! + 1 };
}

function diagnostic(at: number, message: string, sources: readonly Source[]): Diagnostic {
  return { ...position(at, sources), message };
}

function sorted(diagnostics: readonly Diagnostic[]): Diagnostic[] {
  return [...diagnostics].sort((a, b) =>
    a.file < b.file ? -1 : a.file > b.file ? 1 : a.line - b.line || a.col - b.col,
  );
}
