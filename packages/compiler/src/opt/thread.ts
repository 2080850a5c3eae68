/**
 * Jump threading: where a block only decides by a value that depends on where control came from (is the header there?
 * which verdict did the function return?), those who know the answer go straight to its consequence.
 */
import {
  type BinOp,
  type Block,
  constant,
  type Fn,
  foldBin,
  foldCmp,
  type Insn,
  isPointer,
  maskOf,
  removePred,
  reversePostorder,
} from "../ir/index.ts";
import { Variable } from "./ssa.ts";

/** Instructions of a block that are copied into the predecessors at most. */
const MAX_COPIED = 4;

export function threadJumps(fn: Fn): boolean {
  let any = false;
  // Each round sends edges forward; loops could send them round for ever.
  for (let round = 0; round < 8; round++) {
    let changed = false;
    for (const b of reversePostorder(fn)) if (thread(fn, b)) changed = true;
    if (!changed) break;
    any = true;
  }
  return any;
}

interface Plan {
  readonly pred: Block;
  readonly to: Block;
  /** What the block's values are on this way in. */
  readonly values: ReadonlyMap<Insn, Insn>;
  readonly made: readonly Insn[];
}

function thread(fn: Fn, b: Block): boolean {
  const t = b.term;
  if (t?.kind !== "br" || !b.phis.length || b.insns.length > MAX_COPIED || b.preds.length < 2) return false;
  if (t.yes === b || t.no === b) return false;
  if (!b.insns.every((i) => isArithmetic(i))) return false;
  const plans: Plan[] = [];
  for (const [k, pred] of b.preds.entries()) {
    if (pred === b) return false;
    const plan = decide(fn, b, pred, k);
    if (plan) plans.push(plan);
  }
  if (!plans.length) return false;
  const own = [...b.phis, ...b.insns];
  const defs = new Map<Insn, Map<Block, Insn>>(own.map((v) => [v, new Map([[b, v]])]));
  for (const p of plans) {
    const via = redirect(fn, b, p);
    for (const v of own) defs.get(v)!.set(via, p.values.get(v)!);
  }
  repair(fn, b, defs);
  return true;
}

function isArithmetic(i: Insn): boolean {
  return foldable(i) !== undefined;
}

type Arithmetic = Insn & { op: BinOp | "zext32" };

function foldable(i: Insn): Arithmetic | undefined {
  switch (i.op) {
    case "add":
    case "sub":
    case "and":
    case "or":
    case "xor":
    case "shl":
    case "shr":
    case "zext32":
      return i;
    default:
      return undefined;
  }
}

/** Where control that comes from `pred` goes on, when that is known. */
function decide(fn: Fn, b: Block, pred: Block, k: number): Plan | undefined {
  const t = b.term as Block["term"] & { kind: "br" };
  const values = new Map<Insn, Insn>(b.phis.map((p) => [p, p.args[k]!]));
  // A value of the block's last round is no longer at hand once the block can be passed by.
  for (const v of values.values()) if (v.block === b && v.op !== "const") return undefined;
  const made: Insn[] = [];
  const value = (v: Insn) => values.get(v) ?? v;
  const make = (draft: { op: BinOp | "zext32"; w?: 32 | 64 }, args: Insn[], at: number): Insn => {
    const insn = { ...draft, id: fn.nextId++, at, block: pred, args } as Insn;
    made.push(insn);
    return insn;
  };
  for (const i of b.insns) {
    const f = foldable(i)!;
    const args = f.args.map(value);
    if (f.op === "zext32") {
      const [x] = args as [Insn];
      values.set(i, x.op === "const" ? constant(x.value & maskOf(32)) : make({ op: "zext32" }, [x], i.at));
    } else {
      const { op, w } = f;
      const [x, y] = args as [Insn, Insn];
      const again = (o: BinOp, p: Insn, q: Insn): Insn =>
        foldBin(o, w, p, q, again) ?? make({ op: o, w }, [p, q], i.at);
      values.set(i, again(op, x, y));
    }
  }
  const a = value(t.a);
  const c = value(t.b);
  let known = foldCmp(t.cmp, t.w, a, c);
  if (
    known === undefined &&
    c.op === "const" &&
    c.value === 0n &&
    (t.cmp === "eq" || t.cmp === "ne") &&
    isThere(a, pred)
  ) {
    known = t.cmp === "ne";
  }
  if (known === undefined) return undefined;
  const to = known ? t.yes : t.no;
  return { pred, to, values, made };
}

/** The value is a pointer that is certainly not null here. */
function isThere(v: Insn, at: Block): boolean {
  if (isPointer(v)) return true;
  // Tested on the only way here.
  let b = at;
  for (let n = 0; n < 16 && b.preds.length === 1; n++) {
    const p = b.preds[0]!;
    const t = p.term;
    if (t?.kind === "br" && t.a === v && t.b.op === "const" && t.b.value === 0n && t.yes !== t.no) {
      if (t.cmp === "ne" && t.yes === b) return true;
      if (t.cmp === "eq" && t.no === b) return true;
    }
    b = p;
  }
  return false;
}

/** Sends the edge from `pred` past `b`; returns the block that stands for this way afterwards. */
function redirect(fn: Fn, b: Block, p: Plan): Block {
  const { pred, to } = p;
  const via: Block = { id: fn.nextId++, phis: [], insns: [...p.made], term: { kind: "jump", to }, preds: [pred] };
  for (const i of p.made) i.block = via;
  const t = pred.term!;
  if (t.kind === "jump") t.to = via;
  else if (t.kind === "br") {
    if (t.yes === b) t.yes = via;
    if (t.no === b) t.no = via;
  }
  removePred(b, pred);
  const k = to.preds.indexOf(b);
  to.preds.push(via);
  for (const phi of to.phis) {
    const v = phi.args[k]!;
    phi.args.push(p.values.get(v) ?? v);
  }
  return via;
}

/** Uses of the block's values that can now be reached around it get phis. */
function repair(fn: Fn, b: Block, defs: ReadonlyMap<Insn, ReadonlyMap<Block, Insn>>): void {
  const blocks = reversePostorder(fn);
  const variables = new Map<Insn, Variable>();
  const variable = (v: Insn): Variable | undefined => {
    const d = defs.get(v);
    if (!d) return undefined;
    let x = variables.get(v);
    if (!x) variables.set(v, (x = new Variable(fn, d)));
    return x;
  };
  for (const x of blocks) {
    // Phis made here on the way are already right.
    const phis = [...x.phis];
    for (const phi of phis) {
      for (const [k, a] of phi.args.entries()) {
        const v = variable(a);
        if (v) phi.args[k] = v.atEnd(x.preds[k]!);
      }
    }
    if (x === b) continue;
    const fix = (a: Insn): Insn => variable(a)?.atStart(x) ?? a;
    for (const i of x.insns) for (let k = 0; k < i.args.length; k++) i.args[k] = fix(i.args[k]!);
    const t = x.term;
    if (t?.kind === "br") {
      t.a = fix(t.a);
      t.b = fix(t.b);
    } else if (t?.kind === "ret") t.value = fix(t.value);
  }
}
