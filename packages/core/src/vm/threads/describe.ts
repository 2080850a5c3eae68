/**
 * One machine on several threads: a machine over shared memory as plain data that can be posted, and the machine that
 * another thread makes of it. Maps are in the memory and are found by address; a program is translated again on every
 * thread (its stack and CPU block differ), under the same id, so that prog arrays mean the same everywhere.
 *
 * The owner keeps the maps: creating, closing and bpf(2)'s side of them is its alone. What lives in one thread's
 * JavaScript and not in the memory (timers, perf event readers, arena pages) has no meaning on another CPU, so programs
 * that use it are refused. A thread that is ended by force may leave a lock held: let it finish a batch first.
 */
import { UnsupportedError } from "../../errors/index.ts";
import { BPF_PSEUDO_CALL, BPF_PSEUDO_KFUNC_CALL, decode, OP_CALL } from "../../isa/index.ts";
import { layout as L, type LiveMap } from "../../maps/index.ts";
import { Memory } from "../../mem/index.ts";
import { ARENA_PAGE, helperById, type MapSpec, MapType, type ProgramSpec } from "../../object/index.ts";
import type { ProgramMap } from "../engine.ts";
import type { EngineName } from "../engines.ts";
import type { Host } from "../env.ts";
import { Machine, type VmProgram } from "../machine.ts";

/** All fields can be cloned by postMessage. */
export interface MachineDescription {
  readonly memory: WebAssembly.Memory;
  /** Bytes of the memory: all there from the start. */
  readonly size: number;
  readonly cpus: number;
  readonly programs: readonly ProgramDescription[];
}

export interface ProgramDescription {
  readonly id: number;
  readonly spec: ProgramSpec;
  /** By the names in the relocs. */
  readonly maps: readonly { readonly name: string; readonly map: MapDescription }[];
  readonly engine: EngineName;
  readonly verified?: boolean;
  readonly blind?: boolean;
  readonly inlineBatch?: boolean;
  readonly fuel?: number;
}

export interface MapDescription {
  readonly addr: number;
  readonly id: number;
  /** Without its contents. */
  readonly spec: MapSpec;
}

/**
 * A memory for a machine on several threads, all of its `size` bytes there at once: a thread's views would not follow
 * what another one lets grow. Untouched pages cost nothing but addresses.
 */
export function sharedMemory(size: number): Memory {
  return new Memory({ shared: true, initial: size, maximum: size });
}

/**
 * The machine and the programs it has now, for `attachMachine`.
 * @throws RangeError when its memory is not shared or may still grow, UnsupportedError for a program that cannot run on
 * several CPUs.
 */
export function describeMachine(machine: Machine): MachineDescription {
  const { memory, cpus } = machine;
  if (!memory.shared) throw new RangeError("machine on threads: expected a shared memory, see sharedMemory");
  if (memory.size < memory.maximum) {
    throw new RangeError(`machine on threads: expected all ${memory.maximum} bytes at once, have ${memory.size}`);
  }
  const programs = [...machine.programs.values()].map((program) => describeProgram(machine, program));
  return { memory: memory.wasm, size: memory.size, cpus, programs };
}

/** One program of it, for `attachProgram`. @throws UnsupportedError when it cannot run on several CPUs. */
export function describeProgram(machine: Machine, program: VmProgram): ProgramDescription {
  const { spec, id, engine, options } = program;
  refuseLocalState(spec);
  if (program.runner.exceptionCallback !== undefined) {
    const message = `program ${spec.name}: an exception callback works on one CPU only`;
    throw new UnsupportedError("exception callback on threads", message);
  }
  const maps = [...new Set(spec.relocs.filter((r) => r.kind === "map" || r.kind === "mapValue").map((r) => r.name))];
  return {
    id,
    engine,
    // Its own bytes: a view into an object file would take the whole file along.
    spec: { ...spec, code: spec.code.slice() },
    maps: maps.map((name) => ({ name, map: describeMap(machine, options.maps!.get(name)!) })),
    ...(options.verified !== undefined && { verified: options.verified }),
    ...(options.blind !== undefined && { blind: options.blind }),
    ...(options.inlineBatch !== undefined && { inlineBatch: options.inlineBatch }),
    ...(options.fuel !== undefined && { fuel: options.fuel }),
  };
}

function describeMap(machine: Machine, { addr, spec }: ProgramMap): MapDescription {
  const { contents: _, ...rest } = spec;
  return { addr, id: machine.memory.u32[(addr + L.MAP_ID) >>> 2]!, spec: rest };
}

/** perf_event_output, sock_map_update and sock_hash_update, per_cpu_ptr and this_cpu_ptr, timer_init to timer_cancel. */
const LOCAL_HELPERS: ReadonlySet<number> = new Set([25, 53, 70, 153, 154, 169, 170, 171, 172]);
/** Kernel functions whose state is in JavaScript: pages of arenas, objects and what holds them, work, connections. */
const LOCAL_KFUNCS = /^bpf_(arena|obj|percpu_obj|refcount|list|rbtree|wq|xdp_ct|skb_ct|ct)_/;

function refuseLocalState(spec: ProgramSpec): void {
  const refuse = (what: string, pc: number): never => {
    throw new UnsupportedError(`${what} on threads`, `program ${spec.name}, slot ${pc}: ${what} works on one CPU only`);
  };
  for (const { opcode, src, imm, pc } of decode(spec.code)) {
    if (opcode !== OP_CALL || src === BPF_PSEUDO_CALL || src === BPF_PSEUDO_KFUNC_CALL) continue;
    if (LOCAL_HELPERS.has(imm)) refuse(`helper bpf_${helperById(imm)?.name}`, pc);
  }
  for (const reloc of spec.relocs) {
    if (reloc.kind === "kfunc" && LOCAL_KFUNCS.test(reloc.name)) refuse(`kfunc ${reloc.name}`, reloc.pc);
  }
}

export interface AttachOptions {
  /** This CPU's clock, randomness and output. */
  readonly host?: Host;
  /** A ring buffer's consumer is to be woken: the map's address, for the owner's `machine.mapAt(…).notified()`. */
  readonly notify?: (map: number) => void;
}

/** One CPU of a machine, on this thread. */
export interface AttachedMachine {
  readonly machine: Machine;
  attachProgram(description: ProgramDescription): VmProgram;
  /** Gives back what this CPU has of the memory. The maps stay. */
  close(): void;
}

/**
 * CPU `cpu` of a described machine, with its programs loaded: what they do to maps every CPU sees.
 * @throws RangeError for a CPU that the machine does not have, and as `Machine.load`.
 */
export function attachMachine(
  description: MachineDescription,
  cpu: number,
  options: AttachOptions = {},
): AttachedMachine {
  const { size, cpus } = description;
  const memory = new Memory({ shared: true, initial: size, maximum: size }, description.memory);
  const machine = new Machine({ memory, cpus, ...(options.host && { host: options.host }) });
  const maps = new Map<number, ProgramMap>();
  const mapOf = (map: MapDescription): ProgramMap => {
    let known = maps.get(map.addr);
    if (!known) {
      maps.set(map.addr, (known = attachMap(memory, map)));
      machine.runtime.byAddress.set(
        map.addr,
        listener(map, () => options.notify?.(map.addr)),
      );
    }
    return known;
  };
  const close = (): void => {
    for (const program of [...machine.programs.values()]) program.close();
    memory.free(machine.cpuBlock);
  };
  const attachProgram = (d: ProgramDescription): VmProgram =>
    machine.load(d.spec, { ...d, maps: new Map(d.maps.map(({ name, map }) => [name, mapOf(map)])) });
  try {
    machine.cpu = cpu;
    for (const program of description.programs) attachProgram(program);
  } catch (error) {
    close();
    throw error;
  }
  return { machine, attachProgram, close };
}

/** A map as programs of this thread see it. */
function attachMap(memory: Memory, { addr, spec }: MapDescription): ProgramMap {
  return {
    addr,
    spec,
    type: spec.type,
    valueAddr: (offset) => {
      const end =
        spec.type === MapType.BPF_MAP_TYPE_ARRAY
          ? spec.valueSize
          : spec.type === MapType.BPF_MAP_TYPE_ARENA
            ? spec.maxEntries * ARENA_PAGE + 1
            : 0;
      if (!(offset >= 0 && offset < end)) {
        throw new RangeError(
          `map ${spec.name}: expected an offset below ${end} of an array or an arena, got ${offset}`,
        );
      }
      return memory.u32[(addr + L.MAP_VALUES) >>> 2]! + offset;
    },
  };
}

/** What the runtime of this thread tells about a map; its life is the owner's. */
function listener({ addr, id, spec }: MapDescription, notified: () => void): LiveMap {
  return { addr, id, spec, notified, retain: () => {}, close: () => {}, grown: () => {} };
}
