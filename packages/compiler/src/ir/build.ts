/**
 * Makes SSA while the program is lowered, after Braun et al., "Simple and Efficient Construction of Static Single
 * Assignment Form" (2013): variables are looked up through the predecessors, phis appear where they differ.
 * Operations are folded as they are made.
 */
import { evalBin, evalBswap, evalCmp, maskOf, swapCmp, upperBound, verifiedBound } from "./fold.ts";
import type {
  AsmBlock,
  BinOp,
  Block,
  CallEffects,
  Callee,
  Cmp,
  CoreSite,
  DataObject,
  Fn,
  Insn,
  Region,
  Slot,
  Width,
} from "./ir.ts";

const NO_HELPER = -1;
const COMMUTES = new Set<BinOp>(["add", "mul", "and", "or", "xor"]);

type Draft<I> = I extends Insn ? Omit<I, "id" | "at" | "block" | "args"> : never;

/** Constants are shared by all functions: they live in no block. */
export function constant(value: bigint, at = 0): Insn {
  return { op: "const", value: BigInt.asUintN(64, value), id: -1, at, block: undefined, args: [] };
}

export class Builder {
  readonly fn: Fn;
  block: Block;
  /** Source place of what is made next. */
  at = 0;
  private nextBlock = 0;
  private nextVar = 0;
  private nextSlot = 0;
  private readonly sealed = new Set<Block>();
  private readonly defs = new Map<Block, Map<number, Insn>>();
  private readonly incomplete = new Map<Block, Map<number, Insn>>();
  /** Phis that turned out to be one value, and that value. */
  private readonly replaced = new Map<Insn, Insn>();
  private readonly phiUsers = new Map<Insn, Set<Insn>>();

  constructor(name: string) {
    const entry = this.newBlock();
    this.fn = { name, entry, nextId: 0 };
    this.block = entry;
    this.seal(entry);
  }

  newBlock(): Block {
    return { id: this.nextBlock++, phis: [], insns: [], term: undefined, preds: [] };
  }

  /** True when control can come here: code is still lowered where it cannot, for its complaints, then dropped. */
  live(): boolean {
    return this.block === this.fn?.entry || this.block.preds.length > 0;
  }

  // ---- variables ----

  newVar(): number {
    return this.nextVar++;
  }

  write(variable: number, value: Insn, block = this.block): void {
    let defs = this.defs.get(block);
    if (!defs) this.defs.set(block, (defs = new Map()));
    defs.set(variable, value);
  }

  read(variable: number, block = this.block): Insn {
    const here = this.defs.get(block)?.get(variable);
    if (here) return this.resolve(here);
    let value: Insn;
    if (!this.sealed.has(block)) {
      value = this.phi(block);
      let open = this.incomplete.get(block);
      if (!open) this.incomplete.set(block, (open = new Map()));
      open.set(variable, value);
    } else if (block.preds.length === 0) value = constant(0n);
    else if (block.preds.length === 1) value = this.read(variable, block.preds[0]!);
    else {
      value = this.phi(block);
      this.write(variable, value, block);
      value = this.fillPhi(variable, value);
    }
    this.write(variable, value, block);
    return value;
  }

  /** No more predecessors will come. */
  seal(block: Block): void {
    this.sealed.add(block);
    for (const [variable, phi] of this.incomplete.get(block) ?? []) this.fillPhi(variable, phi);
    this.incomplete.delete(block);
  }

  /** What a value became when a phi was found trivial. */
  resolve(v: Insn): Insn {
    let r = v;
    for (let next = this.replaced.get(r); next; next = this.replaced.get(r)) r = next;
    return r;
  }

  private phi(block: Block): Insn {
    const phi = this.make({ op: "phi" }, [], block);
    block.phis.push(phi);
    return phi;
  }

  private fillPhi(variable: number, phi: Insn): Insn {
    for (const p of phi.block!.preds) {
      const v = this.read(variable, p);
      phi.args.push(v);
      this.uses(v, phi);
    }
    return this.simplifyPhi(phi);
  }

  private uses(v: Insn, phi: Insn): void {
    if (v.op !== "phi") return;
    let users = this.phiUsers.get(v);
    if (!users) this.phiUsers.set(v, (users = new Set()));
    users.add(phi);
  }

  private simplifyPhi(phi: Insn): Insn {
    let same: Insn | undefined;
    for (const raw of phi.args) {
      const a = this.resolve(raw);
      if (a === phi || a === same) continue;
      if (same && same.op === "const" && a.op === "const" && same.value === a.value) continue;
      if (same) return phi;
      same = a;
    }
    const value = same ?? constant(0n);
    this.replaced.set(phi, value);
    const phis = phi.block?.phis;
    if (phis) phis.splice(phis.indexOf(phi), 1);
    const users = this.phiUsers.get(phi);
    this.phiUsers.delete(phi);
    for (const user of users ?? []) {
      if (user === phi || this.replaced.has(user)) continue;
      this.uses(value, user);
      // A phi whose operands are not all there yet is looked at when they are.
      if (user.args.length === user.block!.preds.length) this.simplifyPhi(user);
    }
    return this.resolve(value);
  }

  /** A phi of values that arrive over the predecessors, in their order. The block must be sealed and still empty. */
  join(block: Block, values: readonly Insn[]): Insn {
    const first = this.resolve(values[0] ?? constant(0n));
    if (values.every((v) => same(this.resolve(v), first))) return first;
    const phi = this.phi(block);
    phi.args = values.map((v) => this.resolve(v));
    for (const v of phi.args) this.uses(v, phi);
    return phi;
  }

  // ---- control ----

  jump(to: Block): void {
    if (this.block.term || !this.live()) return;
    this.block.term = { kind: "jump", to };
    to.preds.push(this.block);
  }

  branch(cmp: Cmp, w: Width, a: Insn, b: Insn, yes: Block, no: Block): void {
    const known = foldCmp(cmp, w, a, b);
    if (known !== undefined) {
      this.jump(known ? yes : no);
      return;
    }
    if (this.block.term || !this.live()) return;
    this.block.term = { kind: "br", cmp, w, a, b, yes, no, at: this.at };
    yes.preds.push(this.block);
    no.preds.push(this.block);
  }

  /** Branches on a boolean value. */
  branchOn(v: Insn, yes: Block, no: Block): void {
    if (v.op === "cmp") this.branch(v.cmp, v.w, v.args[0]!, v.args[1]!, yes, no);
    else this.branch("ne", 32, v, constant(0n), yes, no);
  }

  ret(value: Insn): void {
    if (!this.block.term && this.live()) this.block.term = { kind: "ret", value, at: this.at };
  }

  // ---- operations ----

  private make(draft: Draft<Insn>, args: Insn[], block: Block | undefined = this.block): Insn {
    return { ...draft, id: this.fn ? this.fn.nextId++ : 0, at: this.at, block, args } as Insn;
  }

  private emit(draft: Draft<Insn>, args: Insn[]): Insn {
    const insn = this.make(draft, args);
    this.block.insns.push(insn);
    return insn;
  }

  ctx(): Insn {
    return this.emit({ op: "ctx" }, []);
  }

  bin(op: BinOp, w: Width, a: Insn, b: Insn): Insn {
    if (COMMUTES.has(op) && a.op === "const" && b.op !== "const") return this.bin(op, w, b, a);
    return foldBin(op, w, a, b, (o, x, y) => this.bin(o, w, x, y)) ?? this.emit({ op, w }, [a, b]);
  }

  neg(w: Width, a: Insn): Insn {
    if (a.op === "const") return constant(-a.value & maskOf(w));
    return this.emit({ op: "neg", w }, [a]);
  }

  bswap(bits: 16 | 32 | 64, a: Insn): Insn {
    if (a.op === "const") return constant(evalBswap(bits, a.value));
    if (a.op === "bswap" && a.bits === bits && upperBound(a.args[0]!) < 1n << BigInt(bits)) return a.args[0]!;
    return this.emit({ op: "bswap", bits }, [a]);
  }

  sext(bits: 8 | 16 | 32, w: Width, a: Insn): Insn {
    if (a.op === "const") return constant(BigInt.asIntN(bits, a.value) & maskOf(w));
    if (upperBound(a) < 1n << BigInt(bits - 1)) return a;
    return this.emit({ op: "sext", bits, w }, [a]);
  }

  /** The low `bits`, the rest zero. */
  zext(bits: 8 | 16 | 32, a: Insn): Insn {
    const mask = (1n << BigInt(bits)) - 1n;
    if (a.op === "const") return constant(a.value & mask);
    if ((bits === 32 ? upperBound(a) : verifiedBound(a)) <= mask) return a;
    if (bits === 32) return this.emit({ op: "zext32" }, [a]);
    return this.bin("and", 32, a, constant(mask));
  }

  cmp(cmp: Cmp, w: Width, a: Insn, b: Insn): Insn {
    const known = foldCmp(cmp, w, a, b);
    if (known !== undefined) return constant(known ? 1n : 0n);
    if (a.op === "const") return this.emit({ op: "cmp", cmp: swapCmp(cmp), w }, [b, a]);
    return this.emit({ op: "cmp", cmp, w }, [a, b]);
  }

  /** Whether an address is null. */
  nullTest(cmp: "eq" | "ne", address: Insn): Insn {
    if (address.op === "const") return this.cmp(cmp, 64, address, constant(0n));
    return this.emit({ op: "cmp", cmp, w: 64, address: true }, [address, constant(0n)]);
  }

  load(size: 1 | 2 | 4 | 8, address: Insn, off: number, region: Region, core?: CoreSite): Insn {
    return this.emit({ op: "load", size, off, region, ...(core && { core }) }, [address]);
  }

  /** A number that the kernel has and that is put in at load. */
  core(core: CoreSite): Insn {
    return this.emit({ op: "core", core }, []);
  }

  store(size: 1 | 2 | 4 | 8, address: Insn, value: Insn, off: number, region: Region): void {
    this.emit({ op: "store", size, off, region }, [address, value]);
  }

  atomic(size: 4 | 8, code: number, address: Insn, value: Insn, off: number, region: Region): void {
    this.emit({ op: "atomic", size, off, region, code }, [address, value]);
  }

  slot(name: string, size: number, align: number, alone = false): Slot {
    return { id: this.nextSlot++, name, size, align, at: this.at, ...(alone && { alone }) };
  }

  frame(slot: Slot): Insn {
    return this.emit({ op: "frame", slot }, []);
  }

  data(object: DataObject): Insn {
    return this.emit({ op: "data", object }, []);
  }

  map(name: string): Insn {
    return this.emit({ op: "map", name }, []);
  }

  param(index: number, most: bigint): Insn {
    return this.emit({ op: "param", index, most }, []);
  }

  func(callee: Callee): Insn {
    return this.emit({ op: "func", callee }, []);
  }

  call(helper: number, args: Insn[], effects: CallEffects): Insn {
    return this.emit({ op: "call", helper, effects }, args);
  }

  /** A call of a function that is defined elsewhere. */
  callExternal(external: string, args: Insn[], effects: CallEffects): Insn {
    return this.emit({ op: "call", helper: NO_HELPER, effects, external }, args);
  }

  asm(asm: AsmBlock, args: Insn[], effects: CallEffects): Insn {
    return this.emit({ op: "call", helper: NO_HELPER, effects, asm }, args);
  }

  /** A call of a function of the program. */
  callFunction(callee: Callee, args: Insn[], effects: CallEffects, most: bigint): Insn {
    return this.emit({ op: "call", helper: NO_HELPER, effects, callee, most }, args);
  }
}

export function same(a: Insn, b: Insn): boolean {
  return a === b || (a.op === "const" && b.op === "const" && a.value === b.value);
}

/** The comparison's outcome when it is known. */
export function foldCmp(cmp: Cmp, w: Width, a: Insn, b: Insn): boolean | undefined {
  if (a.op === "const" && b.op === "const") return evalCmp(cmp, w, a.value, b.value);
  if (a === b) {
    if (cmp === "set") return undefined;
    return cmp === "eq" || cmp === "ge" || cmp === "le" || cmp === "sge" || cmp === "sle";
  }
  if (b.op === "const") {
    const y = b.value & maskOf(w);
    const x = verifiedBound(a);
    const fits = x <= maskOf(w);
    if (cmp === "lt" && y === 0n) return false;
    if (cmp === "ge" && y === 0n) return true;
    if (fits && cmp === "gt" && x <= y) return false;
    if (fits && cmp === "le" && x <= y) return true;
    if (fits && cmp === "lt" && x < y) return true;
    if (fits && cmp === "ge" && x < y) return false;
    if (fits && cmp === "eq" && x < y) return false;
    if (fits && cmp === "ne" && x < y) return true;
    if (cmp === "set" && y === 0n) return false;
  }
  return undefined;
}

/** What the operation comes to without being made; `again` makes another operation of the same width. */
export function foldBin(
  op: BinOp,
  w: Width,
  a: Insn,
  b: Insn,
  again: (op: BinOp, a: Insn, b: Insn) => Insn,
): Insn | undefined {
  const mask = maskOf(w);
  if (a.op === "const" && b.op === "const") return constant(evalBin(op, w, a.value, b.value));
  // Width 32 clears the high half: an operand stands for the result only when its own high half is clear.
  const clean = (v: Insn) => w === 64 || upperBound(v) <= mask;
  // The machine takes counts modulo the width; as an immediate only those below it.
  if ((op === "shl" || op === "shr" || op === "sar") && b.op === "const" && b.value >= BigInt(w)) {
    return again(op, a, constant(b.value & BigInt(w - 1)));
  }
  if (b.op === "const") {
    const y = b.value & mask;
    if (y === 0n) {
      if (op === "add" || op === "sub" || op === "or" || op === "xor" || op === "shl" || op === "shr" || op === "sar") {
        if (clean(a)) return a;
      }
      if (op === "mul" || op === "and" || op === "div" || op === "sdiv") return constant(0n);
      // The left side stays, as the machine has it; a verifier refuses the operation itself.
      if (op === "mod" || op === "smod") return clean(a) ? a : again("and", a, constant(mask));
    }
    if (y === 1n && (op === "mul" || op === "div" || op === "sdiv") && clean(a)) return a;
    if (y === 1n && op === "mod") return constant(0n);
    if (op === "and") {
      const x = verifiedBound(a);
      // Every bit that can be set is kept.
      if (clean(a) && (y & (y + 1n)) === 0n && x <= y) return a;
      if (a.op === "and" && a.w === w && a.args[1]!.op === "const") {
        return again("and", a.args[0]!, constant(a.args[1]!.value & y));
      }
    }
    if (op === "sub" && w === 64) return again("add", a, constant(-y & mask));
    if (op === "sub" && w === 32) return again("add", a, constant(-y & mask));
    if (op === "add" && a.op === "add" && a.w === w && a.args[1]!.op === "const") {
      return again("add", a.args[0]!, constant((a.args[1]!.value + y) & mask));
    }
    if (y !== 0n && (y & (y - 1n)) === 0n) {
      const log = constant(BigInt(y.toString(2).length - 1));
      if (op === "mul") return again("shl", a, log);
      if (op === "div") return again("shr", a, log);
      if (op === "mod") return again("and", a, constant(y - 1n));
    }
    if ((op === "shl" || op === "shr") && a.op === op && a.w === w && a.args[1]!.op === "const") {
      const total = (a.args[1]!.value & BigInt(w - 1)) + (y & BigInt(w - 1));
      return total < BigInt(w) ? again(op, a.args[0]!, constant(total)) : constant(0n);
    }
  }
  // Nothing, however it is shifted: the verifier knows a result only where it knows the count.
  if (a.op === "const" && (a.value & mask) === 0n && (op === "shl" || op === "shr" || op === "sar"))
    return constant(0n);
  if (a === b) {
    if (op === "sub" || op === "xor") return constant(0n);
    if ((op === "and" || op === "or") && clean(a)) return a;
  }
  return undefined;
}
