/** The stack frame: where each object lies below r10. */
import type { Slot } from "../ir/index.ts";
import type { MBlock } from "../regalloc/index.ts";

export interface FrameLayout {
  /** Offset from r10 (negative) of each object. */
  readonly offsets: ReadonlyMap<Slot, number>;
  /** Bytes in use. */
  readonly size: number;
}

/** Places the objects that the code refers to, largest alignment first so that none is lost to padding. */
export function layoutFrame(blocks: readonly MBlock[]): FrameLayout {
  const slots = new Set<Slot>();
  for (const b of blocks) for (const i of b.insns) if (i.slot) slots.add(i.slot);
  const offsets = new Map<Slot, number>();
  let size = 0;
  for (const s of [...slots].sort((a, b) => b.align - a.align || b.size - a.size)) {
    size = Math.ceil((size + s.size) / s.align) * s.align;
    offsets.set(s, -size);
  }
  return { offsets, size };
}
