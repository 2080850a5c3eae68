/**
 * What all parts of one verification share: the program, the maps, the running state, the paths still to walk, and how
 * a part says no. It holds no rules. A refusal is thrown as `Refusal` and caught by `verify`, never seen outside.
 */
import type { CtxLayout, Kfunc, MapSpec, Reloc } from "../object/index.ts";
import type { Program } from "./cfg/program.ts";
import { type MapField, structFields } from "./check/map-fields.ts";
import type { Signature } from "./check/signature.ts";
import type { Traced } from "./check/traced.ts";
import { Kind, markPrecise, type Node, type Reg, unknownReg } from "./domain/reg.ts";
import { type Checkpoint, type Frame, mapRegs, type State } from "./domain/state.ts";
import type { TypeRef, TypeTable } from "./domain/type-ref.ts";
import type { Profile } from "./profile.ts";
import type { Lengths } from "./report/facts.ts";

/** Insns that are walked before the verifier gives up, and how long a queue of branches may get. */
export const MAX_PROCESSED = 1_000_000;
export const MAX_PENDING = 8192;
/** CPUs that a kernel can be built for (NR_CPUS of the largest configurations). */
export const MAX_CPUS = 8192;
/** Pointers may wander this far from their base. */
export const MAX_VAR_OFF = 1 << 29;
export const MAX_PACKET_OFF = 0xffff;

/** A map as the program sees it; one object a map, so identity is equality. */
export interface MapRef {
  readonly name: string;
  readonly spec: MapSpec;
  /** What the slots of a map of maps hold. */
  readonly inner: MapRef | undefined;
  /** Parts of the value that only their own helpers may touch. */
  readonly fields: readonly MapField[];
}

export interface Pending {
  readonly state: State;
  readonly pc: number;
  readonly prevPc: number;
}

/** Which rule was broken: stable words for tests and for explanations. */
export class Refusal {
  readonly verdict: "reject" | "unsupported";
  readonly rule: string;
  readonly message: string;
  readonly pc: number;
  readonly register: number | undefined;
  readonly fix: string | undefined;

  constructor(
    verdict: "reject" | "unsupported",
    rule: string,
    message: string,
    pc: number,
    register: number | undefined,
    fix: string | undefined,
  ) {
    this.verdict = verdict;
    this.rule = rule;
    this.message = message;
    this.pc = pc;
    this.register = register;
    this.fix = fix;
  }
}

export interface RefusalDetail {
  readonly register?: number;
  readonly pc?: number;
  readonly fix?: string;
}

/** Called for each insn that is about to run, with the state before it. */
export type Observer = (pc: number, state: State) => void;

export class Context {
  readonly program: Program;
  readonly progType: number;
  readonly attachType: number;
  readonly ctxLayout: CtxLayout | undefined;
  /** The kernel function whose arguments the ctx holds, for the types that the kernel's BTF describes. */
  readonly traced: Traced | undefined;
  readonly types: TypeTable;
  readonly maps: ReadonlyMap<string, MapRef>;
  readonly relocAt: ReadonlyMap<number, Reloc>;
  /** Kernel functions that are called, by pc of the call. */
  readonly kfuncAt: ReadonlyMap<number, Kfunc>;
  readonly gpl: boolean;
  readonly strictAlign: boolean;
  readonly sleepable: boolean;
  readonly frags: boolean;
  /** Bound to a device at load: only its driver's functions and queues. */
  readonly deviceBound: boolean;
  readonly profile: Profile;
  /** Numbers of CPUs lie below it. */
  readonly cpus: number;
  /** What was taken for granted of a program that is not at hand. */
  readonly assumed: string | undefined;
  /** What BTF says of functions, by first pc. */
  readonly signatures: ReadonlyMap<number, Signature>;
  /** First pc of the function that an exception ends the program with; undefined: it ends with the exception's value. */
  readonly exceptionCallback: number | undefined;
  /** First pcs of the global functions that were called: they are walked apart. */
  readonly globalsCalled = new Set<number>();
  /** The function that is being walked with its own BTF's arguments: 0 for the program itself. */
  root = 0;

  state: State;
  pc = 0;
  prevPc = -1;
  processed = 0;
  jumps = 0;
  prevProcessed = 0;
  prevJumps = 0;
  totalStates = 0;
  readonly pending: Pending[] = [];
  /** Saved states, newest first, by a hash of pc and call site as the kernel keeps them: see `savedStates`. */
  readonly #checkpoints: (Checkpoint[] | undefined)[];
  /** Deepest stack use of each function, by its first pc, in bytes. */
  readonly stackDepth = new Map<number, number>();
  /** The kind of pointer that each load or store insn saw first: it may not change in kind between paths. */
  readonly accessKind = new Map<number, number>();
  /** By pc: how often it was walked. */
  readonly visited: Uint32Array;
  /** By pc of a conditional jump: 1 when it was seen not to jump, 2 when to jump. */
  readonly outcomes: Uint8Array;
  /** By pc of a load, store or atomic: bit set of the kinds of pointer it was seen with. */
  readonly regions: Uint32Array;
  /** End of the furthest access to the ctx, from its start. Source: `max_ctx_offset` of the kernel's verifier. */
  ctxReach = 0;
  /** Names of the kernel's structs that are read or written through pointers. */
  readonly structsUsed = new Set<string>();
  readonly helpersUsed = new Set<number>();
  readonly mapsUsed = new Set<string>();
  /** Asynchronous callbacks that were queued, with their map. */
  readonly asyncWalked = new Set<string>();
  readonly prune: boolean;
  /** Facts mode: states must hold all values of live registers, and paths are counted. */
  lengths: Lengths | undefined;
  /** The saved state that made the running one superfluous, and whether that closes a loop that is still being walked. */
  standIn: Checkpoint | undefined;
  closesLoop = false;
  /** Claims to be judged at the end of their loop, and how many did not hold. */
  openClaims = 0;
  brokenClaims = 0;
  observer: Observer | undefined;
  private lastId = 0;
  private readonly fields = new Map<TypeRef, readonly MapField[]>();

  constructor(init: {
    program: Program;
    progType: number;
    attachType: number;
    ctxLayout: CtxLayout | undefined;
    traced: Traced | undefined;
    types: TypeTable;
    maps: ReadonlyMap<string, MapRef>;
    relocAt: ReadonlyMap<number, Reloc>;
    kfuncAt: ReadonlyMap<number, Kfunc>;
    gpl: boolean;
    strictAlign: boolean;
    sleepable: boolean;
    frags: boolean;
    deviceBound: boolean;
    profile: Profile;
    cpus: number;
    assumed: string | undefined;
    signatures: ReadonlyMap<number, Signature>;
    exceptionCallback: number | undefined;
    state: State;
    observer: Observer | undefined;
    prune: boolean;
  }) {
    this.program = init.program;
    this.progType = init.progType;
    this.attachType = init.attachType;
    this.ctxLayout = init.ctxLayout;
    this.traced = init.traced;
    this.types = init.types;
    this.maps = init.maps;
    this.relocAt = init.relocAt;
    this.kfuncAt = init.kfuncAt;
    this.gpl = init.gpl;
    this.strictAlign = init.strictAlign;
    this.sleepable = init.sleepable;
    this.frags = init.frags;
    this.deviceBound = init.deviceBound;
    this.profile = init.profile;
    this.cpus = init.cpus;
    this.assumed = init.assumed;
    this.signatures = init.signatures;
    this.exceptionCallback = init.exceptionCallback;
    this.state = init.state;
    this.observer = init.observer;
    this.prune = init.prune;
    this.#checkpoints = new Array(init.program.slots);
    this.visited = new Uint32Array(init.program.slots);
    this.outcomes = new Uint8Array(init.program.slots);
    this.regions = new Uint32Array(init.program.slots);
  }

  newId(): number {
    return ++this.lastId;
  }

  /** Special fields of a type of the program's own. */
  fieldsOf(type: TypeRef): readonly MapField[] {
    let found = this.fields.get(type);
    if (!found) this.fields.set(type, (found = type.own && type.btf ? structFields(type.btf, type.id) : []));
    return found;
  }

  /** The struct that a kptr points to: the kernel's of that name, or the program's own. */
  kptrType(field: MapField): TypeRef {
    const { typeId } = field.kptr!;
    const type = this.types.program!.type(typeId);
    const name = "name" in type ? type.name : "";
    const { kernel } = this.types;
    if (kernel ? kernel.find(name, "struct") !== undefined : !this.isOwn(typeId)) return this.types.byName(name);
    return this.types.byId(typeId, true);
  }

  /** Without the kernel's BTF: a type with fields that only programs' objects have. */
  private isOwn(typeId: number): boolean {
    return this.fieldsOf(this.types.byId(typeId, true)).length > 0;
  }

  get frame(): Frame {
    return this.state.frame;
  }

  /**
   * The list that holds the states saved at `pc` in calls from where the running frame was called. States of other
   * insns may share it: whoever looks must compare the pc. Calls of one function from different places do not get in
   * each other's way, neither in comparing nor in what is worth saving.
   */
  savedStates(pc: number): Checkpoint[] {
    const bucket = ((pc ^ this.state.frame.callsite) >>> 0) % this.#checkpoints.length;
    const list = this.#checkpoints[bucket];
    if (list) return list;
    const fresh: Checkpoint[] = [];
    this.#checkpoints[bucket] = fresh;
    return fresh;
  }

  reg(n: number): Reg {
    return this.state.frame.regs[n]!;
  }

  setReg(n: number, r: Reg): void {
    this.state.frame.regs[n] = r;
  }

  /** Notes that a check looks at this number. */
  markPrecise(n: Node | undefined): void {
    markPrecise(n);
  }

  /** Notes an access to the ctx that ends at this offset. */
  reachCtx(end: number): void {
    if (end > this.ctxReach) this.ctxReach = end;
  }

  /** Queues a copy of the running state to be walked from `pc` later, and returns it. */
  push(pc: number, state: State): State {
    if (this.pending.length >= MAX_PENDING) {
      this.reject("complexity", `more than ${MAX_PENDING} branches wait to be walked: the program branches too much`);
    }
    if (state.parent) state.parent.branches++;
    const here = this.state;
    if (state !== here) {
      const prev = here.path;
      here.path = { pc: this.pc, taken: false, prev };
      state.path = { pc: this.pc, taken: true, prev };
    }
    this.pending.push({ state, pc, prevPc: this.pc });
    return state;
  }

  /** Pointers into the data of a dynptr that is no more are numbers that say nothing. */
  forgetDerived(dynptr: number): void {
    mapRegs(this.state, (r) => (r.kind === Kind.MEM && r.obj === dynptr ? unknownReg() : r));
  }

  reject(rule: string, message: string, detail: RefusalDetail = {}): never {
    throw new Refusal("reject", rule, message, detail.pc ?? this.pc, detail.register, detail.fix);
  }

  unsupported(feature: string, message: string, detail: RefusalDetail = {}): never {
    throw new Refusal("unsupported", feature, message, detail.pc ?? this.pc, detail.register, detail.fix);
  }
}
