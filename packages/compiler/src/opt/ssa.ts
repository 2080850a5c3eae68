/**
 * SSA for a variable whose definitions are known by block, on a finished graph: what is it worth at the start or the
 * end of a block? Phis are made where paths bring different values.
 */
import { type Block, constant, type Fn, type Insn } from "../ir/index.ts";

export class Variable {
  private readonly fn: Fn;
  private readonly defs: ReadonlyMap<Block, Insn>;
  private readonly starts = new Map<Block, Insn>();

  /** `defs` gives the value at a block's end. */
  constructor(fn: Fn, defs: ReadonlyMap<Block, Insn>) {
    this.fn = fn;
    this.defs = defs;
  }

  atEnd(b: Block): Insn {
    return this.defs.get(b) ?? this.atStart(b);
  }

  atStart(b: Block): Insn {
    const known = this.starts.get(b);
    if (known) return known;
    // Down a chain of single predecessors without recursion: chains are long.
    const chain: Block[] = [b];
    let top = b;
    while (top.preds.length === 1) {
      const p = top.preds[0]!;
      const def = this.defs.get(p) ?? this.starts.get(p);
      if (def) return this.fill(chain, def);
      chain.push(p);
      top = p;
    }
    if (!top.preds.length) return this.fill(chain, constant(0n));
    const phi: Insn = { op: "phi", id: this.fn.nextId++, at: 0, block: top, args: [] };
    this.fill(chain, phi);
    phi.args = top.preds.map((p) => this.atEnd(p));
    phi.at = phi.args.find((a) => a.at)?.at ?? 0;
    top.phis.push(phi);
    return phi;
  }

  private fill(chain: readonly Block[], v: Insn): Insn {
    for (const b of chain) this.starts.set(b, v);
    return v;
  }
}
