/**
 * Loading a collection into the kernel: maps, their contents, programs. All or nothing: whatever fails, the fds that
 * were opened before are closed and the kernel frees what they held.
 */
import { mkdirSync } from "node:fs";
import { release } from "node:os";
import { viewOf } from "@ebplane/core/bytes";
import { Errno, type SysError, UnsupportedError, VerifierError } from "@ebplane/core/errors";
import { BPF_PSEUDO_BTF_ID, SLOT } from "@ebplane/core/isa";
import {
  AttachType,
  BPF_F_XDP_DEV_BOUND_ONLY,
  type BpfMap,
  type Collection,
  type CollectionSpec,
  entriesOn,
  initialValue,
  type LoadOptions,
  lineAt,
  type MapSpec,
  MapType,
  type Program,
  type ProgramSpec,
  ProgType,
  progTypeName,
  type Reloc,
  relocate,
  usedMaps,
} from "@ebplane/core/object";
import {
  type BpfToken,
  Cmd,
  cmdName,
  LinuxMap,
  LinuxProgram,
  type MapCreate,
  mapFreeze,
  objGet,
  objPin,
  type ProgLoad,
  permissionRemedy,
  possibleCpus,
  progLoad,
  summarizeLog,
  tryMapCreate,
} from "../bpf/index.ts";
import { programFunction } from "../link/freplace.ts";
import { MappedArena } from "../rings/index.ts";
import { check, close, PAGE_SIZE, sysError } from "../sys/index.ts";
import { LoadedBtf, loadBtf } from "./btf.ts";
import { checkCompatible, specOf } from "./compatible.ts";
import { attachPlace, findType, kernelSymbol, moduleHint } from "./kernel-btf.ts";
import { lackingMap, lackingProgram, youngerThan } from "./lacking.ts";
import { ModuleFds } from "./module-fds.ts";
import { settle } from "./settle.ts";
import { createStructOps, StructOps, type StructOpsMember, selectStructOps } from "./struct-ops.ts";

/** What loading into the kernel can do beyond `LoadOptions`. */
export interface LinuxLoadOptions extends LoadOptions {
  /** As `ProgLoad.logLevel`: with it, accepted programs keep their log too. */
  readonly logLevel?: number;
  /**
   * A directory in bpffs. Maps that ask for pinning by name are found there and shared, or made and pinned there, and
   * then outlive the collection. Without it they are ordinary maps.
   */
  readonly pinDirectory?: string;
  /** With `programs`: maps that are loaded although none of the programs uses them. */
  readonly maps?: readonly string[];
  /** Only these variables of `.struct_ops`, with their programs; absent: all, or with `programs` none. */
  readonly structOps?: readonly string[];
  /**
   * XDP programs are bound to this device (Linux 6.3): they may call its metadata functions (`bpf_xdp_metadata_rx_hash`
   * …), and run nowhere else. By index, in the namespace of the target.
   */
  readonly boundTo?: number;
  /**
   * A loaded program: programs of type ext (section `freplace/FUNCTION`) are loaded for its functions, and fentry and fexit
   * programs trace them in place of the kernel's.
   */
  readonly targetProgram?: LinuxProgram;
  /** Everything is made in its name: for a process that has no privileges of its own. */
  readonly token?: BpfToken;
}

export function loadCollection(object: CollectionSpec, options: LinuxLoadOptions = {}): LinuxCollection {
  if (object.byteOrder !== "little") {
    throw new UnsupportedError("byte order", "the object is big-endian, this machine is little-endian");
  }
  const plans = selectStructOps(object, options.structOps ?? (options.programs && []));
  const members = new Map(plans.flatMap((plan) => [...plan.members]));
  const names = selectPrograms(object, options, members);
  // A program that is asked for alone is verified as the member that some struct makes of it.
  const alone = names.some(
    (n) => object.programs.get(n)!.type === ProgType.BPF_PROG_TYPE_STRUCT_OPS && !members.has(n),
  );
  for (const plan of alone
    ? selectStructOps(
        object,
        object.structOps?.map((s) => s.name),
      )
    : []) {
    for (const [name, member] of plan.members) if (!members.has(name)) members.set(name, member);
  }
  const spec = settle(object, names);
  const programSpecs = names.map((name) => spec.programs.get(name)!);
  const owned: { close(): void }[] = [];
  const keep = <T extends { close(): void }>(object: T): T => {
    owned.push(object);
    return object;
  };
  try {
    const types = loadBtf(spec, options.token?.fd);
    const btf = types instanceof LoadedBtf ? keep(types) : undefined;
    const refusal = typeof types === "string" ? types : undefined;
    const maps = new Map<string, BpfMap>();
    // Maps that were there before us keep what is in them.
    const shared = new Set<string>();
    const onlyUsed = (options.programs ?? options.structOps) !== undefined;
    const needed = onlyUsed ? new Set([...usedMaps(spec, programSpecs), ...(options.maps ?? [])]) : spec.maps.keys();
    for (const name of needed) {
      const reused = options.reuse?.get(name);
      const mapSpec = spec.maps.get(name)!;
      const pinned = reused ? undefined : findPinned(mapSpec, options.pinDirectory);
      if (pinned) shared.add(name);
      maps.set(name, reused ?? keep(pinned ?? createMap(mapSpec, btf, options.token?.fd)));
      if (reused) shared.add(name);
    }
    const arenas = new Map<string, MappedArena>();
    for (const [name, map] of maps) {
      const arena = options.reuse?.has(name) ? undefined : mapArena(linuxMap(map, name), shared.has(name));
      if (arena) arenas.set(name, keep(arena));
    }
    for (const [name, map] of maps) if (!shared.has(name)) fill(map, maps, arenas.get(name));
    const programs = new Map<string, Program>();
    const modules = keep(new ModuleFds());
    for (const program of programSpecs) {
      const member = members.get(program.name);
      programs.set(program.name, keep(loadProgram(spec, program, maps, btf, options, member, modules)));
    }
    const structOps = new Map<string, StructOps>();
    for (const plan of plans) {
      if (!btf) {
        const why = refusal === undefined ? "the object has none" : `this kernel refuses the object's: ${refusal}`;
        throw new UnsupportedError("struct_ops", `struct_ops ${plan.spec.name}: needs BTF, and ${why}`, "5.6");
      }
      const fdOf = (name: string): number => linuxProgram(programs.get(name)!).fd;
      structOps.set(
        plan.spec.name,
        new StructOps(plan, keep(createStructOps(plan, btf, modules, options.token?.fd)), fdOf),
      );
    }
    for (const [name, map] of maps) if (!shared.has(name)) fillPrograms(map, programs);
    // Last, so that a failure leaves no file behind.
    for (const [name, map] of maps) if (!shared.has(name)) pin(map, options.pinDirectory);
    return new LinuxCollection(spec, { programs, maps, structOps, arenas }, owned);
  } catch (error) {
    closeAll(owned);
    throw error;
  }
}

/**
 * The kernel takes a program with an arena only once userspace has mapped it somewhere. One that was there before may be
 * mapped elsewhere by another process: then programs load, and this process does not see its pages.
 */
function mapArena(map: LinuxMap, shared: boolean): MappedArena | undefined {
  if (map.spec.type !== MapType.BPF_MAP_TYPE_ARENA) return undefined;
  try {
    return new MappedArena(map);
  } catch (error) {
    if (shared && (error as SysError).errno === Errno.EINVAL) return undefined;
    throw error;
  }
}

function pinPath(spec: MapSpec, directory: string | undefined): string | undefined {
  return directory === undefined || spec.pinning !== "by-name" ? undefined : `${directory}/${spec.name}`;
}

/** @throws BpfError EINCOMPATIBLE for a pinned map of another shape. */
function findPinned(spec: MapSpec, directory: string | undefined): LinuxMap | undefined {
  const path = pinPath(spec, directory);
  const fd = path === undefined ? undefined : objGet(path);
  if (fd === undefined) return undefined;
  try {
    checkCompatible({ ...spec, maxEntries: entriesOf(spec) }, specOf(fd), path!);
    return new LinuxMap(fd, spec);
  } catch (error) {
    close(fd);
    throw error;
  }
}

function pin(map: BpfMap, directory: string | undefined): void {
  const path = pinPath(map.spec, directory);
  if (path === undefined) return;
  mkdirSync(directory!, { recursive: true });
  objPin(linuxMap(map, map.spec.name).fd, path);
}

export class LinuxCollection implements Collection {
  readonly spec: CollectionSpec;
  readonly programs: ReadonlyMap<string, Program>;
  readonly maps: ReadonlyMap<string, BpfMap>;
  /** By the name of their variables. Their maps are not among `maps`. */
  readonly structOps: ReadonlyMap<string, StructOps>;
  /** The pages of the maps that are arenas, mapped until the collection is closed. */
  readonly arenas: ReadonlyMap<string, MappedArena>;
  readonly #owned: readonly { close(): void }[];

  constructor(
    spec: CollectionSpec,
    made: Pick<LinuxCollection, "programs" | "maps" | "structOps" | "arenas">,
    owned: readonly { close(): void }[],
  ) {
    this.spec = spec;
    this.programs = made.programs;
    this.maps = made.maps;
    this.structOps = made.structOps;
    this.arenas = made.arenas;
    this.#owned = owned;
  }

  /** Closes what this collection made; reused maps stay open. Attached programs run until their links are closed. */
  close(): void {
    closeAll(this.#owned);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function closeAll(objects: readonly { close(): void }[]): void {
  for (const object of objects.toReversed()) object.close();
}

/** Programs for struct_ops are loaded with the struct that they are members of, and not without one. */
function selectPrograms(
  spec: CollectionSpec,
  { programs: names, structOps }: LinuxLoadOptions,
  members: ReadonlyMap<string, StructOpsMember>,
): string[] {
  if (names === undefined && structOps === undefined) {
    return [...spec.programs.values()]
      .filter(
        ({ name, type, autoload }) =>
          autoload !== false && (type !== ProgType.BPF_PROG_TYPE_STRUCT_OPS || members.has(name)),
      )
      .map(({ name }) => name);
  }
  const chosen = [...new Set([...(names ?? []), ...members.keys()])];
  const missing = chosen.find((name) => !spec.programs.has(name));
  if (missing === undefined) return chosen;
  throw new RangeError(`program ${JSON.stringify(missing)}: expected one of ${[...spec.programs.keys()].join(", ")}`);
}

/**
 * Creates a map as its spec says, with its BTF types where the kernel takes them: some map types and all older kernels
 * do not. @throws SysError with the map's name.
 */
export function createMap(spec: MapSpec, btf?: LoadedBtf, tokenFd?: number): LinuxMap {
  let inner: LinuxMap | undefined;
  try {
    if (spec.inner) inner = createMap(spec.inner, btf, tokenFd);
    const plain: MapCreate = {
      type: spec.type,
      keySize: spec.keySize,
      valueSize: spec.valueSize,
      maxEntries: entriesOf(spec),
      name: spec.name,
      flags: spec.flags,
      innerMapFd: inner?.fd,
      mapExtra: spec.mapExtra,
      numaNode: spec.numaNode,
      tokenFd,
    };
    let fd = -1;
    if (btf && spec.valueTypeId) {
      fd = tryMapCreate({
        ...plain,
        btfFd: btf.fd,
        btfKeyTypeId: spec.keyTypeId,
        btfValueTypeId: spec.valueTypeId,
      });
    }
    if (fd < 0) fd = tryMapCreate(plain);
    if (fd === -Errno.EINVAL) {
      const lacking = lackingMap(spec, (flags) => tryMapCreate({ ...plain, flags }));
      if (lacking) throw lacking;
    }
    if (fd === -Errno.EPERM)
      throw sysError(cmdName(Cmd.MAP_CREATE), Errno.EPERM, `map ${spec.name}: ${permissionRemedy()}`);
    check(cmdName(Cmd.MAP_CREATE), fd, `map ${spec.name}`);
    return new LinuxMap(fd, spec);
  } finally {
    inner?.close();
  }
}

function entriesOf(spec: MapSpec): number {
  return entriesOn(spec, { cpus: possibleCpus(), pageSize: PAGE_SIZE });
}

/** Writes the contents that need no program, then freezes. */
function fill(map: BpfMap, maps: ReadonlyMap<string, BpfMap>, arena: MappedArena | undefined): void {
  for (const { key, value } of map.spec.contents ?? []) {
    if (arena && value instanceof Uint8Array) arena.writeBytes(0, value);
    else if (value instanceof Uint8Array) map.update(key, initialValue(map.spec, value, possibleCpus()));
    else if ("map" in value) map.update(key, fdBytes(linuxMap(maps.get(value.map), value.map).fd));
  }
  if (map.spec.frozen) mapFreeze(linuxMap(map, map.spec.name).fd);
}

function fillPrograms(map: BpfMap, programs: ReadonlyMap<string, Program>): void {
  for (const { key, value } of map.spec.contents ?? []) {
    if (value instanceof Uint8Array || !("program" in value)) continue;
    const program = programs.get(value.program);
    // A tail-call target that was not asked for stays an empty slot.
    if (program) map.update(key, fdBytes((program as LinuxProgram).fd));
  }
}

function fdBytes(fd: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(fd).buffer);
}

function linuxMap(map: BpfMap | undefined, name: string): LinuxMap {
  if (map instanceof LinuxMap) return map;
  if (map) throw new TypeError(`map ${name}: expected a map of the linux target`);
  throw new RangeError(`map ${name}: the object has no such map`);
}

function loadProgram(
  collection: CollectionSpec,
  spec: ProgramSpec,
  maps: ReadonlyMap<string, BpfMap>,
  btf: LoadedBtf | undefined,
  options: LinuxLoadOptions,
  member: StructOpsMember | undefined,
  modules: ModuleFds,
): LinuxProgram {
  const extern = externsOnce();
  const code = relocate(spec, (reloc) => resolveReloc(spec, reloc, maps, extern));
  settleExterns(spec, code, extern, modules);
  const inProgram = member ? undefined : placeInProgram(spec, options.targetProgram);
  const place = member || inProgram ? undefined : attachPlace(spec);
  const bound = options.boundTo !== undefined && spec.type === ProgType.BPF_PROG_TYPE_XDP;
  let load: ProgLoad = {
    type: spec.type,
    code,
    license: collection.license,
    name: spec.name,
    flags: spec.flags | (bound ? BPF_F_XDP_DEV_BOUND_ONLY : 0),
    ifindex: bound ? options.boundTo : 0,
    expectedAttachType: member?.index ?? attachTypeOf(spec),
    attachBtfId: member?.structId ?? inProgram?.type ?? place?.type,
    attachFd: inProgram?.fd ?? moduleFd(modules, member ?? place),
    fdArray: modules.array,
    logLevel: options.logLevel,
    tokenFd: options.token?.fd,
  };
  const funcInfo = btf?.funcInfo(spec);
  if (btf && funcInfo) load = { ...load, btfFd: btf.fd, funcInfo, lineInfo: btf.lineInfo(spec) };
  const { fd, log } = progLoad(load);
  if (fd === -Errno.EINVAL && SILENT.test(log)) throw lackingProgram(spec, load) ?? refused(spec, -fd, log);
  if (fd < 0) throw refused(spec, -fd, log);
  return new LinuxProgram(fd, spec, { code, license: collection.license, log, request: load });
}

/** No complaint: before it looks at instructions the kernel says nothing, or (5.10) only that it looked at none. */
const SILENT = /^\s*(processed 0 insns [^\n]*\s*)?$/;

function moduleFd(modules: ModuleFds, place: { readonly object: number } | undefined): number | undefined {
  return place?.object ? modules.of(place.object) : undefined;
}

const OF_PROGRAMS: readonly number[] = [AttachType.BPF_TRACE_FENTRY, AttachType.BPF_TRACE_FEXIT];

/** The function of another program that this one is loaded for. @throws TypeError for an extension of nothing. */
function placeInProgram(
  { name, type, attachType, attachTo }: ProgramSpec,
  target: LinuxProgram | undefined,
): { type: number; fd: number } | undefined {
  const extension = type === ProgType.BPF_PROG_TYPE_EXT;
  if (extension && (!target || attachTo === undefined)) {
    throw new TypeError(
      `program ${name}: extends another one: name it and its function (targetProgram; \`ebplane attach … freplace:ID:FUNCTION\`)`,
    );
  }
  const traces = type === ProgType.BPF_PROG_TYPE_TRACING && OF_PROGRAMS.includes(attachType);
  if (!target || attachTo === undefined || !(extension || traces)) return undefined;
  return { type: programFunction(target.fd, attachTo), fd: target.fd };
}

/**
 * XDP programs load with and without their attach type, but a link only updates to a program of the same one, and tail
 * calls only go to such: so all have it, as libbpf's do.
 */
export function attachTypeOf({ type, attachType }: Pick<ProgramSpec, "type" | "attachType">): number {
  return type === ProgType.BPF_PROG_TYPE_XDP && attachType === 0 ? AttachType.BPF_XDP : attachType;
}

function resolveReloc(
  spec: ProgramSpec,
  reloc: Reloc,
  maps: ReadonlyMap<string, BpfMap>,
  extern: (reloc: Reloc) => Extern,
): bigint {
  if (reloc.kind === "map") return BigInt(linuxMap(maps.get(reloc.name), reloc.name).fd);
  if (reloc.kind === "mapValue") {
    return BigInt(linuxMap(maps.get(reloc.name), reloc.name).fd) | (BigInt(reloc.offset) << 32n);
  }
  // A first look, for the error: settleExterns writes the form that the kind of symbol asks for.
  const { type, address } = extern(reloc);
  if (type === undefined && address === undefined && !reloc.weak) {
    const what = reloc.kind === "kfunc" ? "kernel function" : "kernel variable";
    const why = `neither this kernel nor a loaded module has a ${what} ${reloc.name}${moduleHint(reloc.name)}`;
    throw new UnsupportedError(reloc.name, `program ${spec.name}: slot ${reloc.pc}: ${why}`);
  }
  return BigInt(type ?? address ?? 0);
}

interface Extern {
  readonly type?: number;
  readonly object?: number;
  readonly address?: bigint;
}

/** `externOf` for the references of one program, each name looked up once: for a module's that is a walk over all modules. */
function externsOnce(): (reloc: Reloc) => Extern {
  const known = new Map<string, Extern>();
  return (reloc) => {
    const key = `${reloc.kind} ${reloc.name}`;
    const extern = known.get(key) ?? externOf(reloc);
    known.set(key, extern);
    return extern;
  };
}

/** What the kernel knows a name by: an id in its BTF or a module's, or for a variable without type an address. */
function externOf({ kind, name }: Reloc): Extern {
  const found = findType(name, kind === "kfunc" ? "func" : "var");
  if (found !== undefined) return { type: found.type, object: found.in.id };
  return kind === "ksym" ? { address: kernelSymbol(name) } : {};
}

/** No helper has this number: the verifier refuses the call unless it is dead code behind a check of the weak symbol. */
const POISON = 0x7eadbeef;

/**
 * The form of instructions that refer to the kernel: by BTF id, by address, or, for a weak symbol it lacks, neither. What a
 * module has is named with the module's BTF object: a variable by its fd, a function by the fd's place in the array that
 * comes with the load, the first of which stands for the kernel itself.
 */
function settleExterns(spec: ProgramSpec, code: Uint8Array, extern: (reloc: Reloc) => Extern, fds: ModuleFds): void {
  for (const reloc of spec.relocs) {
    if (reloc.kind !== "kfunc" && reloc.kind !== "ksym") continue;
    const { type, object = 0 } = extern(reloc);
    const at = reloc.pc * SLOT;
    const dst = code[at + 1]! & 15;
    const view = viewOf(code);
    if (reloc.kind === "ksym") {
      code[at + 1] = dst | ((type === undefined ? 0 : BPF_PSEUDO_BTF_ID) << 4);
      if (object !== 0) view.setInt32(at + SLOT + 4, fds.of(object), true);
    } else if (type === undefined) {
      code[at + 1] = dst;
      view.setInt32(at + 4, POISON, true);
    } else if (object !== 0) view.setInt16(at + 2, fds.indexOf(object), true);
  }
}

const NEEDS_TRAMPOLINE = new Set<number>([
  ProgType.BPF_PROG_TYPE_TRACING,
  ProgType.BPF_PROG_TYPE_LSM,
  ProgType.BPF_PROG_TYPE_EXT,
]);

/** The error for a refused load: the verifier's when it said something, else the kernel's errno. */
function refused(spec: ProgramSpec, errno: number, log: string): Error {
  const what = `program ${spec.name} (${progTypeName(spec.type)})`;
  const cause = sysError(cmdName(Cmd.PROG_LOAD), errno, what);
  if (errno === Errno.EPERM && log.trim() === "" && NEEDS_TRAMPOLINE.has(spec.type)) {
    const why = "this kernel refuses programs that patch its functions (lockdown, or built without)";
    return new UnsupportedError(progTypeName(spec.type), `${what}: ${why}`);
  }
  if (errno === Errno.EPERM && log.trim() === "") {
    return sysError(cmdName(Cmd.PROG_LOAD), errno, `${what}: ${permissionRemedy()}`);
  }
  if (log.trim() === "") return cause;
  return verifierError(spec, log, cause);
}

/** A VerifierError whose message names the program, the instruction, the source line and the kernel's complaint. */
export function verifierError(spec: ProgramSpec, log: string, cause: SysError): VerifierError {
  const { message, pc, rule } = summarizeLog(log);
  const line = pc === undefined ? undefined : lineAt(spec, pc);
  const place = [
    `program ${spec.name}`,
    pc === undefined ? undefined : `slot ${pc}`,
    line ? `${line.file}:${line.line}:${line.col}` : undefined,
  ].filter((part) => part !== undefined);
  // What the target had no answer for (CO-RE, a weak function) is an impossible call: say what was missing.
  const poison = pc === undefined ? undefined : (spec.poisoned?.get(pc) ?? missingFunction(spec, pc));
  const young = youngerThan(release(), spec, message);
  const advice = young ?? rule;
  const said = poison ?? (advice === undefined ? message || cause.code : `${message}; ${advice}`);
  return new VerifierError(`${place.join(": ")}: ${said}`, { program: spec.name, pc, log, cause });
}

function missingFunction(spec: ProgramSpec, pc: number): string | undefined {
  const called = spec.relocs.find((r) => r.pc === pc && r.kind === "kfunc");
  if (called === undefined || externOf(called).type !== undefined) return undefined;
  return `this kernel has no function ${called.name}, and nothing guards the call${moduleHint(called.name)}`;
}

/** The kernel object behind a program of the `Program` interface. */
export function linuxProgram(program: Program): LinuxProgram {
  if (program instanceof LinuxProgram) return program;
  throw new TypeError(`program ${program.spec.name}: expected a program of the linux target`);
}
