/**
 * Comparisons whose outcome is used as a number become arithmetic without a branch: the machine can only jump on a
 * comparison, and a branch in a loop is a path more for the verifier. Values of 32 bits are zero-extended, so the sign
 * of their 64-bit difference is the answer. Whether an address is null is asked by a branch all the same: a verifier
 * computes with no address that may be.
 */
import {
  type Block,
  constant,
  countUses,
  type Fn,
  type Insn,
  mapOperands,
  maskOf,
  reversePostorder,
  successors,
} from "../ir/index.ts";

type Make = (draft: { op: string; w: 32 | 64 }, args: Insn[]) => Insn;

export function expandCompares(fn: Fn): void {
  const replaced = new Map<Insn, Insn>();
  askOfAddresses(fn, replaced);
  const blocks = reversePostorder(fn);
  for (const b of blocks) {
    const out: Insn[] = [];
    for (const i of b.insns) {
      if (i.op !== "cmp") {
        out.push(i);
        continue;
      }
      const make: Make = (draft, args) => {
        const made = { ...draft, id: fn.nextId++, at: i.at, block: b, args } as Insn;
        out.push(made);
        return made;
      };
      replaced.set(i, expand(i, make));
    }
    b.insns = out;
  }
  if (replaced.size) {
    const final = (v: Insn): Insn => {
      let r = v;
      while (replaced.has(r)) r = replaced.get(r)!;
      return r;
    };
    mapOperands(blocks, final);
  }
}

/** Tests of addresses become branches around nothing, their outcome what control comes from. */
function askOfAddresses(fn: Fn, replaced: Map<Insn, Insn>): void {
  const work = reversePostorder(fn);
  for (let b = work.pop(); b; b = work.pop()) {
    const k = b.insns.findIndex((i) => i.op === "cmp" && i.address);
    if (k < 0) continue;
    const test = b.insns[k] as Insn & { op: "cmp" };
    const block = (preds: Block[]): Block => ({ id: fn.nextId++, phis: [], insns: [], term: undefined, preds });
    const [yes, no] = [block([b]), block([b])];
    const rest = block([yes, no]);
    for (const side of [yes, no]) side.term = { kind: "jump", to: rest };
    const outcome: Insn = {
      op: "phi",
      id: fn.nextId++,
      at: test.at,
      block: rest,
      args: [constant(1n), constant(0n)],
    };
    rest.phis.push(outcome);
    rest.insns = b.insns.splice(k).slice(1);
    for (const i of rest.insns) i.block = rest;
    for (const s of successors(b)) s.preds = s.preds.map((p) => (p === b ? rest : p));
    rest.term = b.term;
    const [x, y] = test.args as [Insn, Insn];
    b.term = { kind: "br", cmp: test.cmp, w: 64, a: x, b: y, yes, no, at: test.at };
    replaced.set(test, outcome);
    work.push(rest);
  }
}

/** `(x & mask) !== 0` is one jump of the machine, when nobody else wants the masked value. */
export function testBits(fn: Fn): void {
  const blocks = reversePostorder(fn);
  const uses = countUses(blocks);
  for (const b of blocks) {
    const t = b.term;
    if (t?.kind !== "br" || (t.cmp !== "ne" && t.cmp !== "eq")) continue;
    const { a } = t;
    if (t.b.op !== "const" || t.b.value !== 0n || a.op !== "and" || uses.get(a) !== 1) continue;
    const [x, y] = a.args as [Insn, Insn];
    const [yes, no] = t.cmp === "ne" ? [t.yes, t.no] : [t.no, t.yes];
    b.term = { kind: "br", cmp: "set", w: t.w === 32 ? 32 : a.w, a: x, b: y, yes, no, at: t.at };
  }
}

function expand(i: Insn & { op: "cmp" }, make: Make): Insn {
  let [a, b] = i.args as [Insn, Insn];
  let cmp = i.cmp;
  const w64 = (op: string, x: Insn, y: Insn) => make({ op, w: 64 }, [x, y]);
  const signBit = (x: Insn) => w64("shr", x, constant(63n));
  const not = (x: Insn) => w64("xor", x, constant(1n));
  if (cmp === "set") {
    a = make({ op: "and", w: i.w }, [a, b]);
    b = constant(0n);
    cmp = "ne";
  }
  if (cmp === "eq" || cmp === "ne") {
    const zero = b.op === "const" && b.value === 0n;
    const x = zero && i.w === 64 ? a : i.w === 32 ? clean32(a, b, make) : w64("xor", a, b);
    if (i.w === 32) {
      if (cmp === "ne") return signBit(make({ op: "neg", w: 64 }, [x]));
      return signBit(w64("add", x, constant(maskOf(64))));
    }
    const differs = signBit(w64("or", make({ op: "neg", w: 64 }, [x]), x));
    return cmp === "ne" ? differs : not(differs);
  }
  const signed = cmp.startsWith("s");
  if (signed) {
    // Moving the range up by half turns signed order into unsigned order.
    const half = constant(i.w === 64 ? 1n << 63n : 1n << 31n);
    a = make({ op: "xor", w: i.w }, [a, half]);
    b =
      b.op === "const"
        ? constant((b.value ^ (i.w === 64 ? 1n << 63n : 1n << 31n)) & maskOf(i.w))
        : make({ op: "xor", w: i.w }, [b, half]);
    cmp = cmp.slice(1) as typeof cmp;
  }
  if (cmp === "gt" || cmp === "le") [a, b] = [b, a];
  const below = i.w === 32 ? signBit(w64("sub", mask32(a), mask32(b))) : borrow(a, b, w64, signBit);
  return cmp === "lt" || cmp === "gt" ? below : not(below);
}

/** Constants of width 32 may carry no sign above. */
function mask32(v: Insn): Insn {
  return v.op === "const" ? constant(v.value & 0xffff_ffffn) : v;
}

function clean32(a: Insn, b: Insn, make: Make): Insn {
  if (b.op === "const" && (b.value & 0xffff_ffffn) === 0n) return a;
  return make({ op: "xor", w: 32 }, [a, b]);
}

/** The borrow of a - b in 64 bits. */
function borrow(a: Insn, b: Insn, w64: (op: string, x: Insn, y: Insn) => Insn, signBit: (x: Insn) => Insn): Insn {
  const ones = constant(maskOf(64));
  const notA = w64("xor", a, ones);
  const differ = w64("and", notA, b);
  const same = w64("or", notA, b);
  const diff = w64("sub", a, b);
  return signBit(w64("or", differ, w64("and", same, diff)));
}
