/** The graph itself: unreachable blocks, chains of blocks, critical edges. */
import { type Block, type Fn, type Insn, mapOperands, removePred, reversePostorder, successors } from "../ir/index.ts";

/** Forgets blocks that nothing reaches: the others' predecessors and phis shrink. Returns the rest. */
export function prune(fn: Fn): Block[] {
  const rpo = reversePostorder(fn);
  const live = new Set(rpo);
  for (const b of rpo) for (const p of [...b.preds]) if (!live.has(p)) removePred(b, p);
  return rpo;
}

/** Replaces phis of one value by it. */
export function dropTrivialPhis(fn: Fn): boolean {
  let any = false;
  for (let again = true; again; ) {
    again = false;
    const replaced = new Map<Insn, Insn>();
    const blocks = reversePostorder(fn);
    for (const b of blocks) {
      b.phis = b.phis.filter((phi) => {
        let only: Insn | undefined;
        for (const a of phi.args) {
          if (a === phi || a === only) continue;
          if (only?.op === "const" && a.op === "const" && only.value === a.value) continue;
          if (only) return true;
          only = a;
        }
        if (!only) return true;
        replaced.set(phi, only);
        return false;
      });
    }
    if (replaced.size) {
      const final = (v: Insn): Insn => {
        let r = v;
        while (replaced.has(r)) r = replaced.get(r)!;
        return r;
      };
      mapOperands(blocks, final);
      again = true;
      any = true;
    }
  }
  return any;
}

/** Merges a block into its only predecessor when that goes nowhere else. */
export function mergeChains(fn: Fn): boolean {
  let any = false;
  for (const b of reversePostorder(fn)) {
    for (;;) {
      const t = b.term;
      if (t?.kind !== "jump" || t.to === b || t.to === fn.entry || t.to.preds.length !== 1) break;
      const next = t.to;
      if (next.phis.length) break;
      for (const i of next.insns) i.block = b;
      b.insns.push(...next.insns);
      b.term = next.term;
      for (const s of successors(next)) s.preds = s.preds.map((p) => (p === next ? b : p));
      next.insns = [];
      any = true;
    }
  }
  return any;
}

/** An edge from a block with several successors to one with several predecessors gets a block of its own. */
export function splitCriticalEdges(fn: Fn): void {
  const blocks = reversePostorder(fn);
  let id = Math.max(...blocks.map((b) => b.id)) + 1;
  for (const b of blocks) {
    const t = b.term;
    if (t?.kind !== "br") continue;
    for (const side of ["yes", "no"] as const) {
      const to = t[side];
      if (to.preds.length < 2 || !to.phis.length) continue;
      const between: Block = { id: id++, phis: [], insns: [], term: { kind: "jump", to }, preds: [b] };
      // With both sides to one block, the first match is this side's edge.
      to.preds[to.preds.indexOf(b)] = between;
      t[side] = between;
    }
  }
}

/** Drops what is not used. */
export function deadCode(fn: Fn, pure: (i: Insn) => boolean): void {
  const blocks = reversePostorder(fn);
  const needed = new Set<Insn>();
  const work: Insn[] = [];
  const need = (v: Insn) => {
    if (needed.has(v)) return;
    needed.add(v);
    work.push(v);
  };
  for (const b of blocks) {
    for (const i of b.insns) if (!pure(i)) need(i);
    const t = b.term;
    if (t?.kind === "br") {
      need(t.a);
      need(t.b);
    } else if (t?.kind === "ret") need(t.value);
  }
  while (work.length) for (const a of work.pop()!.args) need(a);
  for (const b of blocks) {
    b.phis = b.phis.filter((i) => needed.has(i));
    b.insns = b.insns.filter((i) => needed.has(i));
  }
}
