/**
 * `Target` in userspace: every program is verified, then runs on one machine; devices are simulated.
 *
 * Has: XDP on devices, every map and helper of `vm`, a network that is configured over rtnetlink and answers
 * `bpf_fib_lookup`. Has not yet: tc, cgroup and socket hooks, a stack behind a device, redirects to CPUs and sockets, broadcast through a devmap (such frames end as a redirect without a device).
 */
import type { Btf } from "../btf/index.ts";
import { applyKconfig, type KernelConfig, relocateCore } from "../elf/index.ts";
import { InternalError, SysError, UnsupportedError, VerifierError } from "../errors/index.ts";
import { ArenaMap, type VmMap } from "../maps/index.ts";
import type { Memory } from "../mem/index.ts";
import {
  autoloaded,
  type BpfMap,
  type Collection,
  type CollectionSpec,
  entriesOn,
  type Hook,
  initialValue,
  type Link,
  type LoadOptions,
  type MapSpec,
  MapType,
  type Program,
  type ProgramSpec,
  ProgType,
  progTypeName,
  type Target,
  type TestRunInput,
  type TestRunResult,
  usedMaps,
  XdpAction,
} from "../object/index.ts";
import { type ProgramFacts, type VerifierReport, verify } from "../verifier/index.ts";
import {
  CPU,
  type EngineName,
  type Host,
  Machine,
  REDIRECT,
  VirtualHost,
  type VmProgram,
  XdpRing,
} from "../vm/index.ts";
import { withoutDeadCode } from "./dead-code.ts";
import type { SimDevice, XdpResult } from "./device.ts";
import { fibLookup, SimNetwork } from "./network/index.ts";
import { testRun } from "./test-run.ts";

const DEVICE_MAPS: ReadonlySet<number> = new Set([MapType.BPF_MAP_TYPE_DEVMAP, MapType.BPF_MAP_TYPE_DEVMAP_HASH]);

export interface SimOptions {
  /** Devices to begin with, ifindex 2 upwards: 1 is `lo`, which is always there. */
  readonly devices?: readonly string[];
  /** Which engine runs the programs. Default `interp`. */
  readonly engine?: EngineName;
  /** CPUs that per-CPU maps keep values for; packets all run on CPU 0. Default 1. */
  readonly cpus?: number;
  /** Clock, randomness and output. Default: virtual and seeded, so that runs repeat exactly. */
  readonly host?: Host;
  /**
   * The types of the kernel that is simulated: for CO-RE, kernel functions and tracing programs. Asked for only by objects
   * that need them. Without: CO-RE leaves the types that the object was compiled with.
   */
  readonly kernelBtf?: () => Btf | undefined;
  /** What `.kconfig` variables hold. Default: Linux 6.18 with the options that every network program may count on. */
  readonly kconfig?: KernelConfig;
}

const PAGE_SIZE = 4096;
/** Options of a kernel that runs eBPF, and the virtual clock's tick rate. */
const DEFAULT_KCONFIG: KernelConfig = {
  version: 0x061200,
  options: new Map([
    ["CONFIG_HZ", "1000"],
    ...["BPF", "BPF_SYSCALL", "BPF_JIT", "CGROUP_BPF", "DEBUG_INFO_BTF", "INET", "IPV6", "NET", "XDP_SOCKETS"].map(
      (name) => [`CONFIG_${name}`, "y"] as const,
    ),
  ]),
};

export class SimTarget implements Target {
  readonly name = "sim";
  readonly cpus: number;
  readonly machine: Machine;
  /** Devices, addresses, routes, neighbours, rules: `network.root.route` takes rtnetlink's requests. */
  readonly network = new SimNetwork();
  readonly #engine: EngineName;
  readonly #kernelBtf: () => Btf | undefined;
  readonly #kconfig: KernelConfig;
  #ring: XdpRing | undefined;
  /** What the last run said: one object for all of them. */
  readonly #result: { -readonly [K in keyof XdpResult]: XdpResult[K] } = {
    verdict: 0,
    memory: new Uint8Array(0),
    at: 0,
    length: 0,
    ifindex: undefined,
  };
  #nextId = 1;

  constructor(options: SimOptions = {}) {
    this.cpus = options.cpus ?? 1;
    this.#engine = options.engine ?? "interp";
    this.#kernelBtf = options.kernelBtf ?? (() => undefined);
    this.#kconfig = options.kconfig ?? DEFAULT_KCONFIG;
    this.machine = new Machine({ cpus: this.cpus, host: options.host ?? new NetworkHost(this.network) });
    for (const name of options.devices ?? []) if (name !== "lo") this.addDevice(name);
  }

  /** @throws RangeError when the name is taken. */
  addDevice(name: string): SimDevice {
    return this.network.addDevice(name);
  }

  /** @throws RangeError when there is none. */
  device(name: string): SimDevice {
    return this.network.root.device(name);
  }

  ifindex(device: string): number {
    return this.device(device).ifindex;
  }

  load(object: CollectionSpec, options: LoadOptions = {}): Collection {
    if (object.byteOrder === "big")
      throw new UnsupportedError("big-endian", "the object is big-endian: sim runs little-endian code");
    const names = options.programs ?? autoloaded(object).map((p) => p.name);
    const spec = this.#settle(object, names);
    const chosen = [...spec.programs.values()].filter((p) => names.includes(p.name));
    const facts = new Map(chosen.map((program) => [program, this.#gate(program, spec)]));

    const wanted = new Set(options.programs ? usedMaps(spec, chosen) : spec.maps.keys());
    const created: { close(): void }[] = [];
    try {
      const maps = new Map<string, VmMap>();
      for (const map of spec.maps.values()) {
        if (!wanted.has(map.name)) continue;
        const reused = options.reuse?.get(map.name);
        const maxEntries = entriesOn(map, { cpus: this.cpus, pageSize: PAGE_SIZE });
        const live = reused ? this.#own(reused) : this.machine.createMap({ ...map, maxEntries }, spec.btf);
        if (!reused) created.push(live);
        maps.set(map.name, live);
      }
      const programs = new Map<string, SimProgram>();
      for (const program of chosen) {
        const known = facts.get(program)!;
        const loaded = this.machine.load(withoutDeadCode(program, known.dead), {
          maps,
          license: spec.license,
          btf: spec.btf,
          engine: this.#engine,
          verified: true,
        });
        created.push(loaded);
        programs.set(program.name, new SimProgram(this, loaded, this.#nextId++, known));
      }
      for (const map of spec.maps.values()) if (!options.reuse?.has(map.name)) this.#fill(map, maps, programs);
      let open = true;
      const close = (): void => {
        if (open) for (const item of created.reverse()) item.close();
        open = false;
      };
      return { spec, programs, maps: maps, close, [Symbol.dispose]: close };
    } catch (e) {
      for (const item of created.reverse()) item.close();
      throw e;
    }
  }

  /** What depends on the kernel that is simulated: its types (CO-RE) and its configuration. */
  #settle(spec: CollectionSpec, programs: readonly string[]): CollectionSpec {
    const relocate = programs.some((name) => spec.programs.get(name)?.coreRelos?.length);
    const types = relocate ? this.#kernelBtf() : undefined;
    return applyKconfig(types ? relocateCore(spec, types, programs) : spec, this.#kconfig);
  }

  /** No program gets past without the verifier's consent. */
  #gate(program: ProgramSpec, spec: CollectionSpec): ProgramFacts {
    const types = this.#kernelBtf;
    const report: VerifierReport = verify(program, {
      maps: spec.maps,
      license: spec.license,
      btf: spec.btf,
      structOps: spec.structOps,
      get kernelBtf() {
        return types();
      },
    });
    if (report.verdict === "accept") return report.facts;
    const where = report.line ? `${report.line.file}:${report.line.line}: ` : "";
    const message = `${where}${program.name}: ${report.message}`;
    if (report.verdict === "unsupported") throw new UnsupportedError("verifier", message);
    throw new VerifierError(message, { program: program.name, pc: report.pc, log: report.message });
  }

  #own(map: BpfMap): VmMap {
    const live = map as unknown as VmMap;
    if (this.machine.mapAt(live.addr) !== live) throw new TypeError(`map ${map.spec.name} belongs to another target`);
    return live;
  }

  #fill(spec: MapSpec, maps: ReadonlyMap<string, VmMap>, programs: ReadonlyMap<string, SimProgram>): void {
    const live = maps.get(spec.name);
    if (!live) return;
    for (const { key, value } of spec.contents ?? []) {
      if (value instanceof Uint8Array) {
        if (live instanceof ArenaMap) live.writeBytes(0, value);
        else live.update(key, initialValue(spec, value, this.cpus));
      } else {
        const id = "program" in value ? programs.get(value.program)?.vm.id : maps.get(value.map)?.id;
        // A tail-call target that was not asked for stays an empty slot.
        if (id === undefined) continue;
        const bytes = new Uint8Array(4);
        new DataView(bytes.buffer).setUint32(0, id, true);
        live.update(key, bytes);
      }
    }
  }

  attach(program: Program, hook: Hook): Link {
    if (hook.kind !== "xdp") throw new UnsupportedError(`hook ${hook.kind}`, `sim has no ${hook.kind} hook yet`);
    const device = this.device(hook.iface);
    if (device.xdp) throw new SysError("attach", 16, "EBUSY", `${hook.iface} has an XDP program already`);
    const place = (p: Program): void => {
      const { vm } = simProgram(p, this);
      if (vm.spec.type !== ProgType.BPF_PROG_TYPE_XDP) {
        throw new SysError(
          "attach",
          22,
          "EINVAL",
          `${vm.spec.name} is of type ${progTypeName(vm.spec.type)}, expected xdp`,
        );
      }
      device.xdp = (memory, at, length, ifindex) => this.runXdp(vm, memory, at, length, ifindex);
    };
    place(program);
    let open = true;
    const close = (): void => {
      if (open) device.xdp = undefined;
      open = false;
    };
    return {
      hook,
      id: this.#nextId++,
      mode: "sim",
      fallbackReason: undefined,
      update: (next) => {
        if (!open) throw new TypeError("the link is closed");
        place(next);
      },
      close,
      [Symbol.dispose]: close,
    };
  }

  hasDevice(ifindex: number): boolean {
    return this.network.state.links.some((link) => link.index === ifindex);
  }

  /** The engine's side of a loaded program, for batches. @throws TypeError for a program of another target. */
  vmProgram(program: Program): VmProgram {
    return simProgram(program, this).vm;
  }

  /** Runs a program on a frame; the answer holds until the next run. */
  runXdp(vm: VmProgram, memory: Uint8Array, at: number, length: number, ifindex: number): XdpResult {
    if (!this.#ring || this.#ring.capacity < length) {
      this.#ring?.close();
      this.#ring = new XdpRing(this.machine.memory, 1, Math.max(length, 3520));
    }
    const ring = this.#ring;
    const result = this.#result;
    result.verdict = vm.run(ring.copyIn(0, memory, at, length, ifindex));
    // After the run: the memory may have grown.
    result.memory = this.machine.memory.u8;
    result.at = ring.dataAt(0);
    result.length = ring.linearLength(0);
    result.ifindex = result.verdict === XdpAction.XDP_REDIRECT ? this.#redirectTarget() : undefined;
    return result;
  }

  /** What the redirect helper recorded in this run: an ifindex, or through a devmap's value (its first word). */
  #redirectTarget(): number | undefined {
    const { view, u32 } = this.machine.memory;
    const block = this.machine.cpuBlock;
    const kind = u32[(block + CPU.REDIRECT_KIND) >>> 2]!;
    const target = u32[(block + CPU.REDIRECT_TARGET) >>> 2]!;
    u32[(block + CPU.REDIRECT_KIND) >>> 2] = REDIRECT.NONE;
    if (kind === REDIRECT.IFINDEX) return target;
    if (kind !== REDIRECT.MAP) return undefined;
    const map = this.machine.mapAt(view.getUint32(block + CPU.REDIRECT_MAP, true));
    // The values of cpumap and xskmap are no devices.
    if (map && !DEVICE_MAPS.has(map.type)) return undefined;
    const key = new Uint8Array(4);
    new DataView(key.buffer).setUint32(0, target, true);
    const value = map?.lookup(key);
    return value && new DataView(value.buffer, value.byteOffset).getUint32(0, true);
  }
}

/** The host of a machine that nobody gave one: virtual clock, and the simulation's network to look into. */
class NetworkHost extends VirtualHost {
  readonly #network: SimNetwork;
  constructor(network: SimNetwork) {
    super();
    this.#network = network;
  }

  fibLookup(memory: Memory, params: number, size: number, flags: number): number {
    return fibLookup(this.#network.state, memory, params, size, flags);
  }

  deviceMtu(ifindex: number): number | undefined {
    return this.#network.state.links.find((link) => link.index === ifindex)?.mtu;
  }
}

class SimProgram implements Program {
  readonly id: number;
  readonly vm: VmProgram;
  readonly target: SimTarget;

  readonly #facts: ProgramFacts;

  constructor(target: SimTarget, vm: VmProgram, id: number, facts: ProgramFacts) {
    this.#facts = facts;
    this.target = target;
    this.vm = vm;
    this.id = id;
  }

  get spec(): ProgramSpec {
    return this.vm.spec;
  }

  testRun(input: TestRunInput): TestRunResult {
    const hasDevice = (ifindex: number): boolean => this.target.hasDevice(ifindex);
    return testRun({ machine: this.target.machine, vm: this.vm, input, hasDevice, facts: this.#facts });
  }

  close(): void {
    this.vm.close();
  }
  [Symbol.dispose](): void {
    this.close();
  }
}

function simProgram(program: Program, target: SimTarget): SimProgram {
  if (!(program instanceof SimProgram)) throw new TypeError(`program ${program.spec.name} was not loaded on sim`);
  if (program.target !== target) throw new InternalError(`program ${program.spec.name} belongs to another simulation`);
  return program;
}
