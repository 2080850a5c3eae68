/**
 * Structured control flow from a reducible graph, after Ramsey, "Beyond Relooper" (ICFP 2022): a block's code is
 * followed by its dominator-tree children; a child where paths meet gets a wasm block around what comes before it, a
 * loop header a wasm loop, and every jump is a branch out of one of these or falls through.
 *
 * The recursion of the paper is a stack of steps here: depth is only bounded by memory.
 */
import type { Block, Cfg, Order } from "./cfg.ts";
import { branch, close, type Emitter, get, i32, op, open, set } from "./emit.ts";
import { Op, uleb, VOID } from "./wasm.ts";

/** What the emitter of a function's insns does for the structure around it. */
export interface BlockEmitter {
  /** Code of the block up to its closing jump. */
  body(block: number): void;
  /** Pushes the i32 that decides the block's closing jump. */
  condition(block: number): void;
  exit(): void;
  /** Runs at every arrival at a loop header. */
  loopHead(): void;
  /** Local that dispatcher blocks read. */
  readonly dispatchLocal: () => number;
}

type Step =
  | { readonly kind: "tree"; readonly block: number }
  | { readonly kind: "body"; readonly block: number }
  | { readonly kind: "go"; readonly from: number; readonly to: number }
  | { readonly kind: "else" }
  /** Ends a wasm construct that control never falls out of, but for blocks. */
  | { readonly kind: "end"; readonly dead: boolean };

export function emitStructure(e: Emitter, cfg: Cfg, order: Order, blocks: BlockEmitter): void {
  const { position, isMerge, isLoop, idom } = order;
  const mergeChildren: number[][] = [];
  // Ascending in reverse postorder, since `order` is.
  for (const b of order.order) if (b !== 0 && isMerge[b]) (mergeChildren[idom[b]!] ??= []).push(b);
  /** Depth of the label that a branch to the block leaves: its loop while inside of it, before that its block. */
  const label = new Int32Array(cfg.blocks.length).fill(-1);
  const isBranch = (from: number, to: number) => position[to]! <= position[from]! || isMerge[to] === 1;
  const branchTo = (opcode: number, to: number) => branch(e, opcode, e.depth - 1 - label[to]!);

  const steps: Step[] = [{ kind: "tree", block: 0 }];
  while (steps.length) {
    const step = steps.pop()!;
    if (step.kind === "tree") {
      const { block } = step;
      if (isLoop[block]) {
        label[block] = e.depth;
        open(e, Op.loop, VOID);
        blocks.loopHead();
        steps.push({ kind: "end", dead: true });
      }
      const children = mergeChildren[block] ?? [];
      for (let i = children.length - 1; i >= 0; i--) {
        const child = children[i]!;
        label[child] = e.depth;
        open(e, Op.block, VOID);
        steps.push({ kind: "tree", block: child }, { kind: "end", dead: false });
      }
      steps.push({ kind: "body", block });
    } else if (step.kind === "body") {
      const { block } = step;
      blocks.body(block);
      emitEnding(cfg.blocks[block]!, block);
    } else if (step.kind === "go") {
      if (isBranch(step.from, step.to)) branchTo(Op.br, step.to);
      else steps.push({ kind: "tree", block: step.to });
    } else if (step.kind === "else") op(e, Op.else_);
    else {
      close(e);
      if (step.dead) op(e, Op.unreachable);
    }
  }
  op(e, Op.unreachable);

  function emitEnding(block: Block, from: number): void {
    if (block.dispatch !== undefined) {
      i32(e, block.dispatch);
      set(e, blocks.dispatchLocal());
    }
    const [first, second] = block.successors;
    switch (block.ending.kind) {
      case "exit":
        blocks.exit();
        return;
      case "jump":
        steps.push({ kind: "go", from, to: first! });
        return;
      case "switch":
        get(e, blocks.dispatchLocal());
        op(e, Op.br_table);
        uleb(e.out, block.successors.length - 1);
        for (const s of block.successors) uleb(e.out, e.depth - 1 - label[s]!);
        return;
      case "cond":
        blocks.condition(from);
        if (isBranch(from, first!)) {
          branchTo(Op.br_if, first!);
          steps.push({ kind: "go", from, to: second! });
        } else if (isBranch(from, second!)) {
          op(e, Op.i32_eqz);
          branchTo(Op.br_if, second!);
          steps.push({ kind: "go", from, to: first! });
        } else {
          open(e, Op.if_, VOID);
          steps.push(
            { kind: "end", dead: true },
            { kind: "go", from, to: second! },
            { kind: "else" },
            { kind: "go", from, to: first! },
          );
        }
    }
  }
}
