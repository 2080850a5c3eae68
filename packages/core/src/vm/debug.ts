/**
 * A debugger over guarded runs: step, run to a breakpoint, and both backwards.
 *
 * Going back is going forth from an earlier checkpoint: every so many insns the registers and the pages of memory that
 * changed are kept, and a run repeats exactly because everything nondeterministic comes from the host, which is saved
 * too. So a step back costs at most one interval of insns. What lives outside of the memory and the host (readers of
 * event arrays, element memory that a map gained meanwhile) is not taken back.
 */
import { bytesEqual } from "../bytes/index.ts";
import { OP_CALL } from "../isa/index.ts";
import { helperById, type LineInfo, lineAt, type ProgramSpec } from "../object/index.ts";
import { Coverage } from "./coverage.ts";
import { GuardedRun, type GuardedState, type GuardOptions, type Step } from "./guard.ts";
import type { InterpRunner } from "./interp-engine.ts";
import type { Machine, VmProgram } from "./machine.ts";

/** Where `resume` stops, before the insn is executed. */
export type Breakpoint =
  /** Of the program that the run began with, or of one that it reaches by a tail call. */
  | { readonly kind: "pc"; readonly pc: number; readonly program?: string }
  | { readonly kind: "line"; readonly line: number; readonly file?: string }
  /** A helper is about to be called with this key of a map (by the map's address). */
  | { readonly kind: "mapKey"; readonly map: number; readonly key: Uint8Array }
  /** A register came to hold a value. */
  | { readonly kind: "register"; readonly register: number; readonly value: bigint };

export interface DebugOptions extends GuardOptions {
  /** Insns between checkpoints. Default 10,000, more where the memory is large. */
  readonly checkpointEvery?: number;
}

interface Checkpoint {
  readonly executed: number;
  readonly state: GuardedState;
  /** Pages that differ from the checkpoint before, by number. */
  readonly pages: ReadonlyMap<number, Uint8Array>;
}

const PAGE = 4096;
const DEFAULT_BUDGET = 50_000_000;

export class Debugger {
  readonly run: GuardedRun;
  /** What ran of each program: the one that the run began with, and those that it reached by tail calls. */
  readonly coverages = new Map<ProgramSpec, Coverage>();
  readonly breakpoints = new Set<Breakpoint>();
  readonly #machine: Machine;
  readonly #first: VmProgram;
  readonly #every: number;
  readonly #checkpoints: Checkpoint[] = [];
  /** The memory as it was at the last checkpoint. */
  #shadow: Uint8Array;
  /** The memory as it was at the first. */
  readonly #base: Uint8Array;

  /** The program begins at its first insn, with `args` in r1…. The memory is the caller's again after the last use. */
  constructor(machine: Machine, program: VmProgram, args: readonly number[], options: DebugOptions = {}) {
    this.run = new GuardedRun(machine, program, args, { budget: DEFAULT_BUDGET, ...options });
    this.#machine = machine;
    this.#first = program;
    this.#every = Math.max(options.checkpointEvery ?? 10_000, machine.memory.size >> 9);
    this.#base = machine.memory.u8.slice();
    this.#shadow = this.#base.slice();
    this.#checkpoints.push({ executed: 0, state: this.run.save(), pages: new Map() });
  }

  /** Insns executed since the start: the position in the run's history. */
  get position(): number {
    return this.run.activation.executed;
  }

  /** The program that runs now. */
  get program(): ProgramSpec {
    return programOf(this.#machine, this.run, this.#first).spec;
  }

  /** What ran of the program that the run began with. */
  get coverage(): Coverage {
    return coverageOf(this.coverages, this.#first.spec);
  }

  /** The source line of the next insn. */
  get line(): LineInfo | undefined {
    return lineAt(this.program, this.run.pc);
  }

  /** Executes one insn; undefined when the run is over (see `run.result`). */
  step(): Step | undefined {
    this.#checkpoint();
    const { program } = this;
    const step = this.run.step();
    if (step) coverageOf(this.coverages, program).record(step.insn, this.run.pc);
    return step;
  }

  /** Goes one insn back. False at the start. */
  stepBack(): boolean {
    if (this.position === 0) return false;
    this.seek(this.position - 1);
    return true;
  }

  /** Goes to any position of the history, or forward. Insns passed over on the way are not counted as covered. */
  seek(position: number): void {
    if (position < this.position || this.run.result?.fault) this.#restore(position);
    while (this.position < position && !this.run.result) {
      this.#checkpoint();
      const next = (Math.floor(this.position / this.#every) + 1) * this.#every;
      this.run.runUntil(Math.min(position, next));
    }
  }

  /** Runs on to a breakpoint, which it answers, or to the end (undefined). The insn it stands at does not count. */
  resume(): Breakpoint | undefined {
    for (let first = true; !this.run.result; first = false) {
      if (!first) {
        const hit = this.#hit();
        if (hit) return hit;
      }
      if (!this.step()) return undefined;
    }
    return undefined;
  }

  /** Runs back to the last breakpoint before this position, or to the start (undefined). */
  resumeBack(): Breakpoint | undefined {
    let end = this.position;
    while (end > 0) {
      // Interval by interval backwards: the last hit within one is the answer.
      const start = this.#before(end);
      this.#restore(start);
      let found: { position: number; breakpoint: Breakpoint } | undefined;
      while (this.position < end && !this.run.result) {
        const breakpoint = this.#hit();
        if (breakpoint) found = { position: this.position, breakpoint };
        if (!this.run.step()) break;
      }
      if (found) {
        this.seek(found.position);
        return found.breakpoint;
      }
      end = start;
    }
    this.seek(0);
    return undefined;
  }

  #hit(): Breakpoint | undefined {
    if (!this.breakpoints.size) return undefined;
    const { pc } = this.run;
    for (const b of this.breakpoints) {
      switch (b.kind) {
        case "pc":
          if (b.pc === pc && this.program.name === (b.program ?? this.#first.spec.name)) return b;
          break;
        case "line": {
          const line = this.line;
          if (line?.pc === pc && line.line === b.line && (b.file === undefined || b.file === line.file)) return b;
          break;
        }
        case "register":
          if (this.run.register(b.register) === b.value) return b;
          break;
        case "mapKey":
          if (this.#usesKey(b.map, b.key)) return b;
          break;
      }
    }
    return undefined;
  }

  /** True when the next insn calls a helper with this map and key. */
  #usesKey(map: number, key: Uint8Array): boolean {
    const { insn } = this.run;
    if (insn.opcode !== OP_CALL || insn.src !== 0 || this.run.register(1) !== BigInt(map)) return false;
    if (helperById(insn.imm)?.args[1]?.kind !== "key") return false;
    const at = Number(BigInt.asUintN(32, this.run.register(2)));
    return bytesEqual(this.#machine.memory.u8.subarray(at, at + key.length), key);
  }

  /** The last checkpoint strictly before a position. */
  #before(position: number): number {
    for (let i = this.#checkpoints.length - 1; i > 0; i--) {
      if (this.#checkpoints[i]!.executed < position) return this.#checkpoints[i]!.executed;
    }
    return 0;
  }

  /** Keeps the state when one is due here. */
  #checkpoint(): void {
    const { position } = this;
    const last = this.#checkpoints.at(-1)!;
    if (position <= last.executed || position % this.#every) return;
    const pages = new Map<number, Uint8Array>();
    const now = this.#machine.memory.u8;
    if (this.#shadow.length < now.length) {
      const longer = new Uint8Array(now.length);
      longer.set(this.#shadow);
      this.#shadow = longer;
    }
    const a = new Uint32Array(now.buffer, 0, now.length >> 2);
    const b = new Uint32Array(this.#shadow.buffer);
    const words = PAGE >> 2;
    for (let page = 0; page * words < a.length; page++) {
      const end = (page + 1) * words;
      for (let i = page * words; i < end; i++) {
        if (a[i] === b[i]) continue;
        const copy = now.slice(page * PAGE, (page + 1) * PAGE);
        pages.set(page, copy);
        this.#shadow.set(copy, page * PAGE);
        break;
      }
    }
    this.#checkpoints.push({ executed: position, state: this.run.save(), pages });
  }

  /** Back to the last checkpoint at or before a position, then forward to it. */
  #restore(position: number): void {
    let at = this.#checkpoints.length - 1;
    while (this.#checkpoints[at]!.executed > position) at--;
    const { u8 } = this.#machine.memory;
    u8.set(this.#base);
    u8.fill(0, this.#base.length);
    for (let i = 1; i <= at; i++) {
      for (const [page, bytes] of this.#checkpoints[i]!.pages) u8.set(bytes, page * PAGE);
    }
    this.run.restore(this.#checkpoints[at]!.state);
    if (this.position < position) this.run.runUntil(position);
  }
}

/** The program whose code a run is in: tail calls lead to others than it began with. */
export function programOf(machine: Machine, run: GuardedRun, first: VmProgram): VmProgram {
  const { prog } = run.activation;
  const runs = (p: VmProgram): boolean => (p.runner as Partial<InterpRunner>).linked === prog;
  if (runs(first)) return first;
  for (const program of machine.programs.values()) if (runs(program)) return program;
  return first;
}

/** The counts of a program, made when first asked for. */
export function coverageOf(all: Map<ProgramSpec, Coverage>, program: ProgramSpec): Coverage {
  let found = all.get(program);
  if (!found) all.set(program, (found = new Coverage(program.code.length / 8)));
  return found;
}
