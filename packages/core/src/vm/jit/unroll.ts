/**
 * Unrolls small innermost loops by copying their blocks: the back edges of one copy lead to the next. V8 puts a stack
 * check into every loop turn, which in a loop of ten insns is a quarter of the time; every exit stays where it is, so
 * no trip count need be known.
 */
import type { Block, Cfg, Order } from "./cfg.ts";

/** Loops of more insns, jumps included, stay as they are. */
const MAX_INSNS = 32;
const MAX_BLOCKS = 8;

/**
 * Adds the copies to the graph and answers which block each copy stands for, by its number; what is known at a block's
 * start holds for its copies too. The order is out of date afterwards when anything was unrolled.
 */
export function unrollLoops(cfg: Cfg, order: Order): ReadonlyMap<number, number> {
  const copyOf = new Map<number, number>();
  const predecessors: number[][] = cfg.blocks.map(() => []);
  for (const b of order.order) for (const s of cfg.blocks[b]!.successors) predecessors[s]!.push(b);
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
    if (plain && insns <= MAX_INSNS) copyBody(cfg.blocks, header, body, insns <= MAX_INSNS / 2 ? 4 : 2, copyOf);
  }
  return copyOf;
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
    }
  }
}
