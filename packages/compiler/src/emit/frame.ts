/**
 * The stack frame: where each object lies below r10. Objects that are never needed at the same time share their place:
 * 512 bytes are little for a chain of functions that each build a key.
 */
import type { Slot } from "../ir/index.ts";
import { type MBlock, machineSuccessors } from "../regalloc/index.ts";

export interface FrameLayout {
  /** Offset from r10 (negative) of each object. */
  readonly offsets: ReadonlyMap<Slot, number>;
  /** Bytes in use. */
  readonly size: number;
}

/**
 * Places the objects that the code refers to. `pinned` are those whose address is kept in a register beyond the
 * instruction that makes it: nothing may share with them.
 */
export function layoutFrame(blocks: readonly MBlock[], pinned: ReadonlySet<Slot>): FrameLayout {
  const active = activity(blocks);
  const slots = [...active.keys()].sort((a, b) => b.size - a.size || a.id - b.id);
  const offsets = new Map<Slot, number>();
  let size = 0;
  for (const s of slots) {
    const taken = [...offsets]
      .filter(([o]) => pinned.has(s) || pinned.has(o) || meet(active.get(s)!, active.get(o)!))
      .map(([o, off]) => ({ from: -off - o.size, to: -off }))
      .sort((a, b) => a.from - b.from);
    // `depth` counts from r10 down: the object takes depth-size to depth.
    let depth = roundUp(s.size, s.align);
    for (let again = true; again; ) {
      again = false;
      for (const t of taken) {
        if (depth - s.size < t.to && t.from < depth) {
          depth = roundUp(t.to + s.size, s.align);
          again = true;
        }
      }
    }
    offsets.set(s, -depth);
    size = Math.max(size, depth);
  }
  return { offsets, size };
}

function roundUp(n: number, to: number): number {
  return Math.ceil(n / to) * to;
}

function meet(a: ReadonlySet<MBlock>, b: ReadonlySet<MBlock>): boolean {
  for (const x of a) if (b.has(x)) return true;
  return false;
}

/** The blocks in which an object may hold something that is still wanted: after a first use of it and before a last. */
function activity(blocks: readonly MBlock[]): Map<Slot, Set<MBlock>> {
  const uses = new Map<MBlock, Set<Slot>>();
  const preds = new Map<MBlock, MBlock[]>(blocks.map((b) => [b, []]));
  for (const b of blocks) {
    const set = new Set<Slot>();
    for (const i of b.insns) if (i.slot) set.add(i.slot);
    uses.set(b, set);
    for (const s of machineSuccessors(b)) preds.get(s)?.push(b);
  }
  const after = reach(blocks, uses, (b) => machineSuccessors(b));
  const before = reach(blocks, uses, (b) => preds.get(b)!);
  const out = new Map<Slot, Set<MBlock>>();
  for (const b of blocks) {
    for (const s of after.get(b)!) {
      if (!before.get(b)!.has(s)) continue;
      const set = out.get(s);
      if (set) set.add(b);
      else out.set(s, new Set([b]));
    }
  }
  return out;
}

/** What is used in a block or in one that comes before it on the way that `next` goes. */
function reach(
  blocks: readonly MBlock[],
  uses: ReadonlyMap<MBlock, ReadonlySet<Slot>>,
  next: (b: MBlock) => readonly MBlock[],
): Map<MBlock, Set<Slot>> {
  const found = new Map<MBlock, Set<Slot>>(blocks.map((b) => [b, new Set(uses.get(b))]));
  const work = [...blocks];
  while (work.length) {
    const b = work.pop()!;
    const mine = found.get(b)!;
    for (const n of next(b)) {
      const theirs = found.get(n);
      if (!theirs) continue;
      const size = theirs.size;
      for (const s of mine) theirs.add(s);
      if (theirs.size !== size) work.push(n);
    }
  }
  return found;
}
