/**
 * What the JIT proves about registers before it translates: constants, unsigned upper bounds (so that wraps can be
 * left out), and which registers point into the function's own stack frame at which offset.
 *
 * A forward data-flow analysis over the blocks. It is optimistic about control flow: an edge that a constant condition
 * never takes is never followed, and `pruneDeadEdges` removes it. Frame provenance is what the promotion of stack slots
 * rests on: a value that may derive from r10 is always FRAME or FRAME_ANY here, or its function is marked as leaking.
 */
import {
  BPF_ADD,
  BPF_ALU64,
  BPF_AND,
  BPF_ARSH,
  BPF_ATOMIC,
  BPF_CMPXCHG,
  BPF_DIV,
  BPF_END,
  BPF_FETCH,
  BPF_JCOND,
  BPF_JMP32,
  BPF_LD,
  BPF_LDX,
  BPF_LOAD_ACQ,
  BPF_LSH,
  BPF_MEMSX,
  BPF_MOD,
  BPF_MOV,
  BPF_MUL,
  BPF_OR,
  BPF_RSH,
  BPF_ST,
  BPF_STORE_REL,
  BPF_STX,
  BPF_SUB,
  BPF_X,
  BPF_XOR,
  CLASS_MASK,
  type Insn,
  jumpTaken,
  MODE_MASK,
  OP_CALL,
  OP_CALLX,
  OP_LDDW,
  OP_MASK,
} from "../../isa/index.ts";
import { branchTarget, sizeBytes } from "../code.ts";
import { BLIND_REG } from "./blind.ts";
import type { Cfg } from "./cfg.ts";

/** Nothing is known, and it does not derive from r10. */
export const ANY = 0;
/** An unsigned number of at most `num`. */
export const RANGE = 1;
/** The 64-bit two's complement of the safe integer `num`. */
export const CONST = 2;
/** r10 + `num`. */
export const FRAME = 3;
/** May derive from r10, offset unknown. */
export const FRAME_ANY = 4;
/** Never assigned on any path so far. */
export const UNDEF = 5;
/** The program's ctx, as it came in r1: an address. */
export const CTX = 6;

/** Registers of a state: r0-r10 and the one that blinding hides constants in (`blind.ts`). */
export const REGISTERS = BLIND_REG + 1;

/** Abstract registers r0-r11: a kind and its number each. */
export interface State {
  readonly kind: Uint8Array;
  readonly num: Float64Array;
}

export const U32_MAX = 2 ** 32 - 1;
const SAFE = Number.MAX_SAFE_INTEGER;

export function newState(): State {
  return { kind: new Uint8Array(REGISTERS).fill(UNDEF), num: new Float64Array(REGISTERS) };
}

export function copyState(to: State, from: State): void {
  to.kind.set(from.kind);
  to.num.set(from.num);
}

function put(s: State, r: number, kind: number, num = 0): void {
  s.kind[r] = kind;
  s.num[r] = num;
}

function putRange(s: State, r: number, max: number): void {
  if (max <= SAFE) put(s, r, RANGE, max);
  else put(s, r, ANY);
}

function putConst(s: State, r: number, value: number): void {
  // What is known is put in place of the register: a hidden constant must not be known.
  if (Number.isSafeInteger(value) && r !== BLIND_REG) put(s, r, CONST, value);
  else put(s, r, ANY);
}

function putFrame(s: State, r: number, offset: number): void {
  if (Number.isSafeInteger(offset)) put(s, r, FRAME, offset);
  else put(s, r, FRAME_ANY);
}

/** The unsigned upper bound of a register, Infinity when none is known. */
export function maxOf(s: State, r: number): number {
  const kind = s.kind[r];
  if (kind === RANGE) return s.num[r]!;
  if (kind === CONST && s.num[r]! >= 0) return s.num[r]!;
  if (kind === CTX) return U32_MAX;
  return Number.POSITIVE_INFINITY;
}

/** True when the high half is known to be zero. */
export function isZext(s: State, r: number): boolean {
  return maxOf(s, r) <= U32_MAX;
}

export function constOf(s: State, r: number): number | undefined {
  return s.kind[r] === CONST ? s.num[r]! : undefined;
}

export function isFrame(s: State, r: number): boolean {
  const kind = s.kind[r];
  return kind === FRAME || kind === FRAME_ANY;
}

/** Makes `into` cover `from` too; true when it changed. `widen` gives up on bounds that keep growing. */
function join(into: State, from: State, widen: boolean): boolean {
  let changed = false;
  for (let r = 0; r < REGISTERS; r++) {
    const a = into.kind[r]!;
    const b = from.kind[r]!;
    const x = into.num[r]!;
    const y = from.num[r]!;
    if (b === UNDEF || (a === b && x === y)) continue;
    let kind: number;
    let num = 0;
    if (a === UNDEF) {
      kind = b;
      num = y;
    } else if (isFrame(into, r) || isFrame(from, r)) kind = FRAME_ANY;
    else {
      const max = Math.max(maxOf(into, r), maxOf(from, r));
      if (max > SAFE) kind = ANY;
      else {
        kind = RANGE;
        num = widen && max > maxOf(into, r) ? widened(max) : max;
        if (num > SAFE) kind = ANY;
      }
      if (kind === ANY) num = 0;
    }
    if (kind === a && num === x) continue;
    put(into, r, kind, num);
    changed = true;
  }
  return changed;
}

function widened(max: number): number {
  return max <= 255 ? 255 : max <= 65535 ? 65535 : max <= U32_MAX ? U32_MAX : Number.POSITIVE_INFINITY;
}

/** The smallest 2^n - 1 that is not below `max`. */
function ones(max: number): number {
  if (max === Number.POSITIVE_INFINITY) return max;
  // By the halves: a logarithm of a number beyond 2^48 or so is too coarse.
  const high = Math.floor(max / 2 ** 32);
  return 2 ** (high ? 64 - Math.clz32(high) : 32 - Math.clz32(max)) - 1;
}

/** Bounds what a call leaves in r0, and what a 4-byte load through the ctx gives. */
export type Bound = (insn: Insn, s: State) => number;

/** Applies an insn (not a jump) to the state. */
export function transfer(s: State, insn: Insn, bound: Bound): void {
  const { opcode, dst, src } = insn;
  switch (opcode & CLASS_MASK) {
    case BPF_LD:
      if (opcode === OP_LDDW) lddw(s, insn);
      else putRange(s, 0, 2 ** (8 * sizeBytes(opcode)) - 1);
      return;
    case BPF_LDX:
      if ((opcode & MODE_MASK) === BPF_MEMSX || sizeBytes(opcode) === 8) put(s, dst, ANY);
      else {
        const max = 2 ** (8 * sizeBytes(opcode)) - 1;
        putRange(s, dst, s.kind[src] === CTX && sizeBytes(opcode) === 4 ? Math.min(max, bound(insn, s)) : max);
      }
      return;
    case BPF_ST:
      return;
    case BPF_STX:
      if ((opcode & MODE_MASK) !== BPF_ATOMIC) return;
      if (insn.imm === BPF_LOAD_ACQ) putRange(s, dst, loadedMax(opcode));
      else if (insn.imm === BPF_CMPXCHG) putRange(s, 0, loadedMax(opcode));
      else if (insn.imm & BPF_FETCH && insn.imm !== BPF_STORE_REL) putRange(s, src, loadedMax(opcode));
      return;
    case BPF_ALU64:
      alu64(s, insn);
      return;
    default:
      if (opcode === OP_CALL || opcode === OP_CALLX) putRange(s, 0, bound(insn, s));
      else alu32(s, insn);
  }
}

function loadedMax(opcode: number): number {
  const size = sizeBytes(opcode);
  return size === 8 ? Number.POSITIVE_INFINITY : 2 ** (8 * size) - 1;
}

function lddw(s: State, insn: Insn): void {
  const fn = branchTarget(insn);
  if (fn !== undefined) putConst(s, insn.dst, fn);
  else putConst(s, insn.dst, insn.imm2 * 2 ** 32 + (insn.imm >>> 0));
}

/** Bound of an operation on unsigned values of at most `a` and `b`, before it wraps; Infinity when unknown. */
function operationMax(op: number, a: number, b: number, constB: number | undefined): number {
  switch (op) {
    case BPF_ADD:
      return a + b;
    case BPF_MUL:
      return a === 0 || b === 0 ? 0 : a * b;
    case BPF_DIV:
      return constB ? Math.floor(a / constB) : a;
    case BPF_MOD:
      return constB ? Math.min(a, constB - 1) : a;
    case BPF_AND:
      return Math.min(a, b);
    case BPF_OR:
    case BPF_XOR:
      return ones(Math.max(a, b));
    case BPF_LSH:
      return constB === undefined ? Number.POSITIVE_INFINITY : a * 2 ** constB;
    default:
      return Number.POSITIVE_INFINITY;
  }
}

function alu64(s: State, insn: Insn): void {
  const { opcode, dst, src, imm, off } = insn;
  const op = opcode & OP_MASK;
  const isX = (opcode & BPF_X) !== 0;
  if (op === BPF_END) {
    putRange(s, dst, imm === 64 ? Number.POSITIVE_INFINITY : 2 ** imm - 1);
    return;
  }
  const known = isX ? constOf(s, src) : imm;
  if (op === BPF_MOV) {
    if (off !== 0) put(s, dst, isFrame(s, src) ? FRAME_ANY : ANY);
    else if (isX) put(s, dst, s.kind[src]!, s.num[src]!);
    else putConst(s, dst, imm);
    return;
  }
  const frameSrc = isX && isFrame(s, src);
  if (isFrame(s, dst) || frameSrc) {
    const x = s.kind[dst] === FRAME ? s.num[dst]! : undefined;
    if ((op === BPF_ADD || op === BPF_SUB) && x !== undefined && known !== undefined) {
      putFrame(s, dst, op === BPF_ADD ? x + known : x - known);
    } else if (op === BPF_ADD && frameSrc && s.kind[src] === FRAME && constOf(s, dst) !== undefined) {
      putFrame(s, dst, s.num[src]! + constOf(s, dst)!);
    } else put(s, dst, FRAME_ANY);
    return;
  }
  const old = constOf(s, dst);
  if (old !== undefined && known !== undefined) {
    const exact = op === BPF_ADD ? old + known : op === BPF_SUB ? old - known : undefined;
    if (exact !== undefined) {
      putConst(s, dst, exact);
      return;
    }
  }
  const a = maxOf(s, dst);
  if (op === BPF_RSH) {
    const shift = known === undefined ? 0 : known & 63;
    putRange(s, dst, a === Number.POSITIVE_INFINITY ? 2 ** (64 - shift) - 1 : Math.floor(a / 2 ** shift));
  } else if (op === BPF_ARSH) putRange(s, dst, known === undefined ? a : Math.floor(a / 2 ** (known & 63)));
  else if (off !== 0 || (known !== undefined && known < 0 && op !== BPF_DIV && op !== BPF_MOD)) {
    // Signed division, or an operand that is huge as an unsigned number: only AND still has a bound.
    putRange(s, dst, op === BPF_AND ? a : Number.POSITIVE_INFINITY);
  } else {
    const b = isX ? maxOf(s, src) : imm >= 0 ? imm : Number.POSITIVE_INFINITY;
    const constB = known !== undefined && known >= 0 ? (op === BPF_LSH ? known & 63 : known) : undefined;
    putRange(s, dst, operationMax(op, a, b, constB));
  }
}

function alu32(s: State, insn: Insn): void {
  const { opcode, dst, src, imm, off } = insn;
  const op = opcode & OP_MASK;
  const isX = (opcode & BPF_X) !== 0;
  if (op === BPF_END) {
    putRange(s, dst, imm === 64 ? Number.POSITIVE_INFINITY : 2 ** imm - 1);
    return;
  }
  const b = isX ? Math.min(maxOf(s, src), U32_MAX) : imm >>> 0;
  if (op === BPF_MOV) {
    if (off !== 0) putRange(s, dst, U32_MAX);
    else if (!isX) putConst(s, dst, imm >>> 0);
    else if (constOf(s, src) !== undefined) putConst(s, dst, constOf(s, src)! >>> 0);
    else putRange(s, dst, b);
    return;
  }
  const a = Math.min(maxOf(s, dst), U32_MAX);
  const constB = isX ? (s.kind[src] === CONST ? s.num[src]! >>> 0 : undefined) : imm >>> 0;
  const old = constOf(s, dst);
  if (old !== undefined && constB !== undefined && (op === BPF_ADD || op === BPF_SUB)) {
    // First to 32 bits: a sum beyond 2^53 would be rounded.
    const low = old >>> 0;
    putConst(s, dst, (op === BPF_ADD ? low + constB : low - constB) >>> 0);
    return;
  }
  let max: number;
  if (op === BPF_RSH) max = Math.floor(a / 2 ** (constB === undefined ? 0 : constB & 31));
  else if (off !== 0) max = Number.POSITIVE_INFINITY;
  else max = operationMax(op, a, b, op === BPF_LSH && constB !== undefined ? constB & 31 : constB);
  putRange(s, dst, Math.min(max, U32_MAX));
}

/** The successor (0 taken, 1 next) that a condition always chooses, or undefined. */
export function decided(s: State, insn: Insn): 0 | 1 | undefined {
  const op = insn.opcode & OP_MASK;
  if (op === BPF_JCOND) return undefined;
  const is32 = (insn.opcode & CLASS_MASK) === BPF_JMP32;
  const a = constOf(s, insn.dst);
  const b = insn.opcode & BPF_X ? constOf(s, insn.src) : insn.imm;
  if (a === undefined || b === undefined) return undefined;
  const taken = jumpTaken(op, BigInt(a), BigInt(b), is32 ? 32 : 64);
  return taken === undefined ? undefined : taken ? 0 : 1;
}

/** States at the start of each block; undefined for a block that constants show to be dead. */
export type EntryStates = (State | undefined)[];

/** A register's bound at the start of a block, known from elsewhere. */
export interface Assumption {
  readonly register: number;
  readonly max: number;
}

/** Runs the analysis to its fixpoint and removes the edges that are never taken from the graph. */
export function analyse(
  cfg: Cfg,
  entry: State,
  bound: Bound,
  assumptions: ReadonlyMap<number, Assumption> = new Map(),
): EntryStates {
  const { blocks } = cfg;
  const states: (State | undefined)[] = new Array(blocks.length).fill(undefined);
  const visits = new Uint8Array(blocks.length);
  const queued = new Uint8Array(blocks.length);
  const feasible: Uint8Array[] = blocks.map((b) => new Uint8Array(b.successors.length));
  states[0] = newState();
  copyState(states[0], entry);
  const queue = [0];
  const s = newState();
  for (let at = 0; at < queue.length; at++) {
    const b = queue[at]!;
    queued[b] = 0;
    const block = blocks[b]!;
    copyState(s, states[b]!);
    for (const insn of block.insns) transfer(s, insn, bound);
    const only = block.ending.kind === "cond" ? decided(s, block.ending.insn) : undefined;
    for (let edge = 0; edge < block.successors.length; edge++) {
      if (only !== undefined && edge !== only) continue;
      feasible[b]![edge] = 1;
      const t = block.successors[edge]!;
      const known = states[t];
      const assumed = assumptions.get(t);
      const kept = assumed && ([s.kind[assumed.register]!, s.num[assumed.register]!] as const);
      if (assumed && maxOf(s, assumed.register) > assumed.max) put(s, assumed.register, RANGE, assumed.max);
      let changed = true;
      if (known) changed = join(known, s, ++visits[t]! > 3);
      else {
        const fresh = newState();
        copyState(fresh, s);
        states[t] = fresh;
      }
      if (kept) put(s, assumed.register, kept[0], kept[1]);
      // Widening may have gone beyond what is known.
      if (assumed && maxOf(states[t]!, assumed.register) > assumed.max)
        put(states[t]!, assumed.register, RANGE, assumed.max);
      if (visits[t]! > 200) visits[t] = 200;
      if (changed && !queued[t]) {
        queued[t] = 1;
        queue.push(t);
      }
    }
  }
  for (let b = 0; b < blocks.length; b++) {
    const block = blocks[b]!;
    if (block.ending.kind !== "cond" || !states[b]) continue;
    const [taken, next] = feasible[b]!;
    if (taken && next) continue;
    block.successors = [block.successors[taken ? 0 : 1]!];
    block.ending = { kind: "jump" };
  }
  return states;
}
