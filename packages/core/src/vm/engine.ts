/**
 * What an engine is to a machine: it turns a resolved program into something that runs. Interpreter and JIT are two
 * of them; both get the same input, so everything about names, maps and helpers is settled once, in resolve.ts.
 */
import type { Insn } from "../isa/index.ts";
import type { VmMap } from "../maps/index.ts";
import type { ProgramSpec } from "../object/index.ts";
import type { HelperImpl, LoopHelper, Self } from "./env.ts";
import type { Machine } from "./machine.ts";

/** What a program needs of a map: all of it that another thread's map shows too. */
export type ProgramMap = Pick<VmMap, "spec" | "type" | "addr" | "valueAddr">;

/** A program whose relocs are filled in and whose callees are known to exist. */
export interface Resolved {
  readonly spec: ProgramSpec;
  /** A relocated copy: lddw of maps hold wasm addresses; kfunc calls hold their index in `kfuncs`. */
  readonly bytes: Uint8Array;
  readonly insns: readonly Insn[];
  /** By slot of the lddw: the map whose header (or, with `offset`, whose first value) it loads. */
  readonly maps: ReadonlyMap<number, { readonly map: ProgramMap; readonly offset: number | undefined }>;
  /** Implementations of the helpers that are called, by number. tail_call (12) is an engine's own. */
  readonly helpers: ReadonlyMap<number, HelperImpl>;
  readonly loops: ReadonlyMap<number, LoopHelper>;
  /** The helpers' way back to this program; the machine sets its runner. */
  readonly self: Self;
  /** By slot of the call. */
  readonly kfuncs: ReadonlyMap<number, BoundKfunc>;
  /** First slot of the function that an exception ends the program with. */
  readonly exceptionCallback: number | undefined;
}

/** A kfunc that a program calls, with what runs it. */
export type BoundKfunc = { readonly name: string } & (
  | { readonly impl: HelperImpl; readonly loop?: undefined }
  | { readonly loop: LoopHelper; readonly impl?: undefined }
);

/** A program as one engine runs it. */
export interface Runner {
  /** Runs on the ctx at an address; the answer is r0's low half, unsigned. `machine.r0()` has all of it. */
  run(ctx: number): number;
  /**
   * Runs the function at slot `pc` with 32-bit arguments: callbacks of timers and the like. `high` is the upper half
   * of the first one.
   */
  call(pc: number, args: readonly number[], high?: number): number;
  /** As `Resolved.exceptionCallback`, for `call`: an engine may have moved it. */
  readonly exceptionCallback: number | undefined;
  /**
   * Runs on `count` ctx, `stride` bytes apart from `ctx` on, and writes each r0's low half to the 32-bit words at
   * `verdicts`.
   */
  batch(ctx: number, stride: number, count: number, verdicts: number): void;
  /** Tells the number by which prog arrays name the program. */
  named?(id: number): void;
  close(): void;
}

export interface EngineOptions {
  /** A verifier accepted the program: an engine may rest on what that proves (which stack slots no pointer reaches). */
  readonly verified?: boolean;
  /** A JIT hides the program's constants, so that no machine code is made of bytes that its author chose. */
  readonly blind?: boolean;
  /** False: a JIT's batch loop calls the program instead of containing it. Default: by the program's size. */
  readonly inlineBatch?: boolean;
  /** How much a run may do before it is given up, in the engine's own unit; no limit when absent. */
  readonly fuel?: number;
}

export type Engine = (machine: Machine, program: Resolved, options?: EngineOptions) => Runner;
