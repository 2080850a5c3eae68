/**
 * Global value numbering over the dominator tree: operations that were computed already, loads of memory that is known,
 * and conditions that the way here has decided.
 *
 * Memory is known by what was loaded or stored on every way to a place: at a join, what its dominator knew and no block
 * in between can have changed.
 */
import {
  type BinOp,
  type Block,
  type Cmp,
  type CoreSite,
  constant,
  dominators,
  type Fn,
  foldBin,
  foldCmp,
  type Insn,
  isPointer,
  negateCmp,
  type Region,
  removePred,
  reversePostorder,
  sameSite,
  swapCmp,
  upperBound,
} from "../ir/index.ts";

interface Known {
  readonly address: Insn;
  readonly off: number;
  readonly size: number;
  readonly region: Region;
  readonly value: Insn;
  readonly core?: CoreSite | undefined;
}

/** `place + k` was compared with the packet's end. */
interface Bound {
  readonly base: Insn;
  readonly end: Insn;
  readonly k: bigint;
  readonly inside: boolean;
}

interface State {
  readonly memory: Known[];
  readonly conditions: Map<string, boolean>;
  readonly bounds: Bound[];
  /** Largest value that an operand can have here. */
  readonly most: Map<Insn, bigint>;
}

const PURE = new Set([
  "add",
  "sub",
  "mul",
  "div",
  "mod",
  "sdiv",
  "smod",
  "and",
  "or",
  "xor",
  "shl",
  "shr",
  "sar",
  "neg",
  "bswap",
  "sext",
  "zext32",
  "cmp",
  "ctx",
  "frame",
  "map",
  "data",
  "param",
  "func",
  "core",
]);

export function numberValues(fn: Fn): boolean {
  return new Numbering(fn).run();
}

class Numbering {
  private readonly fn: Fn;
  private readonly rpo: Block[];
  private readonly idom: Map<Block, Block>;
  private readonly replaced = new Map<Insn, Insn>();
  private readonly out = new Map<Block, State>();
  private readonly tables = new Map<Block, Map<string, Insn>>();
  private readonly constants = new Map<bigint, number>();
  private readonly types = new Map<CoreSite["type"], number>();
  private changed = false;

  constructor(fn: Fn) {
    this.fn = fn;
    this.rpo = reversePostorder(fn);
    this.idom = dominators(this.rpo);
  }

  run(): boolean {
    for (const b of this.rpo) this.block(b);
    for (const b of this.rpo) for (const p of b.phis) p.args = p.args.map((a) => this.final(a));
    return this.changed;
  }

  private final(v: Insn): Insn {
    let r = v;
    for (let n = this.replaced.get(r); n; n = this.replaced.get(r)) r = n;
    return r;
  }

  private lookup(b: Block, key: string): Insn | undefined {
    for (let x = b; ; ) {
      const found = this.tables.get(x)?.get(key);
      if (found) return found;
      const up = this.idom.get(x)!;
      if (up === x) return undefined;
      x = up;
    }
  }

  private block(b: Block): void {
    const table = new Map<string, Insn>();
    this.tables.set(b, table);
    const state = this.entryState(b);
    for (const p of b.phis) p.args = p.args.map((a) => this.final(a));
    this.samePhis(b, table);
    const kept: Insn[] = [];
    const make = (op: BinOp, w: 32 | 64, x: Insn, y: Insn, at: number): Insn => {
      const insn = { op, w, id: this.fn.nextId++, at, block: b, args: [x, y] } as Insn;
      return number(insn);
    };
    /** An equal earlier value, or the instruction itself, now placed. */
    const number = (i: Insn): Insn => {
      const key = this.key(i);
      const known = this.lookup(b, key);
      if (known) return known;
      table.set(key, i);
      kept.push(i);
      return i;
    };
    for (const i of b.insns) {
      for (let k = 0; k < i.args.length; k++) i.args[k] = this.final(i.args[k]!);
      if (i.op === "load" || i.op === "store" || i.op === "atomic") foldAddress(i);
      const simpler = this.simplify(i, state, (op, w, x, y) => {
        const folded = foldBin(
          op,
          w,
          x,
          y,
          (o, p, q) => foldBin(o, w, p, q, () => make(o, w, p, q, i.at)) ?? make(o, w, p, q, i.at),
        );
        return folded ?? make(op, w, x, y, i.at);
      });
      if (simpler) {
        this.replace(i, simpler);
        continue;
      }
      if (PURE.has(i.op)) {
        const known = number(i);
        if (known !== i) this.replace(i, known);
        continue;
      }
      if (i.op === "load") {
        const known = this.find(state, i);
        if (known) {
          this.replace(i, known);
          continue;
        }
        state.memory.push({
          address: i.args[0]!,
          off: i.off,
          size: i.size,
          region: i.region,
          value: i,
          core: i.core,
        });
      } else this.effect(state, i);
      kept.push(i);
    }
    b.insns = kept;
    this.terminator(b, state);
    this.out.set(b, state);
  }

  private replace(i: Insn, by: Insn): void {
    this.replaced.set(i, by);
    this.changed = true;
  }

  /** Two phis of one block with the same operands are one. */
  private samePhis(b: Block, table: Map<string, Insn>): void {
    b.phis = b.phis.filter((p) => {
      const key = `phi ${p.args.map((a) => this.id(a)).join(",")}`;
      const known = table.get(key);
      if (known) {
        this.replace(p, known);
        return false;
      }
      table.set(key, p);
      return true;
    });
  }

  private id(v: Insn): string {
    if (v.op !== "const") return String(v.id);
    let n = this.constants.get(v.value);
    if (n === undefined) this.constants.set(v.value, (n = this.constants.size));
    return `c${n}`;
  }

  private typeId(t: CoreSite["type"]): number {
    let n = this.types.get(t);
    if (n === undefined) this.types.set(t, (n = this.types.size));
    return n;
  }

  private key(i: Insn): string {
    const args = i.args.map((a) => this.id(a));
    switch (i.op) {
      case "add":
      case "mul":
      case "and":
      case "or":
      case "xor":
        return `${i.op}${i.w} ${args.sort().join(",")}`;
      case "bswap":
        return `bswap${i.bits} ${args}`;
      case "sext":
        return `sext${i.bits}.${i.w} ${args}`;
      case "cmp":
        return `${i.cmp}.${i.w} ${args}`;
      case "frame":
        return `frame ${i.slot.id}`;
      case "map":
        return `map ${i.name}`;
      case "data":
        return `data ${i.object.id}`;
      case "param":
        return `param ${i.index}`;
      case "func":
        return `func ${i.callee.id}`;
      case "core":
        return `core ${this.typeId(i.core.type)} ${i.core.kind} ${i.core.access}`;
      default:
        return `${i.op}${"w" in i ? i.w : ""} ${args}`;
    }
  }

  /** A simpler value for the instruction, given what is known of its operands. */
  private simplify(i: Insn, state: State, make: (op: BinOp, w: 32 | 64, x: Insn, y: Insn) => Insn): Insn | undefined {
    switch (i.op) {
      case "add":
      case "sub":
      case "mul":
      case "div":
      case "mod":
      case "sdiv":
      case "smod":
      case "and":
      case "or":
      case "xor":
      case "shl":
      case "shr":
      case "sar": {
        if (i.w === 32) for (const [k, a] of i.args.entries()) if (a.op === "zext32") i.args[k] = a.args[0]!;
        const [x, y] = i.args as [Insn, Insn];
        if (x.op === "const" && y.op !== "const" && ["add", "mul", "and", "or", "xor"].includes(i.op)) {
          i.args = [y, x];
        }
        return foldBin(i.op, i.w, i.args[0]!, i.args[1]!, (o, p, q) => make(o, i.w, p, q));
      }
      case "zext32": {
        const [x] = i.args as [Insn];
        if (x.op === "const") return constant(x.value & 0xffff_ffffn);
        return upperBound(x) <= 0xffff_ffffn ? x : undefined;
      }
      case "bswap": {
        const [x] = i.args as [Insn];
        if (x.op === "bswap" && x.bits === i.bits && upperBound(x.args[0]!) < 1n << BigInt(i.bits)) return x.args[0]!;
        return undefined;
      }
      case "cmp": {
        const c = this.canonical(i.cmp, i.w, i.args[0]!, i.args[1]!);
        const known = this.decide(state, c);
        return known === undefined ? undefined : constant(known ? 1n : 0n);
      }
      default:
        return undefined;
    }
  }

  // ---- conditions ----

  /** The comparison in a form that equal ones share: constants right, swapped bytes compared as they lie. */
  private canonical(cmp: Cmp, w: 32 | 64, x: Insn, y: Insn): Condition {
    let [a, b, c] = [x, y, cmp];
    if (a.op === "const" && b.op !== "const") [a, b, c] = [b, a, swapCmp(c)];
    if (w === 32) {
      if (a.op === "zext32") a = a.args[0]!;
      if (b.op === "zext32") b = b.args[0]!;
    }
    if ((c === "eq" || c === "ne") && a.op === "bswap" && a.bits <= w) {
      const bits = BigInt(a.bits);
      const inner = a.args[0]!;
      if (upperBound(inner) < 1n << bits) {
        if (b.op === "const" && b.value < 1n << bits) {
          let swapped = 0n;
          for (let n = 0n; n < bits; n += 8n) swapped = (swapped << 8n) | ((b.value >> n) & 0xffn);
          return { cmp: c, w, a: inner, b: constant(swapped) };
        }
        if (b.op === "bswap" && b.bits === a.bits && upperBound(b.args[0]!) < 1n << bits) {
          return { cmp: c, w, a: inner, b: b.args[0]! };
        }
      }
    }
    // Whether a comparison came out true is the comparison.
    if ((c === "ne" || c === "eq") && a.op === "cmp" && b.op === "const" && b.value === 0n) {
      const inner = c === "ne" ? a.cmp : negateCmp(a.cmp);
      if (inner) return this.canonical(inner, a.w, a.args[0]!, a.args[1]!);
    }
    // A difference is 0 when both sides are the same.
    if ((c === "ne" || c === "eq") && b.op === "const" && b.value === 0n && a.op === "xor" && a.w >= w) {
      return this.canonical(c, w, a.args[0]!, a.args[1]!);
    }
    return { cmp: c, w, a, b };
  }

  private conditionKey(c: Condition): string {
    return `${c.cmp}.${c.w} ${this.id(c.a)},${this.id(c.b)}`;
  }

  private decide(state: State, c: Condition): boolean | undefined {
    const plain = foldCmp(c.cmp, c.w, c.a, c.b);
    if (plain !== undefined) return plain;
    if (c.w === 64 && c.b.op === "const" && c.b.value === 0n && isPointer(c.a)) {
      if (c.cmp === "eq" || c.cmp === "ne") return c.cmp === "ne";
    }
    const known = state.conditions.get(this.conditionKey(c));
    if (known !== undefined) return known;
    if (c.b.op === "const") {
      const most = state.most.get(c.a);
      const y = c.b.value;
      if (most !== undefined && upperBound(c.a) <= (c.w === 32 ? 0xffff_ffffn : 0xffff_ffff_ffff_ffffn)) {
        if (c.cmp === "lt" && most < y) return true;
        if (c.cmp === "ge" && most < y) return false;
        if (c.cmp === "le" && most <= y) return true;
        if (c.cmp === "gt" && most <= y) return false;
        if (c.cmp === "eq" && most < y) return false;
        if (c.cmp === "ne" && most < y) return true;
      }
    }
    const bound = boundOf(c);
    if (bound) {
      for (const f of state.bounds) {
        if (f.base !== bound.base || f.end !== bound.end) continue;
        if (f.inside && bound.k <= f.k) return false;
        if (!f.inside && bound.k >= f.k) return true;
      }
    }
    return undefined;
  }

  private learn(state: State, c: Condition, truth: boolean): void {
    state.conditions.set(this.conditionKey(c), truth);
    const opposite = negateCmp(c.cmp);
    if (opposite) state.conditions.set(this.conditionKey({ ...c, cmp: opposite }), !truth);
    const bound = boundOf(c);
    if (bound) state.bounds.push({ ...bound, inside: !truth });
    const cmp = truth ? c.cmp : opposite;
    if (cmp && c.b.op === "const" && upperBound(c.a) <= (c.w === 32 ? 0xffff_ffffn : 0xffff_ffff_ffff_ffffn)) {
      const y = c.b.value;
      const most = cmp === "lt" ? y - 1n : cmp === "le" || cmp === "eq" ? y : undefined;
      const old = state.most.get(c.a);
      if (most !== undefined && (old === undefined || most < old)) state.most.set(c.a, most);
    }
  }

  private terminator(b: Block, state: State): void {
    const t = b.term;
    if (t?.kind === "ret") t.value = this.final(t.value);
    if (t?.kind !== "br") return;
    const c = this.canonical(t.cmp, t.w, this.final(t.a), this.final(t.b));
    const known = this.decide(state, c);
    if (known !== undefined) {
      const [to, other] = known ? [t.yes, t.no] : [t.no, t.yes];
      b.term = { kind: "jump", to };
      if (to !== other) removePred(other, b);
      this.changed = true;
      return;
    }
    b.term = { ...t, ...c };
  }

  // ---- memory ----

  private entryState(b: Block): State {
    const empty: State = { memory: [], conditions: new Map(), bounds: [], most: new Map() };
    const dom = this.idom.get(b)!;
    if (dom === b) return empty;
    const from = this.out.get(dom);
    if (!from) return empty;
    const single = b.preds.length === 1 && b.preds[0] === dom;
    const state: State = {
      memory: [...from.memory],
      conditions: new Map(from.conditions),
      bounds: [...from.bounds],
      most: new Map(from.most),
    };
    if (single) {
      const t = dom.term;
      if (t?.kind === "br" && t.yes !== t.no) this.learn(state, { cmp: t.cmp, w: t.w, a: t.a, b: t.b }, t.yes === b);
      return state;
    }
    for (const x of this.between(dom, b))
      for (const i of x.insns) if (i.op !== "load" && !PURE.has(i.op)) this.effect(state, i, true);
    return state;
  }

  /** Blocks on a way from `dom` to `b`, without `dom`; with `b` itself when it is in a loop. */
  private between(dom: Block, b: Block): Set<Block> {
    const seen = new Set<Block>();
    const work = [...b.preds];
    while (work.length) {
      const x = work.pop()!;
      if (x === dom || seen.has(x)) continue;
      seen.add(x);
      work.push(...x.preds);
    }
    return seen;
  }

  private find(state: State, i: Insn & { op: "load" }): Insn | undefined {
    for (let k = state.memory.length - 1; k >= 0; k--) {
      const m = state.memory[k]!;
      if (m.address === i.args[0] && m.off === i.off && m.size === i.size && sameSite(m.core, i.core))
        return this.final(m.value);
    }
    return undefined;
  }

  /** What an instruction with an effect leaves of the known memory. `only`: forget, learn nothing. */
  private effect(state: State, i: Insn, only = false): void {
    const forget = (hit: (m: Known) => boolean) => {
      for (let k = state.memory.length - 1; k >= 0; k--) if (hit(state.memory[k]!)) state.memory.splice(k, 1);
    };
    if (i.op === "store" || i.op === "atomic") {
      const address = this.final(i.args[0]!);
      forget((m) => mayAlias(m, { address, off: i.off, size: i.size, region: i.region }));
      if (i.op === "store" && !only) {
        const value = i.args[1]!;
        const bits = BigInt(i.size * 8);
        const whole = value.op === "const" ? constant(value.value & ((1n << bits) - 1n)) : value;
        if (whole.op === "const" || i.size === 8 || upperBound(whole) < 1n << bits) {
          state.memory.push({ address, off: i.off, size: i.size, region: i.region, value: whole });
        }
      }
    } else if (i.op === "call") {
      const { packet, context, map, writes, pure } = i.effects;
      if (!pure) forget((m) => m.region.kind === "kernel" || m.region.kind === "btf");
      if (packet) forget((m) => m.region.kind === "packet" || m.region.kind === "ctx");
      if (context) forget((m) => m.region.kind === "packet" || (m.region.kind === "ctx" && !m.region.pointer));
      if (map)
        forget((m) => m.region.kind === "any" || (m.region.kind === "map" && (map === true || m.region.name === map)));
      if (writes?.length) forget((m) => m.region.kind !== "ctx");
    }
  }
}

/** A constant part of the address goes into the offset. */
function foldAddress(i: Insn & { op: "load" | "store" | "atomic" }): void {
  // The number in the instruction is the one that the kernel's is put in place of.
  if (i.op === "load" && i.core) return;
  for (let a = i.args[0]!; a.op === "add" && a.w === 64 && a.args[1]!.op === "const"; a = i.args[0]!) {
    const off = i.off + Number(BigInt.asIntN(64, (a.args[1] as Insn & { op: "const" }).value));
    if (off < -0x8000 || off > 0x7fff) return;
    i.off = off;
    i.args[0] = a.args[0]!;
  }
}

interface Condition {
  readonly cmp: Cmp;
  readonly w: 32 | 64;
  readonly a: Insn;
  readonly b: Insn;
}

/** The check `base + k > end`. */
function boundOf(c: Condition): { base: Insn; end: Insn; k: bigint } | undefined {
  if (c.cmp !== "gt" || c.w !== 64) return undefined;
  const { a, b } = c;
  if (b.op !== "load" || b.region.kind !== "ctx") return undefined;
  if (a.op === "add" && a.w === 64 && a.args[1]!.op === "const") {
    const k = (a.args[1] as Insn & { op: "const" }).value;
    return k < 1n << 20n ? { base: a.args[0]!, end: b, k } : undefined;
  }
  return { base: a, end: b, k: 0n };
}

function mayAlias(a: Omit<Known, "value">, b: Omit<Known, "value">): boolean {
  const ra = a.region;
  const rb = b.region;
  if (ra.kind !== rb.kind) {
    if (ra.kind !== "any" && rb.kind !== "any") return false;
    // The context is never reached through an unknown pointer.
    return ra.kind !== "ctx" && rb.kind !== "ctx";
  }
  if (ra.kind === "stack" && ra.slot !== (rb as typeof ra).slot) return false;
  if (ra.kind === "map" && ra.name !== (rb as typeof ra).name) return false;
  if (a.address.op === "data" && b.address.op === "data" && a.address.object !== b.address.object) return false;
  if (a.address === b.address || (a.address.op === "frame" && b.address.op === "frame")) {
    return a.off < b.off + b.size && b.off < a.off + a.size;
  }
  return true;
}
