/**
 * Branches that decide nothing: both ways come to the same place with the same values, and what happens in between is
 * wanted nowhere else. A parser of which a program uses a part leaves many.
 */
import { type Block, type Fn, type Insn, isPure, removePred, reversePostorder, same } from "../ir/index.ts";

/** A block on the way from a branch, and the one before it. */
interface Step {
  readonly at: Block;
  readonly from: Block;
}

export function dropBranches(fn: Fn): boolean {
  const blocks = reversePostorder(fn);
  const outside = usedOutside(blocks);
  let any = false;
  // Inner branches first: what they leave is one block to those around them.
  for (const b of blocks.reverse()) {
    const t = b.term;
    if (t?.kind !== "br") continue;
    if (t.yes === t.no) {
      b.term = { kind: "jump", to: t.yes };
      any = true;
      continue;
    }
    const meet = meeting(b, steps(b, t.yes, outside), steps(b, t.no, outside));
    if (!meet) continue;
    const { at: to, from } = meet;
    const values = to.phis.map((phi) => phi.args[to.preds.indexOf(from)]!);
    for (const side of [t.yes, t.no]) removePred(side, b);
    b.term = { kind: "jump", to };
    to.preds.push(b);
    for (const [k, phi] of to.phis.entries()) phi.args.push(values[k]!);
    any = true;
  }
  return any;
}

/** Values that another block than their own uses, phis included. */
function usedOutside(blocks: readonly Block[]): Set<Insn> {
  const out = new Set<Insn>();
  for (const b of blocks) {
    const use = (v: Insn) => {
      if (v.block !== b) out.add(v);
    };
    for (const phi of b.phis) for (const a of phi.args) out.add(a);
    for (const i of b.insns) for (const a of i.args) use(a);
    const t = b.term;
    if (t?.kind === "br") {
      use(t.a);
      use(t.b);
    } else if (t?.kind === "ret") use(t.value);
  }
  return out;
}

/** Where control comes from `b` over `side`, as far as nothing happens on the way that anybody wants. */
function steps(b: Block, side: Block, outside: ReadonlySet<Insn>): Step[] {
  const out: Step[] = [{ at: side, from: b }];
  const seen = new Set<Block>([b]);
  for (let x = side; !seen.has(x); ) {
    seen.add(x);
    const t = x.term;
    if (t?.kind !== "jump") break;
    if (x.phis.some((p) => outside.has(p)) || !x.insns.every((i) => isPure(i) && !outside.has(i))) break;
    out.push({ at: t.to, from: x });
    x = t.to;
  }
  return out;
}

/** The first place where both come with the same values. */
function meeting(b: Block, yes: readonly Step[], no: readonly Step[]): Step | undefined {
  for (const y of yes) {
    const n = no.find((s) => s.at === y.at);
    if (!n || y.at === b) continue;
    const [ky, kn] = [y.at.preds.indexOf(y.from), y.at.preds.indexOf(n.from)];
    if (ky >= 0 && kn >= 0 && ky !== kn && y.at.phis.every((p) => same(p.args[ky]!, p.args[kn]!))) {
      return y;
    }
  }
  return undefined;
}
