/**
 * Calls: subprograms, helpers, callbacks, tail calls.
 *
 * A helper is one of three things: insns in place (`inline-maps.ts`), a function of the map runtime in the same module,
 * or a JavaScript function whose parameters and result are 32-bit numbers (an i64 there would cost a BigInt each).
 * A subprogram takes r1-r5 and the lowest address of its frame, which is 512 above its caller's.
 */
import {
  BPF_LDX,
  BPF_PSEUDO_CALL,
  BPF_PSEUDO_KFUNC_CALL,
  CLASS_MASK,
  type Insn,
  MAX_CALL_FRAMES,
  OP_CALLX,
  STACK_SIZE,
} from "../../isa/index.ts";
import { layout as L } from "../../maps/index.ts";
import { helperById } from "../../object/index.ts";
import { branchTarget } from "../code.ts";
import type { Resolved } from "../engine.ts";
import type { HelperImpl, LoopHelper } from "../env.ts";
import {
  access,
  branch,
  call,
  callIndirect,
  close,
  type Emitter,
  frameBase,
  get,
  getReg,
  getReg32,
  i32,
  i64,
  leaveWith,
  op,
  open,
  scratch32,
  scratch64,
  set,
  setReg,
  setReg32,
  spillSlots,
  tableGet,
  tableSize,
  tee,
} from "./emit.ts";
import { emitMapCall, isMapHelper, type MapFacts, mapResultMax } from "./inline-maps.ts";
import type { ArgUse } from "./slots.ts";
import { constOf, FRAME, isFrame, type State } from "./values.ts";
import { type FuncType, I32, I64, Op, VOID } from "./wasm.ts";

export const TAIL_CALL = 12;
const LOOP = 181;
const MAX_LOOPS = 8 * 1024 * 1024;
const MAX_TAIL_CALLS = 33;
const EINVAL = 22;
const E2BIG = 7;
const ENOENT = 2;

/** Bytes of the stacks of all frames. They are aligned to twice that: this bit of an address says that it is beyond. */
export const STACKS_SIZE = MAX_CALL_FRAMES * STACK_SIZE;
/** A whole program as a table function: ctx and frame in, r0 out. */
export const MAIN_TYPE: FuncType = { params: [I32, I32], results: [I64] };
/** A subprogram: r1-r5 and frame in, r0 out. */
export const SUB_TYPE: FuncType = { params: [I64, I64, I64, I64, I64, I32], results: [I64] };

/**
 * A few words of memory between the code and JavaScript: a callback loop's result and its callback's five arguments,
 * and why the code trapped.
 */
export const AREA = { RESULT: 0, ARGS: 8, SIZE: 32 } as const;
/** Reasons at `CPU.TRAP`. */
export const TRAP = { FUEL: 1, DEPTH: 2 } as const;

/** What translation knows of the program around a function. */
export interface CallEnv {
  readonly program: Resolved;
  /** Own function that holds the subprogram starting at a slot. */
  readonly subprogram: (slot: number) => number;
  /** Slots of the functions that an lddw makes a callback. */
  readonly callbacks: readonly number[];
  /** The map whose header stands at an address, where it is known at translation. */
  readonly mapAt: (address: number) => MapFacts | undefined;
  /** Address of the word with the high half of a helper's 64-bit result. */
  readonly resultHigh: number;
  readonly tailCalls: number;
  /** Address of the word that says why code trapped: the CPU's, since a tail call leaves the program that was run. */
  readonly trap: number;
  /** Address of the `AREA`. */
  readonly area: number;
  readonly shared: boolean;
  /** Offsets of the ctx fields that hold addresses of packet bytes: `data` and its like. */
  readonly packetFields: ReadonlySet<number>;
  /** No address is larger. */
  readonly addressMax: number;
}

export function emitCall(e: Emitter, insn: Insn, env: CallEnv): void {
  if (insn.opcode === OP_CALLX) emitCallx(e, insn, env);
  else if (insn.src === BPF_PSEUDO_CALL) {
    for (let r = 1; r <= 5; r++) getReg(e, r);
    pushCalleeFrame(e);
    call(e, { kind: "own", index: env.subprogram(branchTarget(insn)!) });
    setReg(e, 0);
  } else if (insn.src === BPF_PSEUDO_KFUNC_CALL) {
    const kfunc = env.program.kfuncs.get(insn.pc)!;
    spillArguments(e, insn, env);
    if (kfunc.loop) emitLoop(e, `loopk${insn.pc}`, kfunc.loop, env);
    else emitImport(e, `k${insn.pc}`, kfunc.impl, env);
  } else if (insn.imm === TAIL_CALL) emitTailCall(e, env);
  else if (env.program.loops.has(insn.imm)) emitHelperLoop(e, insn, env);
  else if (isMapHelper(insn.imm)) emitMapCall(e, insn, env.mapAt(constOf(e.state, 1) ?? 0), env.shared);
  else {
    spillArguments(e, insn, env);
    emitImport(e, `h${insn.imm}`, env.program.helpers.get(insn.imm)!, env);
  }
}

/** The largest r0 that a call can leave, or what a 4-byte load through the ctx can give; Infinity when unknown. */
export function resultMax(insn: Insn, env: CallEnv): number {
  if ((insn.opcode & CLASS_MASK) === BPF_LDX) {
    return env.packetFields.has(insn.off) ? env.addressMax : Number.POSITIVE_INFINITY;
  }
  if (insn.opcode === OP_CALLX || insn.src !== 0) return Number.POSITIVE_INFINITY;
  if (isMapHelper(insn.imm)) return mapResultMax(insn.imm);
  return env.program.helpers.get(insn.imm)?.ret === "u" ? 2 ** 32 - 1 : Number.POSITIVE_INFINITY;
}

/** What a call may do to the stack through its arguments; undefined when nothing is known. */
export function callUses(insn: Insn, s: State, env: CallEnv): readonly ArgUse[] | undefined {
  if (insn.opcode === OP_CALLX || insn.src !== 0) return undefined;
  const helper = helperById(insn.imm);
  if (!helper) return undefined;
  const map = env.mapAt(constOf(s, 1) ?? 0);
  const uses: ArgUse[] = [];
  for (let i = 0; i < helper.args.length; i++) {
    const arg = helper.args[i]!;
    const register = i + 1;
    if (!isFrame(s, register)) continue;
    if (arg.kind === "key") uses.push({ register, size: map?.keySize, writes: arg.access !== "read" });
    else if (arg.kind === "value") uses.push({ register, size: map?.valueSize, writes: arg.access !== "read" });
    else if (arg.kind === "mem") {
      const size = arg.size || (isSizeOf(helper.args[i + 1]?.kind) ? constOf(s, register + 1) : undefined);
      uses.push({ register, size, writes: arg.access !== "read" });
    } else return undefined;
  }
  return uses;
}

function isSizeOf(kind: string | undefined): boolean {
  return kind === "size" || kind === "size0";
}

/** Writes promoted slots home where the callee will read them through a pointer. */
function spillArguments(e: Emitter, insn: Insn, env: CallEnv): void {
  for (const use of callUses(insn, e.state, env) ?? []) {
    if (e.state.kind[use.register] !== FRAME) continue;
    const from = e.state.num[use.register]!;
    spillSlots(e, from, use.size === undefined ? 0 : from + use.size);
  }
}

function pushCalleeFrame(e: Emitter): void {
  frameBase(e);
  i32(e, STACK_SIZE);
  op(e, Op.i32_add);
}

/** Parameters of a JavaScript implementation: one i32 for each `i`, two for each `w`. */
export function importType(args: string): FuncType {
  return { params: Array.from(args).flatMap((a) => (a === "w" ? [I32, I32] : [I32])), results: [I32] };
}

function pushArguments(e: Emitter, args: string): void {
  for (let i = 0; i < args.length; i++) {
    getReg32(e, i + 1);
    if (args[i] === "w") pushHigh(e, i + 1);
  }
}

function pushHigh(e: Emitter, r: number): void {
  getReg(e, r);
  i64(e, 32);
  op(e, Op.i64_shr_u);
  op(e, Op.i32_wrap_i64);
}

function emitImport(e: Emitter, name: string, impl: HelperImpl, env: CallEnv): void {
  pushArguments(e, impl.args);
  const isRuntime = impl.runtime !== undefined && !impl.args.includes("w");
  if (isRuntime) call(e, { kind: "prebuilt", name: impl.runtime! });
  else call(e, { kind: "import", name, type: importType(impl.args) });
  switch (impl.ret) {
    case "i":
      op(e, Op.i64_extend_i32_s);
      setReg(e, 0);
      return;
    case "u":
      setReg32(e, 0);
      return;
    case "w":
      widen(e, env);
      return;
    case "v":
      op(e, Op.drop);
      i64(e, 0);
      setReg(e, 0);
  }
}

/** r0 from the low half on the stack and the high half that JavaScript left in memory. */
function widen(e: Emitter, env: CallEnv): void {
  op(e, Op.i64_extend_i32_u);
  i32(e, 0);
  access(e, Op.i64_load32_u, env.resultHigh);
  i64(e, 32);
  op(e, Op.i64_shl);
  op(e, Op.i64_or);
  setReg(e, 0);
}

function emitCallx(e: Emitter, insn: Insn, env: CallEnv): void {
  getReg32(e, insn.dst);
  pushHigh(e, insn.dst);
  pushArguments(e, "wwwww");
  call(e, { kind: "import", name: `callx${insn.pc}`, type: importType("wwwwww") });
  widen(e, env);
}

/**
 * The target's function replaces this one. From a subprogram, whose type is another, it is a call and an exit: the
 * kernel too returns to the subprogram's caller. The target gets this function's frame. A slot of the array holds a
 * program's id, which is its index in the table; a program that is gone left null there.
 */
function emitTailCall(e: Emitter, env: CallEnv): void {
  const target = scratch32(e, 0);
  const map = env.mapAt(constOf(e.state, 2) ?? 0);
  const pushField = (field: number) => {
    if (map) i32(e, map.header(field));
    else {
      getReg32(e, 2);
      access(e, Op.i32_load, field);
    }
  };
  open(e, Op.block, VOID);
  const failUnless = () => {
    op(e, Op.i32_eqz);
    branch(e, Op.br_if, 0);
  };
  i32(e, 0);
  access(e, Op.i32_load, env.tailCalls);
  i32(e, MAX_TAIL_CALLS);
  op(e, Op.i32_lt_u);
  failUnless();
  getReg32(e, 3);
  pushField(L.MAP_MAX_ENTRIES);
  op(e, Op.i32_lt_u);
  failUnless();
  getReg32(e, 3);
  pushField(L.MAP_STRIDE);
  op(e, Op.i32_mul);
  pushField(L.MAP_VALUES);
  op(e, Op.i32_add);
  access(e, Op.i32_load, 0);
  tee(e, target);
  failUnless();
  get(e, target);
  tableSize(e);
  op(e, Op.i32_lt_u);
  failUnless();
  get(e, target);
  tableGet(e);
  op(e, Op.ref_is_null);
  branch(e, Op.br_if, 0);
  i32(e, 0);
  i32(e, 0);
  access(e, Op.i32_load, env.tailCalls);
  i32(e, 1);
  op(e, Op.i32_add);
  access(e, Op.i32_store, env.tailCalls);
  getReg32(e, 1);
  frameBase(e);
  get(e, target);
  if (e.type === MAIN_TYPE) callIndirect(e, Op.return_call_indirect, MAIN_TYPE);
  else {
    callIndirect(e, Op.call_indirect, MAIN_TYPE);
    leaveWith(e);
  }
  close(e);
  i64(e, -ENOENT);
  setReg(e, 0);
}

function emitHelperLoop(e: Emitter, insn: Insn, env: CallEnv): void {
  const callback = constOf(e.state, 2);
  if (insn.imm === LOOP && callback !== undefined && env.callbacks.includes(callback)) {
    emitDirectLoop(e, callback, env);
  } else emitLoop(e, `loop${insn.imm}`, env.program.loops.get(insn.imm)!, env);
}

/** Calls back from a loop that JavaScript drives. */
function emitLoop(e: Emitter, name: string, { args, callback: register = 2 }: LoopHelper, env: CallEnv): void {
  const callback = constOf(e.state, register);
  pushArguments(e, args);
  call(e, { kind: "import", name, type: importType(args) });
  open(e, Op.if_, VOID);
  open(e, Op.loop, VOID);
  for (let i = 0; i < 5; i++) {
    i32(e, 0);
    access(e, Op.i64_load32_u, env.area + AREA.ARGS + 4 * i);
  }
  pushCalleeFrame(e);
  if (callback !== undefined && env.callbacks.includes(callback)) {
    call(e, { kind: "own", index: env.subprogram(callback) });
  } else callAnyCallback(e, register, env);
  op(e, Op.i32_wrap_i64);
  call(e, { kind: "import", name: "loopNext", type: { params: [I32], results: [I32] } });
  branch(e, Op.br_if, 0);
  close(e);
  close(e);
  i32(e, 0);
  access(e, Op.i64_load32_s, env.area + AREA.RESULT);
  setReg(e, 0);
}

/** Chooses among the program's callbacks by the slot in a register. The arguments are on the stack. */
function callAnyCallback(e: Emitter, register: number, env: CallEnv): void {
  const params = [0, 1, 2, 3, 4].map((i) => scratch64(e, i));
  const frame = scratch32(e, 0);
  set(e, frame);
  for (let i = 4; i >= 0; i--) set(e, params[i]!);
  for (const slot of env.callbacks) {
    getReg32(e, register);
    i32(e, slot);
    op(e, Op.i32_eq);
    open(e, Op.if_, I64);
    for (const p of params) get(e, p);
    get(e, frame);
    call(e, { kind: "own", index: env.subprogram(slot) });
    op(e, Op.else_);
  }
  op(e, Op.unreachable);
  for (const _ of env.callbacks) close(e);
}

/** bpf_loop with a known callback, without leaving wasm. Source: kernel/bpf/bpf_iter.c `bpf_loop` 6.18. */
function emitDirectLoop(e: Emitter, callback: number, env: CallEnv): void {
  const i = scratch32(e, 0);
  const answer = (errno: number) => {
    i64(e, -errno);
    setReg(e, 0);
  };
  getReg(e, 4);
  op(e, Op.i64_eqz);
  open(e, Op.if_, VOID);
  getReg32(e, 1);
  i32(e, MAX_LOOPS);
  op(e, Op.i32_le_u);
  open(e, Op.if_, VOID);
  i32(e, 0);
  set(e, i);
  open(e, Op.block, VOID);
  getReg32(e, 1);
  op(e, Op.i32_eqz);
  branch(e, Op.br_if, 0);
  open(e, Op.loop, VOID);
  get(e, i);
  op(e, Op.i64_extend_i32_u);
  getReg(e, 3);
  for (let n = 0; n < 3; n++) i64(e, 0);
  pushCalleeFrame(e);
  get(e, i);
  i32(e, 1);
  op(e, Op.i32_add);
  set(e, i);
  call(e, { kind: "own", index: env.subprogram(callback) });
  op(e, Op.i64_eqz);
  get(e, i);
  getReg32(e, 1);
  op(e, Op.i32_lt_u);
  op(e, Op.i32_and);
  branch(e, Op.br_if, 0);
  close(e);
  close(e);
  get(e, i);
  setReg32(e, 0);
  op(e, Op.else_);
  answer(E2BIG);
  close(e);
  op(e, Op.else_);
  answer(EINVAL);
  close(e);
}
