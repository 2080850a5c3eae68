/**
 * From a resolved program to a wasm module: one function a subprogram, the entry points around them, and the map
 * functions they call, joined by `link.ts`.
 *
 * Entry points: `run(ctx)` for one packet; `batch(ctx, stride, count, verdicts)` for a ring of them, with
 * the program inlined in the loop while it is small; `main`, for the table that tail calls go through; `call`, on
 * demand, for a function with up to five 32-bit arguments.
 */
import { InternalError, UnsupportedError } from "../../errors/index.ts";
import {
  BPF_ADDR_SPACE_CAST,
  BPF_ALU,
  BPF_ALU64,
  BPF_IND,
  BPF_LD,
  BPF_MOV,
  BPF_PSEUDO_CALL,
  BPF_PSEUDO_FUNC,
  BPF_REG_FP,
  BPF_X,
  CLASS_MASK,
  type Insn,
  MODE_MASK,
  OP_CALL,
  OP_CALLX,
  OP_LDDW,
  OP_MASK,
  OP_MAY_GOTO,
} from "../../isa/index.ts";
import { branchTarget, type CheckedCode, sizeBytes } from "../code.ts";
import { emitAlu, emitCondition } from "./alu.ts";
import {
  type CallEnv,
  callUses,
  emitCall,
  MAIN_TYPE,
  resultMax,
  STACKS_SIZE,
  SUB_TYPE,
  TAIL_CALL,
  TRAP,
} from "./calls.ts";
import { buildCfg, type Cfg, computeOrder, findLeaders, makeReducible, type Order } from "./cfg.ts";
import {
  access,
  branch,
  call,
  close,
  type Emitter,
  emitExit,
  finish,
  get,
  getReg,
  getReg32,
  i32,
  i64,
  i64Halves,
  leaveWith,
  newEmitter,
  newLocal,
  op,
  open,
  type Shape,
  scratch32,
  set,
  setReg,
  setReg32,
  tee,
} from "./emit.ts";
import { type LinkOptions, link, type OwnFunction, type Prebuilt } from "./link.ts";
import { emitMemory } from "./memory.ts";
import { findRotates, type Rotates } from "./rotates.ts";
import { findSlots, type Slots } from "./slots.ts";
import { emitStructure } from "./structure.ts";
import { loopBounds, unrollLoops } from "./unroll.ts";
import {
  ANY,
  analyse,
  CTX,
  copyState,
  type EntryStates,
  FRAME,
  newState,
  RANGE,
  type State,
  transfer,
  U32_MAX,
  UNDEF,
} from "./values.ts";
import { I32, I64, Op, VOID } from "./wasm.ts";

export interface CompileOptions {
  readonly memory: LinkOptions["memory"];
  readonly prebuilt: Prebuilt;
  /** Lowest address of the stacks: 8 frames of 512 bytes. */
  readonly stack: number;
  /** Address of the word that takes r0's high half after `run` and `call`. */
  readonly r0High: number;
  /** A verifier accepted the program: stack slots may become locals, and the batch loop may keep registers. */
  readonly verified: boolean;
  /** Of a blinded program: where the random words stand that insns bring into r11, by the insn's slot. */
  readonly secrets: ReadonlyMap<number, number>;
  /** Whether the batch loop may contain the program, if it is small enough. */
  readonly inlineBatch: boolean;
  /** A word that is counted down from `amount` at every loop turn and call of a run; the run traps at zero. */
  readonly fuel: { readonly word: number; readonly amount: number } | undefined;
  /** Function to export as `call` instead of the other entry points: its first slot. */
  readonly callOnly?: number;
}

export interface Compiled {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** `env` functions that the module wants. */
  readonly imports: readonly string[];
}

/** Larger programs are called by the batch loop rather than copied into it. */
const MAX_INLINED_INSNS = 1200;
/** Iterations that may_goto grants to one call of a function. Source: include/linux/bpf.h BPF_MAX_LOOPS. */
const MAY_GOTO_LIMIT = 8 * 1024 * 1024;

/** A function after analysis: what both its own translation and the inlined one start from. */
interface Analysed {
  readonly cfg: Cfg;
  readonly order: Order;
  readonly states: EntryStates;
  readonly slots: Slots;
  readonly rotates: Rotates;
  readonly insns: number;
}

/**
 * Translates a program.
 * @throws InsnError where control leaves the program, UnsupportedError for what wasm cannot hold.
 */
export function compile(
  code: CheckedCode,
  calls: Omit<CallEnv, "subprogram" | "callbacks">,
  options: CompileOptions,
): Compiled {
  const subprograms = subprogramSlots(code, options.callOnly);
  // The main function, where there is one, stands before the subprograms.
  const before = options.callOnly === undefined ? 1 : 0;
  const env: CallEnv = {
    ...calls,
    subprogram: (slot) => before + subprograms.indexOf(slot),
    callbacks: callbackSlots(code),
  };
  const leaders = findLeaders(code);
  const usesTailCalls = code.insns.some((insn) => isTailCall(insn));
  const functions: OwnFunction[] = [];
  let main: Analysed | undefined;
  if (options.callOnly === undefined) {
    main = analyseFunction(code, leaders, 0, true, env, options);
    functions.push(translate(main, MAIN_SHAPE, env, options, "main"));
  }
  for (const slot of subprograms) {
    functions.push(translate(analyseFunction(code, leaders, slot, false, env, options), SUB_SHAPE, env, options));
  }
  const words = [
    ...(usesTailCalls ? [{ word: env.tailCalls, amount: 0 }] : []),
    ...(options.fuel ? [options.fuel] : []),
  ];
  if (main) {
    functions.push(runEntry(options, words));
    const inlined = options.inlineBatch && options.verified && main.insns <= MAX_INLINED_INSNS;
    functions.push(inlined ? inlinedBatch(main, env, options, words) : callingBatch(options, words));
  } else functions.push(callEntry(env.subprogram(options.callOnly!), options, words));
  const { bytes, imports } = link(options.prebuilt, functions, {
    memory: options.memory,
    table: usesTailCalls ? 0 : undefined,
  });
  return { bytes, imports };
}

/** First slots of the functions that are called, or made callbacks; and of `extra`. */
function subprogramSlots(code: CheckedCode, extra: number | undefined): number[] {
  const slots = new Set<number>(extra === undefined ? [] : [extra]);
  for (const insn of code.insns) {
    if (insn.opcode === OP_CALL && insn.src === BPF_PSEUDO_CALL) slots.add(branchTarget(insn)!);
  }
  for (const slot of callbackSlots(code)) slots.add(slot);
  return [...slots];
}

function callbackSlots(code: CheckedCode): number[] {
  const isFunc = (insn: Insn) => insn.opcode === OP_LDDW && insn.src === BPF_PSEUDO_FUNC;
  return [...new Set(code.insns.filter(isFunc).map((insn) => branchTarget(insn)!))];
}

function isTailCall(insn: Insn): boolean {
  return insn.opcode === OP_CALL && insn.src === 0 && insn.imm === TAIL_CALL;
}

function analyseFunction(
  code: CheckedCode,
  leaders: Uint8Array,
  start: number,
  isMain: boolean,
  env: CallEnv,
  options: CompileOptions,
): Analysed {
  const cfg = buildCfg(code, leaders, start);
  const entry = newState();
  entry.kind[BPF_REG_FP] = FRAME;
  if (isMain && options.verified) entry.kind[1] = CTX;
  else if (isMain) {
    entry.kind[1] = RANGE;
    entry.num[1] = U32_MAX;
  } else entry.kind.fill(ANY, 1, 6);
  // Registers that nobody set are zero in wasm; an unverified program may read them.
  if (!options.verified) for (let r = 0; r < BPF_REG_FP; r++) if (entry.kind[r] === UNDEF) entry.kind[r] = ANY;
  const bound = (insn: Insn) => resultMax(insn, env);
  let states = analyse(cfg, entry, bound);
  let order = computeOrder(cfg);
  if (!order.isReducible) {
    makeReducible(cfg);
    order = computeOrder(cfg);
    if (!order.isReducible) throw new InternalError(`function at slot ${start}: irreducible after dispatching`);
  }
  const bounds = loopBounds(cfg, order, states, bound);
  if (bounds.size) states = analyse(cfg, entry, bound, bounds);
  // Fuel is counted at loop headers: copies would make it coarser.
  const copies = options.fuel === undefined ? unrollLoops(cfg, order, states, bound) : new Map<number, number>();
  if (copies.size) {
    for (const [copy, original] of copies) states[copy] = states[original];
    order = computeOrder(cfg);
  }
  const uses = (insn: Insn, s: State) => callUses(insn, s, env);
  const slots: Slots = options.verified ? findSlots(cfg.blocks, states, bound, uses) : new Map();
  let insns = 0;
  for (const b of order.order) insns += cfg.blocks[b]!.insns.length + 1;
  return { cfg, order, states, slots, rotates: findRotates(cfg.blocks), insns };
}

const MAIN_SHAPE: Shape = { type: MAIN_TYPE, params: [], frame: { local: 1 } };
const SUB_SHAPE: Shape = {
  type: SUB_TYPE,
  params: [1, 2, 3, 4, 5].map((r) => [r, r - 1] as const),
  frame: { local: 5 },
};

function translate(
  analysed: Analysed,
  shape: Shape,
  env: CallEnv,
  options: CompileOptions,
  exportAs?: string,
): OwnFunction {
  const e = newEmitter(shape, analysed.slots, newState());
  if (shape === MAIN_SHAPE) {
    get(e, 0);
    setReg32(e, 1);
  } else if (!options.verified) {
    get(e, 5);
    // One beyond the last frame of the stacks, whose program may be another: a tail call hands on its caller's frame.
    i32(e, STACKS_SIZE);
    op(e, Op.i32_and);
    trapIf(e, TRAP.DEPTH, env);
  }
  emitBody(e, analysed, env, options);
  return finish(e, exportAs);
}

/** Traps when the i32 on the stack is not zero, and leaves the reason behind. */
function trapIf(e: Emitter, reason: number, env: CallEnv): void {
  open(e, Op.if_, VOID);
  i32(e, 0);
  i32(e, reason);
  access(e, Op.i32_store, env.trap);
  op(e, Op.unreachable);
  close(e);
}

function emitBody(e: Emitter, { cfg, order, states, rotates }: Analysed, env: CallEnv, options: CompileOptions): void {
  let dispatch: number | undefined;
  let mayGoto: number | undefined;
  const temps = Array.from({ length: rotates.temps }, () => newLocal(e, I64));
  if (cfg.blocks.some((b) => b.ending.kind === "cond" && b.ending.insn.opcode === OP_MAY_GOTO)) {
    mayGoto = newLocal(e, I32);
    i32(e, MAY_GOTO_LIMIT);
    set(e, mayGoto);
  }
  burnFuel(e, env, options);
  const bound = (insn: Insn) => resultMax(insn, env);
  emitStructure(e, cfg, order, {
    body(block) {
      const known = states[block];
      if (known) copyState(e.state, known);
      for (const insn of cfg.blocks[block]!.insns) {
        for (const temp of rotates.saves.get(insn.pc) ?? []) {
          getReg(e, insn.dst);
          set(e, temps[temp]!);
        }
        const rotate = rotates.rotates.get(insn.pc);
        if (rotate) emitRotate(e, insn.dst, temps[rotate.temp]!, rotate.amount, rotate.width);
        else if (options.secrets.has(insn.pc)) emitSecret(e, insn, options.secrets.get(insn.pc)!);
        else emitInsn(e, insn, env);
        transfer(e.state, insn, bound);
      }
    },
    condition(block) {
      const { ending } = cfg.blocks[block]!;
      if (ending.kind !== "cond") throw new InternalError("a condition is asked of a block without one");
      if (ending.insn.opcode === OP_MAY_GOTO) emitMayGoto(e, mayGoto!);
      else emitCondition(e, ending.insn);
    },
    exit: () => emitExit(e),
    loopHead: () => burnFuel(e, env, options),
    dispatchLocal: () => (dispatch ??= newLocal(e, I32)),
  });
}

function emitInsn(e: Emitter, insn: Insn, env: CallEnv): void {
  const cls = insn.opcode & CLASS_MASK;
  if (insn.opcode === OP_LDDW) {
    const fn = branchTarget(insn);
    if (fn === undefined) i64Halves(e, insn.imm, insn.imm2);
    else i64(e, fn);
    setReg(e, insn.dst);
  } else if (cls === BPF_LD) emitPacketLoad(e, insn, env);
  else if (cls === BPF_ALU || cls === BPF_ALU64) {
    if ((insn.opcode & (OP_MASK | BPF_X)) === (BPF_MOV | BPF_X) && insn.off === BPF_ADDR_SPACE_CAST) {
      throw new UnsupportedError("address-space cast", `slot ${insn.pc}: the jit has no address-space cast`);
    }
    emitAlu(e, insn);
  } else if (insn.opcode === OP_CALL || insn.opcode === OP_CALLX) emitCall(e, insn, env);
  else emitMemory(e, insn, env.shared);
}

/** `r11 ^= rnd` or `r11 = rnd` with the randomness from memory, where V8 cannot know it. */
function emitSecret(e: Emitter, insn: Insn, at: number): void {
  const wide = insn.opcode === OP_LDDW;
  if (!wide) getReg(e, insn.dst);
  i32(e, 0);
  access(e, wide ? Op.i64_load : Op.i64_load32_s, at);
  if (!wide) op(e, Op.i64_xor);
  setReg(e, insn.dst);
}

function emitRotate(e: Emitter, dst: number, temp: number, amount: number, width: 32 | 64): void {
  get(e, temp);
  if (width === 64) {
    i64(e, amount);
    op(e, Op.i64_rotl);
    setReg(e, dst);
  } else {
    op(e, Op.i32_wrap_i64);
    i32(e, amount);
    op(e, Op.i32_rotl);
    setReg32(e, dst);
  }
}

/** Jumps once the count is used up, otherwise takes one off. */
function emitMayGoto(e: Emitter, count: number): void {
  get(e, count);
  op(e, Op.i32_eqz);
  get(e, count);
  get(e, count);
  i32(e, 0);
  op(e, Op.i32_ne);
  op(e, Op.i32_sub);
  set(e, count);
}

function burnFuel(e: Emitter, env: CallEnv, { fuel }: CompileOptions): void {
  if (fuel === undefined) return;
  const left = scratch32(e, 0);
  i32(e, 0);
  i32(e, 0);
  access(e, Op.i32_load, fuel.word);
  tee(e, left);
  i32(e, 1);
  op(e, Op.i32_sub);
  access(e, Op.i32_store, fuel.word);
  get(e, left);
  op(e, Op.i32_eqz);
  trapIf(e, TRAP.FUEL, env);
}

/** Legacy load relative to the packet. Beyond its end the function exits with 0. Source: RFC 9669 section 5.6. */
function emitPacketLoad(e: Emitter, insn: Insn, env: CallEnv): void {
  const value = scratch32(e, 0);
  getReg32(e, 6);
  i32(e, insn.imm);
  if ((insn.opcode & MODE_MASK) === BPF_IND) {
    getReg32(e, insn.src);
    op(e, Op.i32_add);
  }
  i32(e, sizeBytes(insn.opcode));
  call(e, { kind: "import", name: "loadPacket", type: { params: [I32, I32, I32], results: [I32] } });
  set(e, value);
  i32(e, 0);
  access(e, Op.i32_load, env.resultHigh);
  open(e, Op.if_, VOID);
  i64(e, 0);
  leaveWith(e);
  close(e);
  get(e, value);
  setReg32(e, 0);
}

// ---- entry points ----

const RUN_TYPE = { params: [I32], results: [I32] };
const BATCH_TYPE = { params: [I32, I32, I32, I32], results: [] };

function bare(type: OwnFunction["type"]): Emitter {
  return newEmitter({ type, params: [], frame: { address: 0 } }, new Map(), newState());
}

/** Words that begin each run with a value: tail calls made, fuel left. */
type RunWords = readonly { readonly word: number; readonly amount: number }[];

function beginRun(e: Emitter, words: RunWords): void {
  for (const { word, amount } of words) {
    i32(e, 0);
    i32(e, amount);
    access(e, Op.i32_store, word);
  }
}

/** Stores r0's high half and leaves its low half: the i64 is on the stack. */
function splitResult(e: Emitter, options: CompileOptions): void {
  const result = newLocal(e, I64);
  set(e, result);
  i32(e, 0);
  get(e, result);
  i64(e, 32);
  op(e, Op.i64_shr_u);
  access(e, Op.i64_store32, options.r0High);
  get(e, result);
  op(e, Op.i32_wrap_i64);
}

function runEntry(options: CompileOptions, words: RunWords): OwnFunction {
  const e = bare(RUN_TYPE);
  beginRun(e, words);
  get(e, 0);
  i32(e, options.stack);
  call(e, { kind: "own", index: 0 });
  splitResult(e, options);
  return finish(e, "run");
}

function callEntry(index: number, options: CompileOptions, words: RunWords): OwnFunction {
  const e = bare({ params: [I32, I32, I32, I32, I32, I32], results: [I32] });
  beginRun(e, words);
  for (let i = 0; i < 5; i++) {
    get(e, i);
    op(e, Op.i64_extend_i32_u);
    if (i > 0) continue;
    // The first argument's upper half comes last.
    get(e, 5);
    op(e, Op.i64_extend_i32_u);
    i64(e, 32);
    op(e, Op.i64_shl);
    op(e, Op.i64_or);
  }
  i32(e, options.stack);
  call(e, { kind: "own", index });
  splitResult(e, options);
  return finish(e, "call");
}

// Parameters of the batch functions.
const CTX_AT = 0;
const CTX_STRIDE = 1;
const COUNT = 2;
const VERDICTS = 3;

/** The loop over a ring of ctx; `verdict` pushes a run's i64. */
function emitBatch(e: Emitter, words: RunWords, verdict: () => void): void {
  const result = newLocal(e, I64);
  open(e, Op.block, VOID);
  get(e, COUNT);
  op(e, Op.i32_eqz);
  branch(e, Op.br_if, 0);
  open(e, Op.loop, VOID);
  beginRun(e, words);
  verdict();
  set(e, result);
  get(e, VERDICTS);
  get(e, result);
  access(e, Op.i64_store32, 0);
  get(e, CTX_AT);
  get(e, CTX_STRIDE);
  op(e, Op.i32_add);
  set(e, CTX_AT);
  get(e, VERDICTS);
  i32(e, 4);
  op(e, Op.i32_add);
  set(e, VERDICTS);
  get(e, COUNT);
  i32(e, 1);
  op(e, Op.i32_sub);
  tee(e, COUNT);
  branch(e, Op.br_if, 0);
  close(e);
  close(e);
}

function callingBatch(options: CompileOptions, words: RunWords): OwnFunction {
  const e = bare(BATCH_TYPE);
  emitBatch(e, words, () => {
    get(e, CTX_AT);
    i32(e, options.stack);
    call(e, { kind: "own", index: 0 });
  });
  return finish(e, "batch");
}

function inlinedBatch(main: Analysed, env: CallEnv, options: CompileOptions, words: RunWords): OwnFunction {
  const shape: Shape = { type: BATCH_TYPE, params: [], frame: { address: options.stack }, exitLabel: 2 };
  const e = newEmitter(shape, main.slots, newState());
  emitBatch(e, words, () => {
    get(e, CTX_AT);
    setReg32(e, 1);
    open(e, Op.block, VOID);
    emitBody(e, main, env, options);
    close(e);
    get(e, e.exit!.local);
  });
  return finish(e, "batch");
}
