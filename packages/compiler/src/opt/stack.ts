/**
 * Stack objects whose address stays in loads and stores become values: each field that is always accessed alike is a
 * variable. Objects that a helper reads keep their memory.
 */
import {
  type Block,
  constant,
  type Fn,
  type Insn,
  mapOperands,
  reversePostorder,
  type Slot,
  upperBound,
} from "../ir/index.ts";
import { Variable } from "./ssa.ts";

type Access = Insn & { op: "load" | "store" };

interface Atom {
  readonly off: number;
  readonly size: 1 | 2 | 4 | 8;
}

export function promoteStack(fn: Fn): boolean {
  const blocks = reversePostorder(fn);
  const accesses = collect(blocks);
  if (!accesses.size) return false;
  const replaced = new Map<Insn, Insn>();
  const dropped = new Set<Insn>();
  let any = false;
  for (const list of accesses.values()) {
    const atoms = atomsOf(list);
    for (const atom of atoms) {
      promote(fn, blocks, atom, list, replaced, dropped);
      any = true;
    }
    // A store that no remaining load can see goes.
    const promoted = (i: Access) => atoms.some((a) => a.off === i.off && a.size === i.size);
    const left = list.filter((i) => i.op === "load" && !promoted(i));
    for (const i of list) {
      if (i.op !== "store") continue;
      if (!left.some((l) => overlap(l, i))) dropped.add(i);
    }
  }
  if (!any && !dropped.size) return false;
  const final = (v: Insn): Insn => {
    let r = v;
    while (replaced.has(r)) r = replaced.get(r)!;
    return r;
  };
  const now = reversePostorder(fn);
  mapOperands(now, final);
  for (const b of now) b.insns = b.insns.filter((i) => !dropped.has(i) && !replaced.has(i));
  return true;
}

/** The accesses to each object whose address goes nowhere else. */
function collect(blocks: readonly Block[]): Map<Slot, Access[]> {
  const out = new Map<Slot, Access[]>();
  const escaped = new Set<Slot>();
  const look = (v: Insn, user: Insn | undefined, position: number) => {
    if (v.op !== "frame") return;
    if (user && (user.op === "load" || user.op === "store") && position === 0) {
      const list = out.get(v.slot);
      if (list) list.push(user);
      else out.set(v.slot, [user]);
    } else escaped.add(v.slot);
  };
  for (const b of blocks) {
    for (const list of [b.phis, b.insns]) for (const i of list) for (const [k, a] of i.args.entries()) look(a, i, k);
    const t = b.term;
    if (t?.kind === "br") {
      look(t.a, undefined, 0);
      look(t.b, undefined, 0);
    } else if (t?.kind === "ret") look(t.value, undefined, 0);
  }
  for (const s of escaped) out.delete(s);
  return out;
}

function overlap(a: { off: number; size: number }, b: { off: number; size: number }): boolean {
  return a.off < b.off + b.size && b.off < a.off + a.size;
}

function inside(a: Atom, b: { off: number; size: number }): boolean {
  return a.off >= b.off && a.off + a.size <= b.off + b.size;
}

/** Fields that every load and every store of an unknown value touches whole. Constant stores may cover several. */
function atomsOf(list: readonly Access[]): Atom[] {
  const isConst = (i: Access) => i.op === "store" && i.args[1]!.op === "const";
  const atoms = new Map<string, Atom>();
  for (const i of list) if (!isConst(i)) atoms.set(`${i.off}:${i.size}`, { off: i.off, size: i.size });
  return [...atoms.values()].filter((a) =>
    list.every((i) => {
      if (!overlap(a, i)) return true;
      return isConst(i) ? inside(a, i) : i.off === a.off && i.size === a.size;
    }),
  );
}

function promote(
  fn: Fn,
  blocks: readonly Block[],
  atom: Atom,
  list: readonly Access[],
  replaced: Map<Insn, Insn>,
  dropped: Set<Insn>,
): void {
  const mine = new Set<Insn>(list.filter((i) => overlap(atom, i)));
  const defs = new Map<Block, Insn>();
  const early: { load: Insn; block: Block }[] = [];
  for (const b of blocks) {
    let current: Insn | undefined;
    const out: Insn[] = [];
    for (const i of b.insns) {
      out.push(i);
      if (!mine.has(i)) continue;
      if (i.op === "store") {
        const v = i.args[1]!;
        if (v.op === "const") current = constant((v.value >> BigInt((atom.off - i.off) * 8)) & maskOf(atom.size));
        else {
          current = narrow(fn, b, v, atom.size, i.at);
          if (current !== v) out.splice(out.length - 1, 0, current);
          dropped.add(i);
        }
      } else if (current) replaced.set(i, current);
      else early.push({ load: i, block: b });
    }
    b.insns = out;
    if (current) defs.set(b, current);
  }
  const variable = new Variable(fn, defs);
  for (const { load, block } of early) replaced.set(load, variable.atStart(block));
}

function maskOf(size: number): bigint {
  return (1n << BigInt(size * 8)) - 1n;
}

/** What a store of the value and a load give. */
function narrow(fn: Fn, block: Block, v: Insn, size: 1 | 2 | 4 | 8, at: number): Insn {
  if (size === 8 || upperBound(v) <= maskOf(size)) return v;
  if (size === 4) return { op: "zext32", id: fn.nextId++, at, block, args: [v] };
  return { op: "and", w: 32, id: fn.nextId++, at, block, args: [v, constant(maskOf(size))] };
}
