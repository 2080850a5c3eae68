/**
 * Guarded runs: the interpreter one insn at a time, every memory access and every helper's pointer checked against what
 * is alive (stack frames, ctx, packet, map values, what helpers handed out), with a budget of insns. For bytecode that
 * nobody verified, and for whoever wants to watch a run: `step` tells what each insn did.
 *
 * A fault is a value, never an exception: it names the slot, the registers and the region that was missed. What is not
 * checked is the verifier's alone: whether a register or a stack byte was initialised, whether locks and references are
 * given back, what kfuncs get as arguments.
 */
import { InternalError, UnsupportedError } from "../errors/index.ts";
import {
  BPF_LDX,
  BPF_LOAD_ACQ,
  BPF_ST,
  BPF_STX,
  CLASS_MASK,
  type Insn,
  MAX_REG,
  OP_CALL,
  OP_CALLX,
  STACK_SIZE,
} from "../isa/index.ts";
import type { VmMap } from "../maps/index.ts";
import {
  type CtxLayout,
  type CtxValue,
  ctxAccess,
  ctxLayout,
  FLOW_KEYS_SIZE,
  type HelperArg,
  helperById,
  mapTypeName,
  type ProgramSpec,
  ProgType,
  SOCKET_LAYOUT,
} from "../object/index.ts";
import { helperTakesMap } from "../verifier/index.ts";
import { OP, sizeBytes } from "./code.ts";
import { RINGBUF_RECORD, SOCKET, type Timer } from "./env.ts";
import { ProgramException } from "./helpers/iter.ts";
import type { ObjectsState } from "./helpers/objects.ts";
import { type Activation, type ActivationState, EXIT, execute, FAULT, type InterpEnv } from "./interp.ts";
import type { InterpRunner } from "./interp-engine.ts";
import { HOOK, SKB, XDP } from "./layout.ts";
import type { Machine, VmProgram } from "./machine.ts";

/** What a machine tells the guarded run that is on. */
export interface Guard {
  grant(address: number, size: number, name: string, writable: boolean): void;
  revoke(address: number): void;
}

export type FaultKind = "access" | "argument" | "call" | "budget" | "helper";

export interface Fault {
  readonly kind: FaultKind;
  /** Slot of the insn that was not executed, in the program that ran then. */
  readonly pc: number;
  readonly program: string;
  /** One line: place, expectation, value. */
  readonly message: string;
  /** r0-r10 before the insn. */
  readonly registers: BigUint64Array;
  /** Of an access: where, how much, and the live region that the address lies in or nearest below, if any. */
  readonly address?: bigint;
  readonly size?: number;
  readonly write?: boolean;
  readonly region?: string;
}

export interface GuardedResult {
  /** All of r0, where the program ended by itself. */
  readonly r0: bigint | undefined;
  readonly fault: Fault | undefined;
  readonly executed: number;
}

export interface GuardOptions {
  /** Insns that may be executed. Default 1,000,000, as the kernel's verifier walks at most. */
  readonly budget?: number;
  /** Further memory that the program may use: `exec`'s buffer, a ctx of a kind that is not known here. */
  readonly regions?: readonly {
    readonly name: string;
    readonly start: number;
    readonly size: number;
    readonly writable: boolean;
  }[];
  /** Collect what each step writes (`Step.writes`). Costs copies. */
  readonly watch?: boolean;
}

/** Bytes that an insn changed, as far as its own operands tell: stores, and memory handed to a helper for writing. */
export interface Write {
  readonly address: number;
  readonly before: Uint8Array;
  readonly after: Uint8Array;
}

/** One executed insn. */
export interface Step {
  readonly pc: number;
  readonly insn: Insn;
  /** Which frame executed it, 0 the outermost. */
  readonly frame: number;
  /** Empty unless watched. */
  readonly writes: readonly Write[];
  /** Of a helper call that may change a map: the map's address. */
  readonly map: number | undefined;
}

/** A guarded run's state as data: see `GuardedRun.save`. */
export interface GuardedState {
  readonly activation: ActivationState;
  readonly left: number;
  readonly unwinding: boolean;
  readonly result: GuardedResult | undefined;
  readonly grants: readonly [number, { size: number; name: string; writable: boolean }][];
  readonly timers: readonly [number, Timer][];
  readonly objects: ObjectsState;
  readonly host: unknown;
}

const DEFAULT_BUDGET = 1_000_000;

/** Registers by name in messages. */
const hex = (n: bigint | number): string => `0x${n.toString(16)}`;

/** A run of one program under guard. Use `runGuarded` when the steps are of no interest. */
export class GuardedRun implements Guard {
  readonly machine: Machine;
  readonly activation: Activation;
  readonly #env: InterpEnv;
  readonly #program: VmProgram;
  readonly #options: GuardOptions;
  /** Of a hook that is neither XDP nor `__sk_buff`. */
  readonly #layout: CtxLayout | undefined;
  readonly #ctx: number;
  readonly #ctxSize: number;
  readonly #grants = new Map<number, { size: number; name: string; writable: boolean }>();
  readonly #regions: NonNullable<GuardOptions["regions"]>;
  #left: number;
  #result: GuardedResult | undefined;
  /** An exception was thrown, its callback runs. */
  #unwinding = false;

  /**
   * @param args what r1… hold; r1 is the ctx.
   * @throws UnsupportedError for a program that another engine loaded.
   */
  constructor(machine: Machine, program: VmProgram, args: readonly number[], options: GuardOptions = {}, pc = 0) {
    const { linked, activation, env } = program.runner as Partial<InterpRunner>;
    if (!linked || !activation || !env) {
      throw new UnsupportedError(
        "guarded run",
        `program ${program.spec.name}: a guarded run needs the interpreter, got ${program.engine}`,
      );
    }
    this.machine = machine;
    this.activation = activation;
    this.#env = env;
    this.#program = program;
    this.#options = options;
    this.#regions = options.regions ?? [];
    this.#left = options.budget ?? DEFAULT_BUDGET;
    this.#ctx = (args[0] ?? 0) >>> 0;
    this.#ctxSize = ctxSize(program.spec.type);
    if (!this.#ctxSize && this.#ctx) this.#layout = hookLayout(program.spec, this.#ctx, machine.memory.size);
    activation.reset(linked, pc, args);
  }

  /** How it ended; undefined while it has not. */
  get result(): GuardedResult | undefined {
    return this.#result;
  }

  /** Slot of the next insn. */
  get pc(): number {
    return this.activation.pc;
  }

  get frame(): number {
    return this.activation.depth;
  }

  /** The next insn. */
  get insn(): Insn {
    return this.activation.prog.code.at[this.activation.pc]!;
  }

  /** A copy of r0-r10. */
  registers(): BigUint64Array {
    const out = new BigUint64Array(MAX_REG);
    for (let r = 0; r < MAX_REG; r++) out[r] = this.register(r);
    return out;
  }

  register(r: number): bigint {
    const { lo, hi } = this.activation;
    return (BigInt(hi[r]! >>> 0) << 32n) | BigInt(lo[r]! >>> 0);
  }

  /** Executes the next insn; undefined when the run is over (see `result`), by this call or before. */
  step(): Step | undefined {
    if (this.#result) return undefined;
    const a = this.activation;
    const { pc, depth: frame } = a;
    const insn = this.insn;
    const fault = this.#check(insn);
    if (fault) return this.#end(fault);
    const writes = this.#options.watch ? this.#writesOf(insn) : undefined;
    const map = this.#changedMap(insn);
    this.#guarding(() => this.#execute(1));
    if (this.result?.fault) return undefined;
    if (writes) for (const w of writes) (w as { after: Uint8Array }).after = this.#copy(w.address, w.before.length);
    return { pc, insn, frame, writes: writes ?? [], map };
  }

  /** Runs to the end. */
  finish(): GuardedResult {
    this.runUntil(Number.POSITIVE_INFINITY);
    return this.#result!;
  }

  /** Runs on until `executed` insns are done in all, or to the end. */
  runUntil(executed: number): void {
    // Once more where an exception's callback is to be run.
    while (!this.#result && this.activation.executed < executed) this.#guarding(() => this.#runUntil(executed));
  }

  #runUntil(executed: number): void {
    const a = this.activation;
    while (!this.#result && a.executed < executed) {
      // Insns that touch registers alone need no check: as many as follow each other go in one go.
      const free = Math.min(freeRun(a), executed - a.executed);
      if (free > 1) this.#execute(Math.min(free, this.#left));
      else {
        const fault = this.#check(this.insn);
        if (fault) this.#end(fault);
        else this.#execute(1);
      }
    }
  }

  /** All of the run's state but the memory. */
  save(): GuardedState {
    return {
      activation: this.activation.save(),
      left: this.#left,
      unwinding: this.#unwinding,
      result: this.#result,
      grants: [...this.#grants],
      timers: [...this.machine.timers].map(([at, timer]) => [at, { ...timer }]),
      objects: this.machine.objects.save(),
      host: this.machine.host.save?.(),
    };
  }

  /** Puts back what `save` gave; the caller puts back the memory. */
  restore(state: GuardedState): void {
    this.activation.restore(state.activation);
    this.#left = state.left;
    this.#unwinding = state.unwinding;
    this.#result = state.result;
    this.#grants.clear();
    for (const [at, grant] of state.grants) this.#grants.set(at, grant);
    this.machine.timers.clear();
    for (const [at, timer] of state.timers) this.machine.timers.set(at, { ...timer });
    this.machine.objects.load(state.objects);
    this.machine.host.load?.(state.host);
  }

  // ---- Guard

  grant(address: number, size: number, name: string, writable: boolean): void {
    this.#grants.set(address, { size, name, writable });
  }

  revoke(address: number): void {
    this.#grants.delete(address);
  }

  /** Executes `insns` insns that are checked already. */
  #execute(insns: number): number {
    const a = this.activation;
    if (this.#left <= 0) {
      this.#end(this.#fault("budget", `expected at most ${this.#options.budget ?? DEFAULT_BUDGET} insns`));
      return FAULT;
    }
    const before = a.executed;
    const status = execute(a, this.#env, insns);
    this.#left -= a.executed - before;
    if (status === EXIT) this.#result = { r0: this.register(0), fault: undefined, executed: a.executed };
    else if (status === FAULT) this.#end(this.#fault("call", a.fault));
    return status;
  }

  /** Runs `body` as the machine's guard; what a helper throws becomes a fault. */
  #guarding(body: () => void): void {
    const outer = this.machine.guard;
    this.machine.guard = this;
    try {
      body();
    } catch (error) {
      if (error instanceof ProgramException) {
        this.#thrown(error);
        return;
      }
      // A trap of the map runtime, or a view left by a helper: forged dynptrs and the like lead there.
      if (!(error instanceof RangeError) && !(error instanceof WebAssembly.RuntimeError)) throw error;
      this.#end(this.#fault("helper", `the helper left the memory: ${error.message}`));
    } finally {
      this.machine.guard = outer;
    }
  }

  /** Goes on in the thrower's exception callback, where it has one: once. */
  #thrown({ cookie, thrower }: ProgramException): void {
    const a = this.activation;
    const { exceptionCallback, linked } = (thrower.runner ?? {}) as Partial<InterpRunner>;
    if (exceptionCallback === undefined || !linked || this.#unwinding) {
      this.#result = { r0: cookie, fault: undefined, executed: a.executed };
      return;
    }
    this.#unwinding = true;
    const { executed } = a;
    a.reset(linked, exceptionCallback, [Number(BigInt.asIntN(32, cookie))]);
    a.hi[1] = Number(BigInt.asIntN(32, cookie >> 32n));
    a.executed = executed;
  }

  #end(fault: Fault): undefined {
    this.#result = { r0: undefined, fault, executed: this.activation.executed };
    return undefined;
  }

  #fault(kind: FaultKind, message: string, detail: Partial<Fault> = {}): Fault {
    const { pc } = this.activation;
    return {
      kind,
      pc,
      program: this.#program.spec.name,
      message: `slot ${pc}: ${message}`,
      registers: this.registers(),
      ...detail,
    };
  }

  #check(insn: Insn): Fault | undefined {
    const cls = insn.opcode & CLASS_MASK;
    if (cls === BPF_LDX) return this.#access(insn, insn.src, false);
    if (cls === BPF_ST || cls === BPF_STX) {
      const isAcquire = this.activation.prog.code.op[insn.pc] === OP.ATOMIC && insn.imm === BPF_LOAD_ACQ;
      return this.#access(insn, isAcquire ? insn.src : insn.dst, !isAcquire);
    }
    if (insn.opcode === OP_CALL && insn.src === 0) return this.#checkCall(insn.imm);
    if (insn.opcode === OP_CALLX) {
      const id = this.register(insn.dst);
      return id < 1n << 31n ? this.#checkCall(Number(id)) : undefined;
    }
    if (this.activation.prog.code.op[insn.pc] === OP.LOAD_PACKET && this.register(6) !== BigInt(this.#ctx)) {
      return this.#fault("argument", `a packet load needs the ctx in r6, got ${hex(this.register(6))}`);
    }
    return undefined;
  }

  #access(insn: Insn, base: number, write: boolean): Fault | undefined {
    const size = sizeBytes(insn.opcode);
    const { lo, hi } = this.activation;
    // Exact: a double holds every sum that can be an address.
    const at = (hi[base]! >>> 0) * 0x100000000 + (lo[base]! >>> 0) + insn.off;
    if (this.#allowsAt(at, size, write)) return undefined;
    const address = BigInt.asUintN(64, this.register(base) + BigInt(insn.off));
    const place = `r${base}${insn.off < 0 ? "" : "+"}${insn.off}`;
    return this.#accessFault(address, size, write, place);
  }

  #accessFault(address: bigint, size: number, write: boolean, place: string): Fault {
    const region = this.regionNear(address);
    const where = region ? `in or after ${region}` : "in no region";
    const verb = write ? "write" : "read";
    const message = `${verb} of ${size} bytes at ${hex(address)} (${place}): ${where}, expected live memory`;
    return this.#fault("access", message, { address, size, write, ...(region && { region }) });
  }

  /** True when all `size` bytes at `address` are alive and may be read (or written). */
  allows(address: bigint, size: number, write: boolean): boolean {
    return address <= 0xffffffffn && this.#allowsAt(Number(address), size, write);
  }

  #allowsAt(start: number, size: number, write: boolean): boolean {
    if (start < 0 || start > 0xffffffff) return false;
    const end = start + size;
    const a = this.activation;
    if (start >= a.stack && end <= a.stack + (a.depth + 1) * STACK_SIZE) return true;
    if (start >= this.#ctx && end <= this.#ctx + this.#ctxSize) {
      return !write || (this.#ctxSize === SKB.PUBLIC && isWritableSkb(start - this.#ctx, size));
    }
    const [packet, packetEnd] = this.#packet();
    if (start >= packet && end <= packetEnd) return true;
    if (this.#layout && this.#allowsHook(this.#layout, start, size, write)) return true;
    for (const r of this.#regions) {
      if (start >= r.start && end <= r.start + r.size) return r.writable || !write;
    }
    if (this.#grants.size)
      for (const [at, g] of this.#grants) {
        if (start >= at && end <= at + g.size) return g.writable || !write;
      }
    return this.machine.memory.allows(start, size, write);
  }

  /** The ctx of a hook by its fields, and what the pointers in it lead to. */
  #allowsHook(layout: CtxLayout, start: number, size: number, write: boolean): boolean {
    const at = start - this.#ctx;
    if (at >= 0 && at < layout.size) {
      const field = ctxAccess(layout, at, size, write);
      return field !== undefined;
    }
    const { view } = this.machine.memory;
    return layout.fields.some(({ value, offset }) => {
      const extent = POINTED[value];
      if (!extent || (write && !extent.writable)) return false;
      const target = view.getUint32(this.#ctx + offset, true);
      return target !== 0 && start >= target && start + size <= target + extent.size;
    });
  }

  /** Name of the live region that an address lies in, or that ends shortly before it. */
  regionNear(address: bigint): string | undefined {
    if (address > 0xffffffffn) return undefined;
    const at = Number(address);
    const a = this.activation;
    const near: [name: string, start: number, end: number][] = [
      ["ctx", this.#ctx, this.#ctx + this.#ctxSize],
      ["packet", ...this.#packet()],
      ...(this.#options.regions ?? []).map((r): [string, number, number] => [r.name, r.start, r.start + r.size]),
      ...Array.from(this.#grants, ([start, g]): [string, number, number] => [g.name, start, start + g.size]),
      ...this.machine.memory.regions.map((r): [string, number, number] => [r.name, r.start, r.end]),
    ];
    for (let f = a.depth; f >= 0; f--) {
      near.push([`stack of frame ${f}`, a.stack + f * STACK_SIZE, a.stack + (f + 1) * STACK_SIZE]);
    }
    let best: string | undefined;
    let distance = 4096;
    for (const [name, start, end] of near) {
      const d = at >= start && at < end ? 0 : at >= end ? at - end + 1 : start - at;
      if (end > start && d < distance) {
        best = name;
        distance = d;
      }
    }
    return best;
  }

  #packet(): [number, number] {
    const { view } = this.machine.memory;
    const { type } = this.#program.spec;
    if (!this.#ctx || this.#ctx + SKB.PUBLIC > view.byteLength) return [0, 0];
    if (type === ProgType.BPF_PROG_TYPE_XDP) {
      return [view.getUint32(this.#ctx + XDP.DATA_META, true), view.getUint32(this.#ctx + XDP.DATA_END, true)];
    }
    if (ctxSize(type) === SKB.PUBLIC) {
      return [view.getUint32(this.#ctx + SKB.DATA_META, true), view.getUint32(this.#ctx + SKB.DATA_END, true)];
    }
    const start = this.#layout?.fields.find((f) => f.value === "packet");
    const end = this.#layout?.fields.find((f) => f.value === "packetEnd");
    if (start && end) {
      return [view.getUint32(this.#ctx + start.offset, true), view.getUint32(this.#ctx + end.offset, true)];
    }
    return [0, 0];
  }

  #checkCall(id: number): Fault | undefined {
    const description = helperById(id, this.#program.spec.type);
    if (!description) return undefined;
    let map: VmMap | undefined;
    const { args } = description;
    for (let i = 0; i < args.length; i++) {
      const arg = args[i]!;
      const value = this.register(i + 1);
      if (arg.kind === "map") {
        map = value <= 0xffffffffn ? this.machine.mapAt(Number(value)) : undefined;
        if (!map) return this.#badArgument(description.name, i, "a map's address", value);
        if (!helperTakesMap(description.name, map.spec.type)) {
          return this.#fault(
            "argument",
            `bpf_${description.name} does not take a map of type ${mapTypeName(map.spec.type)}`,
          );
        }
        continue;
      }
      const fault = this.#checkArgument(description.name, i, arg, value, map, args[i + 1]);
      if (fault) return fault;
    }
    return undefined;
  }

  #checkArgument(
    name: string,
    i: number,
    arg: HelperArg,
    value: bigint,
    map: VmMap | undefined,
    next: HelperArg | undefined,
  ): Fault | undefined {
    if (arg.orNull && value === 0n) return undefined;
    const memory = (size: number): Fault | undefined => {
      if (size === 0 || this.allows(value, size, arg.access !== "read")) return undefined;
      return this.#accessFault(value, size, arg.access !== "read", `argument r${i + 1} of bpf_${name}`);
    };
    switch (arg.kind) {
      case "ctx":
        return value === BigInt(this.#ctx) ? undefined : this.#badArgument(name, i, "the ctx", value);
      case "key":
        return memory(map?.spec.keySize ?? 0);
      case "value":
        return memory(map?.spec.valueSize ?? 0);
      case "mem": {
        if (arg.size) return memory(arg.size);
        if (next?.kind !== "size" && next?.kind !== "size0") return undefined;
        const size = this.register(i + 2);
        if (size > 1n << 29n) return this.#badArgument(name, i + 1, "a size below 2^29", size);
        return memory(Number(size));
      }
      case "size":
        return value > 0n ? undefined : this.#badArgument(name, i, "a size above 0", value);
      case "func": {
        const at = value < 1n << 31n ? this.activation.prog.code.at[Number(value)] : undefined;
        return at ? undefined : this.#badArgument(name, i, "a function of the program", value);
      }
      case "str":
        return this.#checkString(name, i, value);
      case "timer":
      case "dynptr":
        return this.allows(value, 16, true)
          ? undefined
          : this.#accessFault(value, 16, true, `argument r${i + 1} of bpf_${name}`);
      case "kptr":
        return this.allows(value, 8, true)
          ? undefined
          : this.#accessFault(value, 8, true, `argument r${i + 1} of bpf_${name}`);
      case "lock":
        return this.allows(value, 4, true)
          ? undefined
          : this.#accessFault(value, 4, true, `argument r${i + 1} of bpf_${name}`);
      case "sock":
      case "sockCommon":
      case "btf":
      case "percpuBtf":
      case "ringbufMem": {
        const granted = value <= 0xffffffffn ? this.#grants.get(Number(value))?.name : undefined;
        const known = granted === (arg.kind === "ringbufMem" ? RINGBUF_RECORD : SOCKET);
        return known ? undefined : this.#badArgument(name, i, `what a helper handed out (${arg.kind})`, value);
      }
      default:
        return undefined;
    }
  }

  #checkString(name: string, i: number, value: bigint): Fault | undefined {
    for (let at = value; this.allows(at, 1, false); at++) {
      if (this.machine.memory.u8[Number(at)] === 0) return undefined;
    }
    return this.#badArgument(name, i, "a string that ends with 0 inside of live memory", value);
  }

  #badArgument(name: string, i: number, expected: string, value: bigint): Fault {
    return this.#fault("argument", `bpf_${name}: expected ${expected} in r${i + 1}, got ${hex(value)}`);
  }

  /** Memory that the insn is about to write, with its bytes before. */
  #writesOf(insn: Insn): { address: number; before: Uint8Array; after: Uint8Array }[] {
    const cls = insn.opcode & CLASS_MASK;
    const none = new Uint8Array(0);
    if (cls === BPF_ST || cls === BPF_STX) {
      const address = Number(BigInt.asUintN(32, this.register(insn.dst) + BigInt(insn.off)));
      return [{ address, before: this.#copy(address, sizeBytes(insn.opcode)), after: none }];
    }
    if (insn.opcode !== OP_CALL || insn.src !== 0) return [];
    const description = helperById(insn.imm, this.#program.spec.type);
    const writes: { address: number; before: Uint8Array; after: Uint8Array }[] = [];
    let map: VmMap | undefined;
    description?.args.forEach((arg, i) => {
      const value = Number(BigInt.asUintN(32, this.register(i + 1)));
      if (arg.kind === "map") map = this.machine.mapAt(value);
      if (arg.access === "read" || !value) return;
      const isSized = description.args[i + 1]?.kind === "size" || description.args[i + 1]?.kind === "size0";
      const size =
        arg.kind === "value"
          ? (map?.spec.valueSize ?? 0)
          : arg.kind === "dynptr"
            ? 16
            : arg.size || (isSized ? Number(this.register(i + 2)) : 0);
      if (size) writes.push({ address: value, before: this.#copy(value, size), after: none });
    });
    return writes;
  }

  #changedMap(insn: Insn): number | undefined {
    if (insn.opcode !== OP_CALL || insn.src !== 0) return undefined;
    const description = helperById(insn.imm, this.#program.spec.type);
    if (description?.args[0]?.kind !== "map" || /lookup|peek|redirect/.test(description.name)) return undefined;
    return Number(this.register(1));
  }

  #copy(address: number, size: number): Uint8Array {
    return this.machine.memory.u8.slice(address, address + size);
  }
}

/** Runs a program under guard to its end. */
export function runGuarded(
  machine: Machine,
  program: VmProgram,
  args: readonly number[],
  options: GuardOptions = {},
): GuardedResult {
  return new GuardedRun(machine, program, args, options).finish();
}

/** What the pointers of a hook's ctx lead to. */
const POINTED: Readonly<Partial<Record<CtxValue, { readonly size: number; readonly writable: boolean }>>> = {
  socket: { size: SOCKET_LAYOUT.size, writable: false },
  socketOrNull: { size: SOCKET_LAYOUT.size, writable: false },
  sockCommonOrNull: { size: SOCKET_LAYOUT.size, writable: false },
  flowKeys: { size: FLOW_KEYS_SIZE, writable: true },
};

/** The layout of a hook's ctx (ctx/hook.ts) at an address; undefined for types that have none, or no room for one. */
function hookLayout({ type, attachType }: ProgramSpec, ctx: number, memory: number): CtxLayout | undefined {
  const layout = ctxLayout(type, attachType);
  return layout && layout.size <= HOOK.PRIVATE && ctx + HOOK.STRIDE <= memory ? layout : undefined;
}

/** Bytes of the ctx that programs of a type may touch; 0 where the ctx is another (or the caller's region). */
function ctxSize(type: number): number {
  switch (type) {
    case ProgType.BPF_PROG_TYPE_XDP:
      return XDP.HARD_START;
    case ProgType.BPF_PROG_TYPE_SOCKET_FILTER:
    case ProgType.BPF_PROG_TYPE_SCHED_CLS:
    case ProgType.BPF_PROG_TYPE_SCHED_ACT:
    case ProgType.BPF_PROG_TYPE_CGROUP_SKB:
    case ProgType.BPF_PROG_TYPE_LWT_IN:
    case ProgType.BPF_PROG_TYPE_LWT_OUT:
    case ProgType.BPF_PROG_TYPE_LWT_XMIT:
    case ProgType.BPF_PROG_TYPE_LWT_SEG6LOCAL:
    case ProgType.BPF_PROG_TYPE_SK_SKB:
      return SKB.PUBLIC;
    default:
      return 0;
  }
}

/** Fields of __sk_buff that programs may write. The pointers in a ctx are not among them: they bound the packet. */
const SKB_WRITABLE: readonly (readonly [start: number, end: number])[] = [
  [SKB.MARK, SKB.PROTOCOL],
  [SKB.PRIORITY, SKB.INGRESS_IFINDEX],
  [SKB.TC_INDEX, SKB.HASH],
  [SKB.TC_CLASSID, SKB.DATA],
  [SKB.TSTAMP, SKB.WIRE_LEN],
];

function isWritableSkb(offset: number, size: number): boolean {
  return SKB_WRITABLE.some(([start, end]) => offset >= start && offset + size <= end);
}

const freeRuns = new WeakMap<object, Uint16Array>();

/** How many insns from the activation's place on need no check: arithmetic, and the jump that ends them. */
function freeRun(a: Activation): number {
  const { code } = a.prog;
  let runs = freeRuns.get(code);
  if (!runs) {
    runs = new Uint16Array(code.slots);
    for (let pc = code.slots - 1; pc >= 0; pc--) {
      const insn = code.at[pc];
      if (!insn) continue;
      const cls = insn.opcode & CLASS_MASK;
      const isMemory = cls === BPF_LDX || cls === BPF_ST || cls === BPF_STX || code.op[pc] === OP.LOAD_PACKET;
      if (isMemory || insn.opcode === OP_CALL || insn.opcode === OP_CALLX) runs[pc] = 0;
      else if (cls === 5 || cls === 6) runs[pc] = 1;
      else runs[pc] = Math.min(0xffff, 1 + (runs[pc + (insn.opcode === 0x18 ? 2 : 1)] ?? 0));
    }
    freeRuns.set(code, runs);
  }
  if (a.pc >= runs.length) throw new InternalError(`guarded run at slot ${a.pc} of ${runs.length}`);
  return runs[a.pc]!;
}
