/**
 * Unrolls small innermost loops by copying their blocks: the back edges of one copy lead to the next. V8 puts a stack
 * check into every loop turn, which in a loop of ten insns is a quarter of the time. Every exit stays where it is, so
 * no trip count need be known; where it is, and the copies divide it, only the last copy asks for the loop's end.
 */
import {
  BPF_ADD,
  BPF_ALU,
  BPF_ALU64,
  BPF_K,
  BPF_X,
  CLASS_MASK,
  type Insn,
  OP_CALL,
  OP_CALLX,
} from "../../isa/index.ts";
import type { Block, Cfg, Order } from "./cfg.ts";
import {
  type Assumption,
  type Bound,
  CONST,
  constOf,
  copyState,
  decided,
  type EntryStates,
  newState,
  transfer,
} from "./values.ts";

/** Loops of more insns, jumps included, stay as they are. */
const MAX_INSNS = 32;
const MAX_BLOCKS = 8;
/** Insns that a loop may have after unrolling by a divisor of its trip count. */
const MAX_UNROLLED = 80;
const MAX_TRIPS = 4096;

/**
 * Adds the copies to the graph and answers which block each copy stands for, by its number; what is known at a block's
 * start holds for its copies too. The order is out of date afterwards when anything was unrolled.
 */
export function unrollLoops(
  cfg: Cfg,
  order: Order,
  states: Readonly<EntryStates>,
  bound: Bound,
): ReadonlyMap<number, number> {
  const copyOf = new Map<number, number>();
  for (const { header, body, predecessors, insns } of innermostLoops(cfg, order)) {
    if (insns > MAX_INSNS) continue;
    const counted = countTrips(cfg.blocks, header, body, predecessors, states, bound);
    const divisor = counted && [5, 4, 6, 7, 3, 2].find((f) => counted.trips % f === 0 && insns * f <= MAX_UNROLLED);
    if (divisor) copyBody(cfg.blocks, header, body, divisor, counted.latch, copyOf);
    else copyBody(cfg.blocks, header, body, insns <= MAX_INSNS / 2 ? 4 : 2, undefined, copyOf);
  }
  return copyOf;
}

interface Counted {
  readonly trips: number;
  readonly latch: number;
  readonly counter: number;
  /** Largest value of the counter at the loop's head; none is negative. */
  readonly max: number;
}

/** What counting tells about the counters at the heads of innermost loops, by block. */
export function loopBounds(
  cfg: Cfg,
  order: Order,
  states: Readonly<EntryStates>,
  bound: Bound,
): ReadonlyMap<number, Assumption> {
  const bounds = new Map<number, Assumption>();
  for (const { header, body, predecessors } of innermostLoops(cfg, order)) {
    const counted = countTrips(cfg.blocks, header, body, predecessors, states, bound);
    if (counted) bounds.set(header, { register: counted.counter, max: counted.max });
  }
  return bounds;
}

/** Small loops without another loop inside, and without dispatchers or exits. */
function innermostLoops(cfg: Cfg, order: Order) {
  const predecessors: number[][] = cfg.blocks.map(() => []);
  for (const b of order.order) for (const s of cfg.blocks[b]!.successors) predecessors[s]!.push(b);
  const loops: { header: number; body: Set<number>; predecessors: readonly number[]; insns: number }[] = [];
  for (const header of order.order) {
    if (!order.isLoop[header]) continue;
    const body = loopBody(header, predecessors, order);
    if (!body) continue;
    let insns = 0;
    let plain = true;
    for (const b of body) {
      const { ending } = cfg.blocks[b]!;
      insns += cfg.blocks[b]!.insns.length + 1;
      if (ending.kind === "switch" || ending.kind === "exit" || (b !== header && order.isLoop[b])) plain = false;
    }
    if (plain) loops.push({ header, body, predecessors: predecessors[header]!, insns });
  }
  return loops;
}

/**
 * How often a loop turns when nothing else ends it: one block at its end steps a register that starts as a constant
 * and is changed nowhere else, and compares it with a constant.
 */
function countTrips(
  blocks: readonly Block[],
  header: number,
  body: ReadonlySet<number>,
  predecessors: readonly number[],
  states: Readonly<EntryStates>,
  bound: Bound,
): Counted | undefined {
  const latches = predecessors.filter((p) => body.has(p));
  const outside = predecessors.filter((p) => !body.has(p));
  if (latches.length !== 1 || outside.length !== 1) return undefined;
  const latch = latches[0]!;
  const { ending, successors, insns } = blocks[latch]!;
  if (ending.kind !== "cond" || ending.insn.opcode & BPF_X) return undefined;
  const counter = ending.insn.dst;
  let step: Insn | undefined;
  for (const b of body) {
    for (const insn of blocks[b]!.insns) {
      if (!mayWrite(insn, counter)) continue;
      if (step || b !== latch) return undefined;
      step = insn;
    }
  }
  const add = BPF_ADD | BPF_K;
  if (!step || (step.opcode !== (BPF_ALU | add) && step.opcode !== (BPF_ALU64 | add)) || !insns.includes(step)) {
    return undefined;
  }
  const s = newState();
  const before = states[outside[0]!];
  if (!before) return undefined;
  copyState(s, before);
  for (const insn of blocks[outside[0]!]!.insns) transfer(s, insn, bound);
  const start = constOf(s, counter);
  if (start === undefined) return undefined;
  const back = successors[0] === header ? 0 : 1;
  s.kind[counter] = CONST;
  s.num[counter] = start;
  let max = start;
  for (let trips = 1; trips <= MAX_TRIPS; trips++) {
    const value = constOf(s, counter)!;
    if (value < 0) return undefined;
    max = Math.max(max, value);
    transfer(s, step, bound);
    // An addition that 32 bits wrap is only bounded by the analysis, not computed.
    if (constOf(s, counter) === undefined) return undefined;
    if (decided(s, ending.insn) !== back) return { trips, latch, counter, max };
  }
  return undefined;
}

/** True unless the insn surely leaves the register alone. */
function mayWrite(insn: Insn, register: number): boolean {
  if (insn.opcode === OP_CALL || insn.opcode === OP_CALLX) return register <= 5;
  const cls = insn.opcode & CLASS_MASK;
  // Stores write no register but with atomics, which may write src, dst or r0.
  return insn.dst === register || (cls < BPF_ALU && (insn.src === register || register === 0));
}

/** The natural loop of a header, or undefined when it has too many blocks. */
function loopBody(header: number, predecessors: readonly number[][], { position }: Order): Set<number> | undefined {
  const body = new Set([header]);
  const work = predecessors[header]!.filter((p) => position[p]! >= position[header]!);
  while (work.length) {
    const b = work.pop()!;
    if (body.has(b)) continue;
    body.add(b);
    if (body.size > MAX_BLOCKS) return undefined;
    work.push(...predecessors[b]!);
  }
  return body;
}

function copyBody(
  blocks: Block[],
  header: number,
  body: ReadonlySet<number>,
  factor: number,
  /** The block whose question only the last copy need ask. */
  asks: number | undefined,
  copyOf: Map<number, number>,
): void {
  const originals = [...body].map((b) => ({ number: b, block: blocks[b]!, successors: blocks[b]!.successors }));
  const copies: Map<number, number>[] = [];
  for (let turn = 1; turn < factor; turn++) {
    const numbers = new Map<number, number>();
    for (const { number, block } of originals) {
      numbers.set(number, blocks.length);
      copyOf.set(blocks.length, number);
      blocks.push({ ...block });
    }
    copies.push(numbers);
  }
  // Turn 0 is the loop itself; the last turn's back edges close the circle.
  for (let turn = 0; turn < factor; turn++) {
    const here = turn === 0 ? undefined : copies[turn - 1]!;
    const next = copies[turn]?.get(header) ?? header;
    for (const { number, successors } of originals) {
      const block = blocks[here?.get(number) ?? number]!;
      block.successors = successors.map((s) => (s === header ? next : (here?.get(s) ?? s)));
      if (number === asks && turn < factor - 1) {
        block.ending = { kind: "jump" };
        block.successors = [next];
      }
    }
  }
}
