/**
 * The Specs: what an object holds before anything is loaded. A blueprint is an `XSpec`, the live thing an `X`
 * (see target.ts). Specs come from the compiler, the assembler or an ELF reader; both targets load the same ones.
 */
import type { Btf } from "../btf/index.ts";
import { viewOf } from "../bytes/index.ts";
import { SLOT } from "../isa/index.ts";
import { ARENA_PAGE, isPerCpu, MapType } from "./map-types.ts";

/** A map to be created. Sizes in bytes. */
export interface MapSpec {
  readonly name: string;
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  /** `BPF_F_*` of map creation. */
  readonly flags: number;
  /** Type-specific extra, e.g. the number of hash functions of a bloom filter. */
  readonly mapExtra?: bigint;
  /** With `BPF_F_NUMA_NODE`. */
  readonly numaNode?: number;
  /** `by-name` pins and reuses under the pin directory. A number is another loader's own way: the map is not pinned. */
  readonly pinning?: "none" | "by-name" | number;
  /** The template of the maps that a map-in-map holds. */
  readonly inner?: MapSpec;
  /** Entries written before any program is loaded, in order. */
  readonly contents?: readonly MapEntry[];
  /** Frozen (read-only from userspace) once the contents are written, as `.rodata` is. */
  readonly frozen?: boolean;
  /** Type ids in the collection's BTF; 0 where unknown. */
  readonly keyTypeId?: number;
  readonly valueTypeId?: number;
}

/**
 * One initial entry: bytes in memory order (of a per-CPU map one CPU's value, which every CPU begins with; of an arena,
 * whose key is empty, what its first pages hold), or the name of the program or map that the slot refers to.
 */
export interface MapEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array | { readonly program: string } | { readonly map: string };
}

/**
 * A place in `code` that only loading can fill. The slot holds the kernel's pseudo form with a zero imm; a loader
 * writes the fd, the address or the BTF id into a copy. All other bytes are what every target runs.
 */
export type Reloc =
  /** lddw of a map: BPF_PSEUDO_MAP_FD. */
  | { readonly pc: number; readonly kind: "map"; readonly name: string }
  /** lddw of an address `offset` bytes into a map's first value, or into an arena: BPF_PSEUDO_MAP_VALUE. */
  | { readonly pc: number; readonly kind: "mapValue"; readonly name: string; readonly offset: number }
  /** call of a kernel function, by BTF name. */
  | { readonly pc: number; readonly kind: "kfunc"; readonly name: string; readonly weak: boolean }
  /** lddw of a kernel variable's address or BTF id. */
  | { readonly pc: number; readonly kind: "ksym"; readonly name: string; readonly weak: boolean };

/** Where the instruction at `pc` comes from. `line` and `col` start at 1; `text` is the source line. */
export interface LineInfo {
  readonly pc: number;
  readonly file: string;
  readonly line: number;
  readonly col: number;
  readonly text: string;
}

/** A function inside a program: the entry (pc 0) and each subprogram. `typeId` is its FUNC in the collection's BTF. */
export interface FuncInfo {
  readonly pc: number;
  readonly name: string;
  readonly typeId: number;
}

/**
 * An instruction that waits for the target's types (CO-RE). `typeId` is the local type in the collection's BTF,
 * `access` the path as the compiler wrote it (`0:1:2`), `kind` libbpf's `enum bpf_core_relo_kind`.
 */
export interface CoreReloc {
  readonly pc: number;
  readonly typeId: number;
  readonly access: string;
  readonly kind: number;
}

/** A program to be loaded. Subprograms that it calls are appended to `code`; calls between them are resolved. */
export interface ProgramSpec {
  readonly name: string;
  /** The ELF section it came from or goes to (`xdp`, `tc/ingress`). */
  readonly section: string;
  /** `ProgType`. */
  readonly type: number;
  /** `AttachType` that the kernel expects at load, 0 where it expects none. */
  readonly attachType: number;
  /** `BPF_F_*` of program load. */
  readonly flags: number;
  /** Name of the function, struct or hook to attach to, for the types that need one at load. */
  readonly attachTo?: string;
  /** Little-endian slots, entry at slot 0. Not to be changed in place: loaders copy. */
  readonly code: Uint8Array;
  readonly relocs: readonly Reloc[];
  /** Ascending by pc; empty without BTF. */
  readonly funcInfo: readonly FuncInfo[];
  /** Ascending by pc; an entry holds up to the next one. */
  readonly lineInfo: readonly LineInfo[];
  /** Ascending by pc. Absent or empty: nothing to relocate against the target's BTF. */
  readonly coreRelos?: readonly CoreReloc[];
  /** Slots that must not run because the target lacks a type they need, and what is missing: see elf `relocateCore`. */
  readonly poisoned?: ReadonlyMap<number, string>;
  /** False for a section `?…`: loaded only when asked for by name. */
  readonly autoload?: boolean;
}

/** A global variable: `size` bytes at `offset` of the first value of the array map `map`, or of the arena `map`. */
export interface VariableSpec {
  readonly name: string;
  readonly map: string;
  readonly offset: number;
  readonly size: number;
  /** The variable's type in the collection's BTF; 0 without BTF. */
  readonly typeId: number;
  readonly linkage: "static" | "global";
}

/** A name that something outside gives a value: `.kconfig` at load (in the map `.kconfig`), `.ksyms` by the kernel. */
export interface ExternSpec {
  readonly name: string;
  readonly kind: "kconfig" | "kfunc" | "ksym";
  readonly weak: boolean;
  /** In the collection's BTF: the variable's type or the FUNC; 0 without BTF. */
  readonly typeId: number;
  /** Bytes from the start of the map `.kconfig`; 0 for others. */
  readonly offset: number;
}

/**
 * A variable of `.struct_ops*`: a struct of the kernel's whose members are programs and settings. In a section that
 * begins with `?` it is loaded only when asked for by name.
 */
export interface StructOpsSpec {
  readonly name: string;
  readonly section: string;
  readonly typeId: number;
  readonly data: Uint8Array;
  /** Programs by the byte offset of the member that points to each. */
  readonly programs: readonly { readonly offset: number; readonly program: string }[];
}

/** Something in an object that ebplane has no meaning for: kept, so that a listing can name it. */
export interface UnknownPart {
  readonly section: string;
  readonly why: string;
  readonly data: Uint8Array;
}

/** Everything one object file, or one build, holds. */
export interface CollectionSpec {
  readonly programs: ReadonlyMap<string, ProgramSpec>;
  readonly maps: ReadonlyMap<string, MapSpec>;
  /** The licence that decides on GPL-only helpers; "" when the object has none. */
  readonly license: string;
  readonly btf?: Btf;
  readonly byteOrder: "little" | "big";
  /** Global variables by name. */
  readonly variables?: ReadonlyMap<string, VariableSpec>;
  readonly externs?: readonly ExternSpec[];
  readonly structOps?: readonly StructOpsSpec[];
  readonly unknown?: readonly UnknownPart[];
  /** `KERNEL_VERSION` of a `version` section. */
  readonly version?: number;
}

/** The programs that are loaded when none is named: those of a section `?…` are not. */
export function autoloaded(spec: CollectionSpec): ProgramSpec[] {
  return [...spec.programs.values()].filter((program) => program.autoload !== false);
}

/** The names of the maps that these programs, and the slots of those maps, refer to, in the object's order. */
export function usedMaps(spec: CollectionSpec, programs: readonly ProgramSpec[]): string[] {
  const used = new Set<string>();
  const use = (name: string): void => {
    if (used.has(name)) return;
    used.add(name);
    for (const { value } of spec.maps.get(name)?.contents ?? []) {
      if (!(value instanceof Uint8Array) && "map" in value) use(value.map);
    }
  };
  for (const { relocs } of programs) {
    for (const reloc of relocs) if (reloc.kind === "map" || reloc.kind === "mapValue") use(reloc.name);
  }
  return [...spec.maps.keys()].filter((name) => used.has(name));
}

/** @throws RangeError unless `length` bytes at `offset` lie in the arena. */
export function checkArenaRange({ name, maxEntries }: MapSpec, offset: number, length: number): void {
  const bytes = maxEntries * ARENA_PAGE;
  if (Number.isInteger(offset) && offset >= 0 && offset + length <= bytes) return;
  throw new RangeError(`arena ${name}: need ${length} bytes at ${offset}, it has ${bytes}`);
}

/** Sizes that depend on the machine: one perf buffer a CPU, ring buffers of whole pages. Source: libbpf.c `map_set_def_max_entries`. */
export function entriesOn(map: MapSpec, machine: { readonly cpus: number; readonly pageSize: number }): number {
  const { type, maxEntries } = map;
  if (type === MapType.BPF_MAP_TYPE_PERF_EVENT_ARRAY && maxEntries === 0) return machine.cpus;
  const ring = type === MapType.BPF_MAP_TYPE_RINGBUF || type === MapType.BPF_MAP_TYPE_USER_RINGBUF;
  if (!ring || maxEntries === 0 || maxEntries % machine.pageSize === 0) return maxEntries;
  return 2 ** Math.ceil(Math.log2(Math.max(maxEntries, machine.pageSize)));
}

/** The line that the instruction at `pc` belongs to, or undefined without line info. */
export function lineAt(program: ProgramSpec, pc: number): LineInfo | undefined {
  let found: LineInfo | undefined;
  for (const line of program.lineInfo) {
    if (line.pc > pc) break;
    found = line;
  }
  return found;
}

/**
 * A copy of a program's code with every reloc filled in.
 * `resolve` gives the 64-bit value of an lddw (map fd in the low half and value offset in the high half on Linux, an
 * address in userspace) and the imm of a kfunc call.
 */
export function relocate(program: ProgramSpec, resolve: (reloc: Reloc) => bigint): Uint8Array {
  const code = program.code.slice();
  const view = viewOf(code);
  for (const reloc of program.relocs) {
    const value = resolve(reloc);
    view.setInt32(reloc.pc * SLOT + 4, Number(BigInt.asIntN(32, value)), true);
    if (reloc.kind !== "kfunc") view.setInt32((reloc.pc + 1) * SLOT + 4, Number(BigInt.asIntN(32, value >> 32n)), true);
  }
  return code;
}

/** An initial value as `BpfMap.update` takes it: of a per-CPU map the same for each CPU, padded to 8 bytes. */
export function initialValue(map: MapSpec, value: Uint8Array, cpus: number): Uint8Array {
  if (!isPerCpu(map.type)) return value;
  const stride = (map.valueSize + 7) & ~7;
  const all = new Uint8Array(stride * cpus);
  for (let cpu = 0; cpu < cpus; cpu++) all.set(value, cpu * stride);
  return all;
}
