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

/**
 * Sends edges past blocks that only bring values together and go on: their predecessors bring them themselves.
 * It makes more of the answers known where they are asked for.
 */
export function collapseJoins(fn: Fn): boolean {
  let any = false;
  const blocks = reversePostorder(fn);
  const users = new Map<Insn, Set<Block>>();
  const use = (v: Insn, b: Block) => {
    if (v.op !== "phi") return;
    const set = users.get(v);
    if (set) set.add(b);
    else users.set(v, new Set([b]));
  };
  for (const b of blocks) {
    for (const i of b.insns) for (const a of i.args) use(a, b);
    // A phi's operand counts as used by its block only over the edge that brings it.
    for (const p of b.phis) for (const [k, a] of p.args.entries()) use(a, a.block === b.preds[k] ? b : fn.entry);
    const t = b.term;
    if (t?.kind === "br") {
      use(t.a, b);
      use(t.b, b);
    } else if (t?.kind === "ret") use(t.value, b);
  }
  for (const b of blocks) {
    const t = b.term;
    if (t?.kind !== "jump" || b.insns.length || b === fn.entry || t.to === b) continue;
    const { to } = t;
    if (b.phis.some((p) => [...(users.get(p) ?? [])].some((u) => u !== to))) continue;
    // Only phis of `to` may use them: an instruction of `to` would need one place to find them.
    if (b.phis.some((p) => to.insns.some((i) => i.args.includes(p)) || usedByTerm(to, p))) continue;
    const at = to.preds.indexOf(b);
    for (const pred of [...b.preds]) {
      if (to.preds.includes(pred) || pred === b) continue;
      const k = b.preds.indexOf(pred);
      to.preds.push(pred);
      for (const phi of to.phis) {
        const v = phi.args[at]!;
        phi.args.push(b.phis.includes(v) ? v.args[k]! : v);
        if (b.phis.includes(v)) use(v.args[k]!, v.args[k]!.block === pred ? to : fn.entry);
      }
      const s = pred.term!;
      if (s.kind === "jump") s.to = to;
      else if (s.kind === "br") {
        if (s.yes === b) s.yes = to;
        if (s.no === b) s.no = to;
      }
      removePred(b, pred);
      any = true;
    }
    if (!b.preds.length) removePred(to, b);
  }
  return any;
}

function usedByTerm(b: Block, v: Insn): boolean {
  const t = b.term;
  return (t?.kind === "br" && (t.a === v || t.b === v)) || (t?.kind === "ret" && t.value === v);
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
