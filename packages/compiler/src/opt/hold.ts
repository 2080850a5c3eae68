/**
 * What many ways bring the same constant to is set to it once, before the ways part, and not on each of them: a parser of
 * many headers leaves at many places, each with all that was not found. Such a variable, phis that hand their value on,
 * has one home from there to its last use, a register or a place on the stack, so that no copies remain.
 */
import { type Block, constant, dominators, type Fn, type Insn, reversePostorder } from "../ir/index.ts";

/** Ways that must bring the constant to one variable, and to all variables together, before it is worth a home. */
const LEAST_EACH = 4;
const LEAST = 16;

/** Where a value is wanted: at the start of blocks (or made there, by a phi), and at their end. A bit a block. */
interface Life {
  starts: bigint;
  ends: bigint;
}
/** Phis that can share a home, and the ways on which they get the constant. */
interface Variable {
  readonly phis: Insn[];
  readonly life: Life;
}

export function holdConstants(fn: Fn): void {
  const rpo = reversePostorder(fn);
  const index = new Map(rpo.map((b, k) => [b, k]));
  const phis = rpo.flatMap((b) => b.phis);
  const value = commonest(phis);
  if (value === undefined) return;
  const idom = dominators(rpo);
  for (const v of variables(rpo, index, phis, value)) {
    const ways = v.phis.flatMap((p) => p.block!.preds.filter((_, k) => isConstant(p.args[k]!, value)));
    if (ways.length < LEAST_EACH) continue;
    const at = ways.reduce((a, b) => common(a, b, idom, index));
    const held: Insn = { op: "hold", id: fn.nextId++, at: v.phis[0]!.at, block: at, args: [constant(value)] };
    const life: Life = { starts: 0n, ends: 0n };
    for (const pred of ways) wanted(life, at, pred, index);
    // Where it is made, nothing of the variable may be there yet.
    if (meet(life, v.life) || (v.life.starts >> BigInt(index.get(at)!)) & 1n) continue;
    at.insns.push(held);
    for (const p of v.phis) {
      p.args = p.args.map((a) => (isConstant(a, value) ? held : a));
      p.home = held;
    }
  }
}

function isConstant(v: Insn, value: bigint): boolean {
  return v.op === "const" && v.value === value;
}

/** The constant that most ways bring to phis, where they are many. */
function commonest(phis: readonly Insn[]): bigint | undefined {
  const count = new Map<bigint, number>();
  for (const p of phis) {
    for (const a of p.args) if (a.op === "const") count.set(a.value, (count.get(a.value) ?? 0) + 1);
  }
  const [most] = [...count].sort((a, b) => b[1] - a[1]);
  return most && most[1] >= LEAST ? most[0] : undefined;
}

/** Phis that get the constant, together where one hands on to the other and both are never wanted at once. */
function variables(
  rpo: readonly Block[],
  index: ReadonlyMap<Block, number>,
  phis: readonly Insn[],
  value: bigint,
): Iterable<Variable> {
  const of = new Map<Insn, Variable>();
  for (const p of phis) {
    if (!p.args.some((a) => isConstant(a, value))) continue;
    of.set(p, { phis: [p], life: { starts: 1n << BigInt(index.get(p.block!)!), ends: 0n } });
  }
  lives(rpo, index, of);
  for (const p of phis) {
    for (const a of p.args) {
      const [x, y] = [of.get(p), of.get(a)];
      if (!x || !y || x === y || meet(x.life, y.life)) continue;
      x.phis.push(...y.phis);
      x.life.starts |= y.life.starts;
      x.life.ends |= y.life.ends;
      for (const q of y.phis) of.set(q, x);
    }
  }
  return new Set(of.values());
}

function lives(rpo: readonly Block[], index: ReadonlyMap<Block, number>, of: ReadonlyMap<Insn, Variable>): void {
  const use = (v: Insn, b: Block, atEnd: boolean): void => {
    const life = of.get(v)?.life;
    if (!life) return;
    if (atEnd) wanted(life, v.block!, b, index);
    else if (v.block !== b) for (const p of started(life, b, index)) wanted(life, v.block!, p, index);
  };
  for (const b of rpo) {
    for (const p of b.phis) for (const [k, a] of p.args.entries()) use(a, b.preds[k]!, true);
    for (const i of b.insns) for (const a of i.args) use(a, b, false);
    const t = b.term;
    if (t?.kind === "br") for (const v of [t.a, t.b]) use(v, b, false);
    if (t?.kind === "ret") use(t.value, b, false);
  }
}

/** Marks the start of the block; gives the blocks before it where that is new. */
function started(life: Life, b: Block, index: ReadonlyMap<Block, number>): readonly Block[] {
  const bit = 1n << BigInt(index.get(b)!);
  if (life.starts & bit) return [];
  life.starts |= bit;
  return b.preds;
}

/** A value that is made in `made` is wanted at the end of `b`. */
function wanted(life: Life, made: Block, b: Block, index: ReadonlyMap<Block, number>): void {
  const work = [b];
  for (let x = work.pop(); x; x = work.pop()) {
    const bit = 1n << BigInt(index.get(x)!);
    if (life.ends & bit) continue;
    life.ends |= bit;
    if (x !== made) work.push(...started(life, x, index));
  }
}

function meet(a: Life, b: Life): boolean {
  return (a.starts & b.starts) !== 0n || (a.ends & b.ends) !== 0n;
}

/** The nearest block on all ways to both. */
function common(a: Block, b: Block, idom: ReadonlyMap<Block, Block>, index: ReadonlyMap<Block, number>): Block {
  let [x, y] = [a, b];
  while (x !== y) {
    while (index.get(x)! > index.get(y)!) x = idom.get(x)!;
    while (index.get(y)! > index.get(x)!) y = idom.get(y)!;
  }
  return x;
}
