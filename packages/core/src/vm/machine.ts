/**
 * A machine: one memory, the maps and the programs in it, one CPU block. Everything that runs eBPF in userspace goes
 * through it; which engine runs a program is the loader's choice.
 *
 * It does not verify: the caller does (sim's Target), or asks for a guarded run. It is not thread-safe: a machine with
 * several CPUs is one Machine a worker over one shared memory.
 */

import type { Btf } from "../btf/index.ts";
import { OP_CALL } from "../isa/index.ts";
import {
  createMap,
  createRuntime,
  layout,
  type MapRuntime,
  socketClosed,
  type ValueField,
  type VmMap,
} from "../maps/index.ts";
import { Memory, type MemoryOptions } from "../mem/index.ts";
import { type MapSpec, MapType, type ProgramSpec } from "../object/index.ts";
import { type FieldKind, type MapField, specialFields } from "../verifier/index.ts";
import type { EngineOptions, ProgramMap, Runner } from "./engine.ts";
import { type EngineName, engineByName } from "./engines.ts";
import type { Env, Host, Timer } from "./env.ts";
import type { Guard } from "./guard.ts";
import { ProgramException } from "./helpers/iter.ts";
import { Objects } from "./helpers/objects.ts";
import { loadPacket } from "./helpers/skb.ts";
import { VirtualHost } from "./host.ts";
import { CPU } from "./layout.ts";
import { resolve, TAIL_CALL } from "./resolve.ts";

/** What the map runtime calls the verifier's fields. */
const VALUE_FIELDS: Readonly<Record<FieldKind, ValueField["kind"]>> = {
  lock: "spin_lock",
  resLock: "res_spin_lock",
  timer: "timer",
  workqueue: "workqueue",
  taskWork: "task_work",
  listHead: "list_head",
  listNode: "list_node",
  rbRoot: "rb_root",
  rbNode: "rb_node",
  refcount: "refcount",
  kptr: "kptr",
};

export interface MachineOptions {
  readonly memory?: Memory | MemoryOptions;
  readonly host?: Host;
  /** CPUs that per-CPU maps keep a value for. Default 1. */
  readonly cpus?: number;
}

export interface ProgramLoad extends EngineOptions {
  /** The maps that the program's relocs name. */
  readonly maps?: ReadonlyMap<string, ProgramMap>;
  readonly license?: string;
  /** The types of the program's collection: objects that it makes are of these. */
  readonly btf?: Btf | undefined;
  readonly engine?: EngineName;
  /** The id that the same program has on another CPU of this memory; a new one without it. */
  readonly id?: number;
}

/** A loaded program. */
export interface VmProgram {
  readonly spec: ProgramSpec;
  /** What a prog array's value holds for it: unique in its machine, never 0. */
  readonly id: number;
  readonly engine: EngineName;
  /** What it was loaded with. */
  readonly options: ProgramLoad;
  readonly runner: Runner;
  /** Runs on the ctx at an address and answers r0's low 32 bits, unsigned. All of r0: `machine.r0()`. */
  run(ctx: number): number;
  close(): void;
  [Symbol.dispose](): void;
}

export class Machine implements Env {
  readonly memory: Memory;
  readonly host: Host;
  readonly cpus: number;
  readonly cpuBlock: number;
  /** The maps of this machine, and the wasm functions over them. */
  readonly runtime: MapRuntime;
  /** Programs by id, for prog arrays. */
  readonly programs = new Map<number, VmProgram>();
  readonly timers = new Map<number, Timer>();
  readonly objects: Objects;
  /** Special fields of the values, by map. */
  readonly #fields = new Map<number, readonly MapField[]>();
  /** Whether a program that throws was loaded. */
  #throwing = false;
  /** While an exception's callback runs. */
  #unwinding = false;
  #cpu = 0;
  #nextId = 1;

  constructor(options: MachineOptions = {}) {
    this.memory = options.memory instanceof Memory ? options.memory : new Memory(options.memory);
    this.objects = new Objects(this.memory);
    this.host = options.host ?? new VirtualHost();
    this.cpus = options.cpus ?? 1;
    this.runtime = createRuntime(this.memory, {
      cpus: this.cpus,
      random: () => this.host.random32(),
      host: { program: (id) => this.programs.has(id) },
      releaseFields: (map, value) => this.#releaseFields(map, value),
    });
    this.cpuBlock = this.memory.alloc(CPU.SIZE, 64);
  }

  /** The CPU that runs now: an index below `cpus`. */
  get cpu(): number {
    return this.#cpu;
  }
  set cpu(index: number) {
    if (!(index >= 0 && index < this.cpus)) throw new RangeError(`cpu: expected 0 to ${this.cpus - 1}, got ${index}`);
    this.#cpu = index;
    this.runtime.cpu.value = index;
  }

  /** The host closed a socket: maps of sockets and reuseport arrays let its handle go, as the kernel's do. */
  socketClosed(handle: number): void {
    socketClosed(this.runtime, handle);
  }

  /**
   * A new, empty map; `spec.contents` and `spec.frozen` are the loader's to apply. `btf` is the collection's: it says
   * which fields of the values are locks, timers, lists and kernel pointers.
   * @throws SysError with the kernel's errno for a spec that the kernel would refuse.
   */
  createMap(spec: MapSpec, btf?: Btf): VmMap {
    const fields = specialFields(spec, btf);
    const map = createMap(
      this.runtime,
      spec,
      fields.map(({ kind, offset, size }) => ({ offset, size, kind: VALUE_FIELDS[kind] })),
    );
    if (fields.length) this.#fields.set(map.addr, fields);
    return map;
  }

  mapAt(address: number): VmMap | undefined {
    return this.runtime.byAddress.get(address >>> 0) as VmMap | undefined;
  }

  /**
   * Resolves and translates a program. Nothing of it stays when this throws.
   * @throws InsnError for malformed code, UnsupportedError for what userspace does not have, RangeError for a map
   * that is missing or an id that is taken.
   */
  load(spec: ProgramSpec, options: ProgramLoad = {}): VmProgram {
    const engine = options.engine ?? "interp";
    if (options.id !== undefined && (!(options.id > 0) || this.programs.has(options.id))) {
      throw new RangeError(`program ${spec.name}: expected an id above 0 that is free, got ${options.id}`);
    }
    const resolved = resolve(spec, options.maps ?? new Map(), options.btf);
    const throws = [...resolved.kfuncs.values()].some((k) => k.name === "bpf_throw");
    const tailCalls = resolved.insns.some((i) => i.opcode === OP_CALL && i.src === 0 && i.imm === TAIL_CALL);
    const bare = engineByName(engine)(this, resolved, options);
    if (throws) this.#throwing = true;
    const runner = throws || tailCalls ? this.#catching(bare) : bare;
    resolved.self.runner = runner;
    const id = options.id ?? this.#nextId;
    this.#nextId = Math.max(this.#nextId, id + 1);
    runner.named?.(id);
    const close = (): void => {
      if (!this.programs.delete(id)) return;
      resolved.self.runner = undefined;
      runner.close();
    };
    const run = runner.run;
    const program: VmProgram = { spec, id, engine, options, runner, run, close, [Symbol.dispose]: close };
    this.programs.set(id, program);
    return program;
  }

  /** A runner whose program, or one that it tail calls, may end by an exception. */
  #catching(runner: Runner): Runner {
    const guard = (body: () => number): number => {
      try {
        return body();
      } catch (error) {
        if (!(error instanceof ProgramException)) throw error;
        return this.#caught(error);
      }
    };
    const run = (ctx: number): number => guard(() => runner.run(ctx));
    return {
      ...runner,
      run,
      call: (pc, args, high) => guard(() => runner.call(pc, args, high)),
      batch: (ctx, stride, count, verdicts) => {
        if (!this.#throwing) return runner.batch(ctx, stride, count, verdicts);
        for (let i = 0; i < count; i++) {
          const verdict = run(ctx + i * stride);
          this.memory.view.setUint32(verdicts + i * 4, verdict, true);
        }
      },
    };
  }

  /** The result that an exception gives: what the thrower's callback makes of the cookie, or the cookie. */
  #caught({ cookie, thrower }: ProgramException): number {
    const low = this.wide(cookie);
    const high = Number(BigInt.asIntN(32, cookie >> 32n));
    const callback = thrower.runner?.exceptionCallback;
    // It begins where the program did: the frames that were left are no more. What it throws itself ends it.
    if (callback !== undefined && !this.#unwinding) {
      this.#unwinding = true;
      try {
        return thrower.runner!.call(callback, [low], high);
      } finally {
        this.#unwinding = false;
      }
    }
    this.memory.view.setInt32(this.cpuBlock + CPU.R0_HI, high, true);
    return low >>> 0;
  }

  /**
   * Fires the timers that are due by the host's clock, the earliest first; callbacks may arm them again. Answers how
   * many fired.
   */
  runTimers(): number {
    let fired = 0;
    for (;;) {
      const now = this.host.monotonicNs();
      let next: [number, Timer] | undefined;
      for (const entry of this.timers) {
        const { due } = entry[1];
        if (due !== undefined && due <= now && (!next || due < next[1].due!)) next = entry;
      }
      if (!next) return fired;
      const [address, timer] = next;
      timer.due = undefined;
      timer.running = true;
      timer.call?.(this.#timerArguments(address, timer.map));
      timer.running = false;
      fired++;
    }
  }

  /** A timer's callback gets its map, the key and the value that it stands in. */
  #timerArguments(address: number, map: number): number[] {
    const { view } = this.memory;
    const region = this.memory.regionAt(address);
    const stride = region?.slots?.stride ?? 1;
    const value = region ? address - ((address - region.start) % stride) : address;
    const type = view.getUint32(map + layout.MAP_TYPE, true);
    if (type === MapType.BPF_MAP_TYPE_ARRAY) {
      const key = this.cpuBlock + CPU.TIMER_KEY;
      view.setUint32(key, (value - view.getUint32(map + layout.MAP_VALUES, true)) / stride, true);
      return [map, key, value];
    }
    return [map, value - view.getUint32(map + layout.MAP_VALUE_OFFSET, true) + layout.ELEM_KEY, value];
  }

  /** A value ends: so do its timers, and what its lists, trees and pointers own. */
  #releaseFields(map: number, value: number): void {
    const size = this.memory.view.getUint32(map + layout.MAP_VALUE_SIZE, true);
    for (const address of this.timers.keys()) {
      if (address >= value && address < value + size) this.timers.delete(address);
    }
    this.objects.release(value, this.#fields.get(map) ?? []);
  }

  /** The program in slot `index` of the prog array whose header is at `map`. */
  tailCallTarget(map: number, index: number): VmProgram | undefined {
    const { view } = this.memory;
    const at = map >>> 0;
    if (index >>> 0 >= view.getUint32(at + layout.MAP_MAX_ENTRIES, true)) return undefined;
    const slots = view.getUint32(at + layout.MAP_VALUES, true);
    const stride = view.getUint32(at + layout.MAP_STRIDE, true);
    return this.programs.get(view.getUint32(slots + (index >>> 0) * stride, true));
  }

  /**
   * Legacy packet load (BPF_ABS, BPF_IND) from a `__sk_buff`: big-endian, undefined beyond the packet. Negative offsets
   * from -0x100000 (SKF_NET_OFF) count from the network header, from -0x200000 (SKF_LL_OFF) from the link header.
   */
  loadPacket(ctx: number, offset: number, size: number): number | undefined {
    return loadPacket(this, ctx, offset, size);
  }

  /** The whole r0 of the last run whose verdict was `low`. */
  r0(low: number): bigint {
    const high = this.memory.view.getUint32(this.cpuBlock + CPU.R0_HI, true);
    return (BigInt(high) << 32n) | BigInt(low >>> 0);
  }

  wide(value: bigint): number {
    this.memory.view.setInt32(this.cpuBlock + CPU.RESULT_HI, Number(BigInt.asIntN(32, value >> 32n)), true);
    return Number(BigInt.asIntN(32, value));
  }

  /** Set while a guarded run is on: it hears what helpers hand out. */
  guard: Guard | undefined;

  grant(address: number, size: number, name: string, writable: boolean): number {
    if (this.guard && address) this.guard.grant(address >>> 0, size, name, writable);
    return address;
  }

  revoke(address: number): void {
    this.guard?.revoke(address >>> 0);
  }
}
