/**
 * A function of a program as basic blocks, and what structured control flow needs to know of them: reverse postorder,
 * immediate dominators, loop headers. Irreducible loops are made reducible first, by a dispatcher of their own; the
 * rest of the function stays as it is.
 *
 * Every walk keeps its own stack: a program may have a million blocks, JavaScript's stack holds ten thousand frames.
 *
 * Source: Cooper, Harvey, Kennedy, "A Simple, Fast Dominance Algorithm" (2001); Tarjan (1972) for components.
 */
import { InsnError } from "../../errors/index.ts";
import {
  BPF_JMP,
  BPF_JMP32,
  CLASS_MASK,
  type Insn,
  OP_CALL,
  OP_CALLX,
  OP_EXIT,
  OP_GOTOL,
  OP_JA,
} from "../../isa/index.ts";
import { branchTarget, type CheckedCode } from "../code.ts";

/** How a block ends. `cond` has the successors [taken, next]; `switch` one per value of the dispatch local. */
export type Ending =
  | { readonly kind: "exit" }
  | { readonly kind: "jump" }
  | { readonly kind: "cond"; readonly insn: Insn }
  | { readonly kind: "switch" };

export interface Block {
  /** Insns of the block without its closing jump. Empty for the blocks that only dispatch. */
  readonly insns: readonly Insn[];
  ending: Ending;
  /** Block numbers. */
  successors: number[];
  /** Value given to the dispatch local at the end of the block, before it jumps; undefined for most blocks. */
  readonly dispatch: number | undefined;
}

/** Blocks that can be reached; block 0 is the entry and has no predecessor. */
export interface Cfg {
  readonly blocks: Block[];
}

/** Marks the slots where a block starts: targets of jumps and what follows one. One array serves all functions. */
export function findLeaders(code: CheckedCode): Uint8Array {
  const leaders = new Uint8Array(code.slots + 1);
  for (const insn of code.insns) {
    if (!endsBlock(insn)) continue;
    leaders[insn.pc + 1] = 1;
    const target = insn.opcode === OP_EXIT ? undefined : branchTarget(insn);
    if (target !== undefined) leaders[target] = 1;
  }
  return leaders;
}

function endsBlock(insn: Insn): boolean {
  const cls = insn.opcode & CLASS_MASK;
  return (cls === BPF_JMP || cls === BPF_JMP32) && insn.opcode !== OP_CALL && insn.opcode !== OP_CALLX;
}

/**
 * The blocks that the function starting at slot `start` can reach.
 * @throws InsnError where control would leave the program.
 */
export function buildCfg(code: CheckedCode, leaders: Uint8Array, start: number): Cfg {
  const blocks: Block[] = [{ insns: [], ending: { kind: "jump" }, successors: [1], dispatch: undefined }];
  const numberOf = new Map<number, number>();
  const starts: number[] = [];
  const blockAt = (slot: number): number => {
    let number = numberOf.get(slot);
    if (number === undefined) {
      number = starts.push(slot);
      numberOf.set(slot, number);
    }
    return number;
  };
  blockAt(start);
  for (let at = 0; at < starts.length; at++) {
    const insns: Insn[] = [];
    let pc = starts[at]!;
    let block: Block | undefined;
    while (!block) {
      const insn = code.at[pc];
      if (!insn) throw new InsnError("expected an instruction, the program ends", pc);
      const next = pc + (code.at[pc + 1] === undefined && pc + 1 < code.slots ? 2 : 1);
      if (insn.opcode === OP_EXIT) {
        block = { insns, ending: { kind: "exit" }, successors: [], dispatch: undefined };
      } else if (endsBlock(insn)) {
        const target = blockAt(branchTarget(insn)!);
        const always = insn.opcode === OP_JA || insn.opcode === OP_GOTOL;
        const successors = always ? [target] : [target, blockAt(next)];
        const ending: Ending = always || successors[0] === successors[1] ? { kind: "jump" } : { kind: "cond", insn };
        if (ending.kind === "jump") successors.length = 1;
        block = { insns, ending, successors, dispatch: undefined };
      } else {
        insns.push(insn);
        if (leaders[next] || next >= code.slots) {
          block = { insns, ending: { kind: "jump" }, successors: [blockAt(next)], dispatch: undefined };
        }
      }
      pc = next;
    }
    blocks.push(block);
  }
  return { blocks };
}

/** What the structured emitter asks. Arrays are indexed by block; `-1` where a block is not reached. */
export interface Order {
  /** Reached blocks in reverse postorder. */
  readonly order: readonly number[];
  /** Position in `order`. */
  readonly position: Int32Array;
  /** Immediate dominator; the entry's is itself. */
  readonly idom: Int32Array;
  /** 1 where a back edge arrives. */
  readonly isLoop: Uint8Array;
  /** 1 where two or more forward edges arrive, or one from a switch. */
  readonly isMerge: Uint8Array;
  readonly isReducible: boolean;
}

export function computeOrder(cfg: Cfg): Order {
  const { blocks } = cfg;
  const count = blocks.length;
  const order = reversePostorder(blocks);
  const position = new Int32Array(count).fill(-1);
  for (let i = 0; i < order.length; i++) position[order[i]!] = i;
  const predecessors: number[][] = Array.from({ length: count }, () => []);
  for (const b of order) for (const s of blocks[b]!.successors) predecessors[s]!.push(b);

  const idom = new Int32Array(count).fill(-1);
  idom[0] = 0;
  for (let changed = true; changed; ) {
    changed = false;
    for (const b of order) {
      if (b === 0) continue;
      let dominator = -1;
      for (const p of predecessors[b]!) {
        if (idom[p]! < 0) continue;
        dominator = dominator < 0 ? p : intersect(p, dominator);
      }
      if (idom[b] !== dominator) {
        idom[b] = dominator;
        changed = true;
      }
    }
  }
  function intersect(a: number, b: number): number {
    while (a !== b) {
      while (position[a]! > position[b]!) a = idom[a]!;
      while (position[b]! > position[a]!) b = idom[b]!;
    }
    return a;
  }

  const isLoop = new Uint8Array(count);
  const isMerge = new Uint8Array(count);
  let isReducible = true;
  const dominates = dominance(order, idom);
  for (const b of order) {
    let forward = 0;
    for (const p of predecessors[b]!) {
      if (position[p]! < position[b]!) forward += blocks[p]!.ending.kind === "switch" ? 2 : 1;
      else if (dominates(b, p)) isLoop[b] = 1;
      else isReducible = false;
    }
    if (forward > 1) isMerge[b] = 1;
  }
  return { order, position, idom, isLoop, isMerge, isReducible };
}

/** Answers "does a dominate b" in constant time by numbering the dominator tree. */
function dominance(order: readonly number[], idom: Int32Array): (a: number, b: number) => boolean {
  const children: number[][] = [];
  for (const b of order) if (b !== 0) (children[idom[b]!] ??= []).push(b);
  const enter = new Int32Array(idom.length);
  const leave = new Int32Array(idom.length);
  const stack = [0];
  let clock = 0;
  while (stack.length) {
    const b = stack.pop()!;
    if (b < 0) leave[~b] = clock;
    else {
      enter[b] = clock++;
      stack.push(~b);
      for (const child of children[b] ?? []) stack.push(child);
    }
  }
  return (a, b) => enter[a]! <= enter[b]! && enter[b]! < leave[a]!;
}

function reversePostorder(blocks: readonly Block[]): number[] {
  const out: number[] = [];
  const seen = new Uint8Array(blocks.length);
  const stack: number[] = [0];
  const nextEdge = new Int32Array(blocks.length);
  seen[0] = 1;
  while (stack.length) {
    const b = stack[stack.length - 1]!;
    const { successors } = blocks[b]!;
    const edge = successors.length - 1 - nextEdge[b]!++;
    if (edge < 0) {
      out.push(b);
      stack.pop();
      continue;
    }
    const s = successors[edge]!;
    if (!seen[s]) {
      seen[s] = 1;
      stack.push(s);
    }
  }
  return out.reverse();
}

/**
 * The same control flow without irreducible loops. Each loop with several entries gets one dispatcher block: edges to
 * its entries first note which one they mean, then go to the dispatcher, which branches there. The dispatcher is then
 * the loop's only header; what is inside is treated the same way.
 */
export function makeReducible(cfg: Cfg): void {
  const { blocks } = cfg;
  // Each region is a set of blocks whose back edges to `header` are to be ignored.
  const regions: { members: number[]; header: number }[] = [{ members: blocks.map((_, i) => i), header: -1 }];
  while (regions.length) {
    const region = regions.pop()!;
    const inside = new Set(region.members);
    if (region.header >= 0) inside.delete(region.header);
    for (const component of components(blocks, inside)) {
      const members = new Set(component);
      const entries = new Set<number>();
      for (let p = 0; p < blocks.length; p++) {
        if (members.has(p)) continue;
        for (const s of blocks[p]!.successors) if (members.has(s)) entries.add(s);
      }
      if (entries.size === 1) regions.push({ members: component, header: [...entries][0]! });
      else if (entries.size > 1) {
        const { dispatcher, stubs } = insertDispatcher(blocks, [...entries]);
        // Stubs of edges from within the loop belong to it.
        const inner = stubs.filter((s) => members.has(s.from)).map((s) => s.stub);
        regions.push({ members: [...component, dispatcher, ...inner], header: dispatcher });
      }
    }
  }
}

function insertDispatcher(blocks: Block[], entries: readonly number[]) {
  const dispatcher = blocks.length;
  blocks.push({ insns: [], ending: { kind: "switch" }, successors: [...entries], dispatch: undefined });
  const stubs: { from: number; stub: number }[] = [];
  for (let from = 0; from < dispatcher; from++) {
    const block = blocks[from]!;
    block.successors = block.successors.map((s) => {
      const value = entries.indexOf(s);
      if (value < 0) return s;
      const stub = blocks.length;
      blocks.push({ insns: [], ending: { kind: "jump" }, successors: [dispatcher], dispatch: value });
      stubs.push({ from, stub });
      return stub;
    });
  }
  return { dispatcher, stubs };
}

/** Strongly connected components of more than one block, or of one with an edge to itself. */
function components(blocks: readonly Block[], inside: ReadonlySet<number>): number[][] {
  const out: number[][] = [];
  const index = new Map<number, number>();
  const low = new Map<number, number>();
  const onStack = new Set<number>();
  const path: number[] = [];
  for (const root of inside) {
    if (index.has(root)) continue;
    const work: { block: number; edge: number }[] = [{ block: root, edge: 0 }];
    while (work.length) {
      const top = work[work.length - 1]!;
      const { block } = top;
      if (top.edge === 0) {
        index.set(block, index.size);
        low.set(block, index.get(block)!);
        path.push(block);
        onStack.add(block);
      }
      const s = blocks[block]!.successors[top.edge++];
      if (s !== undefined) {
        if (!inside.has(s)) continue;
        if (!index.has(s)) work.push({ block: s, edge: 0 });
        else if (onStack.has(s)) low.set(block, Math.min(low.get(block)!, index.get(s)!));
        continue;
      }
      work.pop();
      const parent = work[work.length - 1];
      if (parent) low.set(parent.block, Math.min(low.get(parent.block)!, low.get(block)!));
      if (low.get(block) !== index.get(block)) continue;
      const component: number[] = [];
      for (let member = -1; member !== block; ) {
        member = path.pop()!;
        onStack.delete(member);
        component.push(member);
      }
      if (component.length > 1 || blocks[block]!.successors.includes(block)) out.push(component);
    }
  }
  return out;
}
