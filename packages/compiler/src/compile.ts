/**
 * The compiler as one call: parse, check and lower, optimise, allocate registers, emit. It reads no files and keeps no
 * state but the parsed library.
 */

import { concatBytes, viewOf } from "@ebplane/core/bytes";
import { CompileError, type Diagnostic } from "@ebplane/core/errors";
import { SLOT, STACK_SIZE } from "@ebplane/core/isa";
import {
  type CollectionSpec,
  compareVersions,
  type LineInfo,
  type MapSpec,
  type ProgramSpec,
} from "@ebplane/core/object";
import type { KernelVersion } from "@ebplane/core/verifier";
import { DataSections, type Emitted, emit, TypeTable } from "./emit/index.ts";
import { missingCheck } from "./explain.ts";
import { type Callee, type DataObject, irLines, printFn } from "./ir/index.ts";
import {
  codeNeeds,
  formsFor,
  type KernelForms,
  type KernelNeed,
  mapNeed,
  OLDEST_KERNEL,
  programNeeds,
  unmet,
} from "./kernel.ts";
import { type ListingBlock, listing } from "./listing.ts";
import {
  type Constants,
  type Lowered,
  type LoweredProgram,
  lower,
  type MapDecl,
  type ModuleSettings,
  type ProgramDecl,
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
  /**
   * The oldest kernel that the programs are to load on, `major.minor` from 5.4 on: what it lacks is complained about, and
   * what younger kernels have is not used. Without it the code takes the oldest form there is, and `Receipt.needs` tells
   * what has none.
   */
  readonly kernel?: KernelVersion | undefined;
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
  /**
   * Loops of more rounds than a verifier walks, or of a number that nothing bounds: they run over the kernel's counter,
   * which Linux has since 6.4.
   */
  readonly loops: readonly { readonly file: string; readonly line: number }[];
  /** What is younger than the kernel that was named, or than 5.4 where none was: by version, the youngest first. */
  readonly needs: readonly {
    readonly since: string;
    readonly what: string;
    readonly file: string;
    readonly line: number;
  }[];
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
  const forms = formsFor(input.kernel);
  const lowered = lower(
    input.entry,
    read,
    input.constants ?? {},
    input.modules ?? new Map(),
    input.fold ?? true,
    forms,
    report,
  );
  if (!lowered) throw new CompileError([{ file: input.entry, line: 1, col: 1, message: "there is no such file" }]);
  if (diagnostics.length) throw new CompileError(sorted(diagnostics));
  const types = new TypeTable();
  const data = new DataSections();
  const programs = new Map<string, ProgramSpec>();
  const places = new Map<string, readonly Place[]>();
  const sizes = new Map<string, { insns: number; stack: number }>();
  const needs: KernelNeed[] = [];
  for (const p of lowered.programs) {
    optimize(p.fn);
    for (const s of p.subs) optimize(s.fn);
    programs.set(p.name, build(p, lowered, types, data, forms, report, sizes, places, needs));
  }
  const [first] = lowered.programs;
  if (first) for (const e of lowered.externals) types.external(e, first.decl.type, first.decl.attachType);
  const maps = new Map<string, MapSpec>();
  const used = new Set(
    [...programs.values()].flatMap((p) => p.relocs.flatMap((r) => (r.kind === "map" ? [r.name] : []))),
  );
  for (const name of used) {
    // A set grows while it is gone through: maps bring what their slots hold.
    for (const slot of lowered.maps.get(name)?.slots ?? []) if ("keySize" in slot) used.add(slot.name);
  }
  const programName = (decl: ProgramDecl): string => lowered.programs.find((p) => p.decl === decl)?.name ?? "";
  for (const [name, map] of lowered.maps) if (used.has(name)) maps.set(name, mapSpec(map, types, programName));
  for (const map of data.maps()) maps.set(map.name, map);
  for (const name of used) {
    const declared = lowered.maps.get(name);
    if (declared) needs.push(mapNeed(declared));
  }
  if (input.kernel !== undefined) {
    for (const { since, what, at } of unmet(needs, input.kernel)) {
      report(at, `${what} needs Linux ${since}, this is built for ${input.kernel}`, lowered.sources);
    }
  }
  if (diagnostics.length) throw new CompileError(sorted(diagnostics));
  for (const t of lowered.structs) types.id(t);
  const variables = data.variables((object) => types.id(object.type));
  const spec: CollectionSpec = {
    programs,
    maps,
    license: lowered.license,
    btf: types.build(),
    byteOrder: "little",
    ...(variables.size ? { variables } : {}),
  };
  const ir = (name: string): string | undefined => {
    const p = lowered.programs.find((x) => x.name === name);
    return p && [p.fn, ...p.subs.map((s) => s.fn)].map(printFn).join("\n");
  };
  const list = (name: string): readonly ListingBlock[] => {
    const [built, lower] = [programs.get(name), lowered.programs.find((x) => x.name === name)];
    if (!built || !lower) throw new RangeError(`there is no program ${name}`);
    const functions = [lower.fn, ...lower.subs.map((x) => x.fn)];
    return listing(built, functions.flatMap(irLines), (at) => position(at, lowered.sources));
  };
  const explain = (name: string, pc: number, reason: string): Diagnostic => {
    const at = places.get(name)?.findLast((p) => p.pc <= pc)?.at;
    const program = lowered.programs.find((p) => p.name === name);
    if (!program) throw new RangeError(`there is no program ${name}`);
    return diagnostic(at ?? program.decl.at, missingCheck(lowered, at, reason) ?? reason, lowered.sources);
  };
  return { spec, receipt: receipt(input, lowered, used, sizes, needs), diagnostics, ir, listing: list, explain };
}

/** One function's code, before it has its place in the program. */
interface Unit {
  readonly name: string;
  readonly at: number;
  readonly callee: Callee | undefined;
  readonly emitted: Emitted;
  readonly typeId: number;
}

function build(
  p: LoweredProgram,
  lowered: Lowered,
  types: TypeTable,
  data: DataSections,
  forms: KernelForms,
  report: (at: number, message: string, sources: readonly Source[]) => void,
  sizes: Map<string, { insns: number; stack: number }>,
  placesOf: Map<string, readonly Place[]>,
  needs: KernelNeed[],
): ProgramSpec {
  const place = (object: DataObject): number => data.place(object);
  const { type, attachType } = p.decl;
  const main: Unit = {
    name: p.name,
    at: p.decl.at,
    callee: undefined,
    emitted: emit(select(p.fn, forms.contextConstants), place),
    typeId: types.program(p.name, type, attachType),
  };
  // What is still called after optimising, in the order of calls.
  const units = [main];
  const functions = [p.fn];
  const byCallee = new Map(p.subs.map((s) => [s.callee, s]));
  for (const unit of units) {
    for (const { callee } of unit.emitted.links) {
      if (units.some((u) => u.callee === callee)) continue;
      const sub = byCallee.get(callee)!;
      const typeId = types.subprogram(callee.name, sub, type, attachType, forms.argumentTags);
      functions.push(sub.fn);
      units.push({
        name: callee.name,
        at: sub.at,
        callee,
        emitted: emit(select(sub.fn, forms.contextConstants), place),
        typeId,
      });
    }
  }
  const stack = checkStack(p, units, (at, message) => report(at, message, lowered.sources));
  const starts = new Map<Unit, number>();
  let size = 0;
  for (const u of units) {
    starts.set(u, size);
    size += u.emitted.code.length / SLOT;
  }
  const code = concatBytes(units.map((u) => u.emitted.code));
  for (const u of units) {
    for (const { pc, callee } of u.emitted.links) {
      const at = starts.get(u)! + pc;
      const to = starts.get(units.find((x) => x.callee === callee)!)!;
      viewOf(code).setInt32(at * SLOT + 4, to - at - 1, true);
    }
  }
  const shifted = <T extends { readonly pc: number }>(of: (e: Emitted) => readonly T[]): T[] =>
    units.flatMap((u) => of(u.emitted).map((x) => ({ ...x, pc: x.pc + starts.get(u)! })));
  const places = units.flatMap((u) => {
    const own = u.emitted.places;
    const first = own[0]?.pc === 0 ? own : [{ pc: 0, at: u.at }, ...own];
    return first.map((x) => ({ ...x, pc: x.pc + starts.get(u)! }));
  });
  placesOf.set(p.name, places);
  needs.push(...programNeeds(p.decl, functions, lowered.maps));
  needs.push(...codeNeeds(code, (pc) => places.findLast((x) => x.pc <= pc)!.at));
  sizes.set(p.name, { insns: size, stack });
  return {
    name: p.name,
    section: p.decl.section,
    type,
    attachType,
    flags: p.decl.flags,
    ...(p.decl.attachTo === undefined ? {} : { attachTo: p.decl.attachTo }),
    code,
    relocs: shifted((e) => e.relocs),
    ...(units.some((u) => u.emitted.cores.length)
      ? {
          coreRelos: shifted((e) => e.cores).map(({ pc, site }) => ({
            pc,
            typeId: types.id(site.type),
            access: site.access,
            kind: site.kind,
          })),
        }
      : {}),
    funcInfo: units.map((u) => ({ pc: starts.get(u)!, name: u.name, typeId: u.typeId })),
    lineInfo: lineInfo(places, new Set(starts.values()), lowered.sources),
  };
}

/** The kernel counts each function's frame in steps of this. */
const FRAME_STEP = 32;

/** Complains where a chain of calls needs more stack than there is; gives what the deepest needs. */
function checkStack(p: LoweredProgram, units: readonly Unit[], report: (at: number, message: string) => void): number {
  const own = (u: Unit): number => u.emitted.frame.size;
  const counted = (u: Unit): number =>
    units.length === 1 ? own(u) : Math.max(FRAME_STEP, Math.ceil(own(u) / FRAME_STEP) * FRAME_STEP);
  const deepest = (u: Unit): Unit[] => {
    let best: Unit[] = [];
    const total = (list: readonly Unit[]): number => list.reduce((sum, x) => sum + counted(x), 0);
    for (const { callee } of u.emitted.links) {
      const chain = deepest(units.find((x) => x.callee === callee)!);
      if (total(chain) > total(best)) best = chain;
    }
    return [u, ...best];
  };
  const chain = deepest(units[0]!);
  const size = chain.reduce((sum, u) => sum + counted(u), 0);
  if (size > STACK_SIZE) {
    const objects = chain.flatMap((u) => [...u.emitted.frame.offsets.keys()]);
    const largest = objects.sort((a, b) => b.size - a.size).slice(0, 4);
    const what = largest.map((s) => `${s.name} ${s.size}`).join(", ");
    const through = chain.length > 1 ? ` (${chain.map((u) => u.name).join(" calls ")})` : "";
    const message = `${p.name} needs ${size} bytes of stack${through}, the limit is ${STACK_SIZE}: the largest are ${what}; keep large objects in a percpuArray`;
    report(largest[0]?.at || p.decl.at, message);
  }
  return size;
}

/** `starts`: where functions begin, which have a line of their own even when it is that of the one before. */
function lineInfo(places: readonly Place[], starts: ReadonlySet<number>, sources: readonly Source[]): LineInfo[] {
  const out: LineInfo[] = [];
  for (const { pc, at } of places) {
    const { file, line, col } = position(at, sources);
    const last = out.at(-1);
    if (last && last.file === file && last.line === line && last.col === col && !starts.has(pc)) continue;
    const source = sources[Math.floor(at / PLACE_FILE)]!;
    const text = source.text.slice(source.lines[line - 1]!, source.lines[line] ?? source.text.length).trimEnd();
    out.push({ pc, file, line, col, text });
  }
  return out;
}

function mapSpec(map: MapDecl, types: TypeTable, programName: (decl: ProgramDecl) => string): MapSpec {
  const contents = map.slots.map((slot, k) => {
    const key = new Uint8Array(Uint32Array.of(k).buffer);
    return { key, value: "keySize" in slot ? { map: slot.name } : { program: programName(slot) } };
  });
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
    ...(map.inner ? { inner: mapSpec(map.inner.map as MapDecl, types, programName) } : {}),
    ...(contents.length ? { contents } : {}),
  };
}

function receipt(
  input: CompileInput,
  lowered: Lowered,
  used: ReadonlySet<string>,
  sizes: Receipt["programs"],
  needs: readonly KernelNeed[],
): Receipt {
  const branches = lowered.removed.map(({ at }) => position(at, lowered.sources));
  const unique = new Map(branches.map((b) => [`${b.file}:${b.line}`, { file: b.file, line: b.line }]));
  return {
    constants: lowered.usedConstants,
    unusedConstants: Object.keys(input.constants ?? {}).filter((name) => !lowered.usedConstants.has(name)),
    branches: [...unique.values()],
    functions: lowered.unusedFunctions.map(({ fn }) => fn.name),
    maps: [...lowered.maps.keys()].filter((m) => !used.has(m)),
    loops: [...lowered.counted].map((at) => {
      const { file, line } = position(at, lowered.sources);
      return { file, line };
    }),
    needs: needsText(needs, input.kernel ?? OLDEST_KERNEL, lowered.sources),
    programs: sizes,
  };
}

/** What is younger, each once, the youngest first. */
function needsText(needs: readonly KernelNeed[], kernel: string, sources: readonly Source[]): Receipt["needs"] {
  const byText = new Map<string, Receipt["needs"][number]>();
  for (const { since, what, at } of unmet(needs, kernel)) {
    const { file, line } = position(at, sources);
    if (!byText.has(what)) byText.set(what, { since, what, file, line });
  }
  return [...byText.values()].sort((a, b) => compareVersions(b.since, a.since));
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
