/**
 * Instruction selection: from the intermediate form to the machine form, and out of SSA. Constants become immediates
 * where they fit; addresses fold their constant part into the offset; phis become copies on the edges.
 */
import {
  BPF_ADD,
  BPF_ALU,
  BPF_ALU64,
  BPF_AND,
  BPF_ARSH,
  BPF_ATOMIC,
  BPF_B,
  BPF_DIV,
  BPF_DW,
  BPF_END,
  BPF_H,
  BPF_JEQ,
  BPF_JGE,
  BPF_JGT,
  BPF_JLE,
  BPF_JLT,
  BPF_JMP,
  BPF_JMP32,
  BPF_JNE,
  BPF_JSET,
  BPF_JSGE,
  BPF_JSGT,
  BPF_JSLE,
  BPF_JSLT,
  BPF_LDX,
  BPF_LSH,
  BPF_MEM,
  BPF_MOD,
  BPF_MOV,
  BPF_MUL,
  BPF_NEG,
  BPF_OR,
  BPF_PSEUDO_CALL,
  BPF_PSEUDO_FUNC,
  BPF_PSEUDO_KFUNC_CALL,
  BPF_PSEUDO_MAP_FD,
  BPF_PSEUDO_MAP_VALUE,
  BPF_RSH,
  BPF_ST,
  BPF_STX,
  BPF_SUB,
  BPF_TO_BE,
  BPF_W,
  BPF_X,
  BPF_XOR,
  lddwImms,
  OP_CALL,
  OP_EXIT,
  OP_LDDW,
} from "@ebplane/core/isa";
import {
  type BinOp,
  type Block,
  type Cmp,
  type Fn,
  type Insn,
  isOpaque,
  mayPointToStack,
  reversePostorder,
  type Slot,
  successors,
  upperBound,
} from "../ir/index.ts";
import { ASM, FIRST_VIRTUAL, LEA, type MBlock, type MInsn, MOV32_IMM, MOV64_IMM, MOV64_REG, minsn } from "./machine.ts";

const ALU: Record<BinOp, number> = {
  add: BPF_ADD,
  sub: BPF_SUB,
  mul: BPF_MUL,
  div: BPF_DIV,
  mod: BPF_MOD,
  sdiv: BPF_DIV,
  smod: BPF_MOD,
  and: BPF_AND,
  or: BPF_OR,
  xor: BPF_XOR,
  shl: BPF_LSH,
  shr: BPF_RSH,
  sar: BPF_ARSH,
};
const COMMUTES = new Set<BinOp>(["add", "mul", "and", "or", "xor"]);
const JUMP: Record<Cmp, number> = {
  eq: BPF_JEQ,
  ne: BPF_JNE,
  gt: BPF_JGT,
  ge: BPF_JGE,
  lt: BPF_JLT,
  le: BPF_JLE,
  sgt: BPF_JSGT,
  sge: BPF_JSGE,
  slt: BPF_JSLT,
  sle: BPF_JSLE,
  set: BPF_JSET,
};
const SIZE = { 1: BPF_B, 2: BPF_H, 4: BPF_W, 8: BPF_DW } as const;

export interface Machine {
  readonly blocks: MBlock[];
  /** One more than the highest register. */
  registers: number;
  /** Stack objects whose address lives on in a register. */
  readonly pinned: ReadonlySet<Slot>;
}

/** Loop depth by block: how many natural loops hold it. */
function loopDepths(rpo: readonly Block[]): Map<Block, number> {
  const index = new Map(rpo.map((b, i) => [b, i]));
  const depth = new Map<Block, number>(rpo.map((b) => [b, 0]));
  for (const b of rpo) {
    for (const head of successors(b)) {
      if (index.get(head)! > index.get(b)!) continue;
      const body = new Set<Block>([head]);
      const work = [b];
      while (work.length) {
        const x = work.pop()!;
        if (body.has(x)) continue;
        body.add(x);
        work.push(...x.preds);
      }
      for (const x of body) depth.set(x, depth.get(x)! + 1);
    }
  }
  return depth;
}

/** `contextConstants`: a constant is stored to the context by one instruction. */
export function select(fn: Fn, contextConstants: boolean): Machine {
  const rpo = reversePostorder(fn);
  const depths = loopDepths(rpo);
  const blocks = new Map<Block, MBlock>(
    rpo.map((b) => [b, { id: b.id, insns: [], next: undefined, depth: depths.get(b)! }]),
  );
  const s = new Selector(rpo, blocks, contextConstants);
  for (const b of rpo) s.block(b);
  return { blocks: rpo.map((b) => blocks.get(b)!), registers: s.nextReg, pinned: s.pinned };
}

class Selector {
  nextReg = FIRST_VIRTUAL;
  readonly pinned = new Set<Slot>();
  private readonly blocks: ReadonlyMap<Block, MBlock>;
  private readonly regs = new Map<Insn, number>();
  private readonly lastUse = new Map<Insn, Block | undefined>();
  private out: MInsn[] = [];

  private readonly contextConstants: boolean;

  constructor(rpo: readonly Block[], blocks: ReadonlyMap<Block, MBlock>, contextConstants: boolean) {
    this.blocks = blocks;
    this.contextConstants = contextConstants;
    // Values used in one block only, to choose which side of a commutative operation to overwrite.
    const note = (v: Insn, b: Block) =>
      this.lastUse.set(v, this.lastUse.has(v) && this.lastUse.get(v) !== b ? undefined : b);
    for (const b of rpo) {
      for (const i of b.insns) for (const a of i.args) note(a, b);
      for (const p of b.phis) for (const [k, a] of p.args.entries()) note(a, b.preds[k]!);
    }
  }

  fresh(): number {
    return this.nextReg++;
  }

  reg(v: Insn): number {
    const home = v.home ?? v;
    let r = this.regs.get(home);
    if (r === undefined) this.regs.set(home, (r = this.fresh()));
    return r;
  }

  emit(opcode: number, at: number, fields: Partial<Omit<MInsn, "opcode" | "at">> = {}): void {
    this.out.push(minsn(opcode, at, fields));
  }

  /** A register that holds the operand. */
  use(v: Insn, at: number): number {
    if (v.op === "const" || v.op === "core") {
      const r = this.fresh();
      this.into(r, v, at);
      return r;
    }
    if (v.op === "frame") {
      const r = this.fresh();
      this.pinned.add(v.slot);
      this.emit(LEA, at, { dst: r, slot: v.slot });
      return r;
    }
    return this.reg(v);
  }

  constantInto(r: number, value: bigint, at: number): void {
    const signed = BigInt.asIntN(64, value);
    if (signed >= -0x8000_0000n && signed <= 0x7fff_ffffn) this.emit(MOV64_IMM, at, { dst: r, imm: Number(signed) });
    else if (value <= 0xffff_ffffn) this.emit(MOV32_IMM, at, { dst: r, imm: Number(BigInt.asIntN(32, value)) });
    else this.emit(OP_LDDW, at, { dst: r, ...lddwImms(value) });
  }

  /** Brings the value into a given register. */
  into(r: number, v: Insn, at: number): void {
    if (v.op === "const") this.constantInto(r, v.value, at);
    else if (v.op === "core") this.emit(MOV64_IMM, at, { dst: r, imm: v.core.local, core: v.core });
    else if (v.op === "frame") {
      // An argument of a call is gone after it.
      if (r < 1 || r > 5 || v.slot.alone) this.pinned.add(v.slot);
      this.emit(LEA, at, { dst: r, slot: v.slot });
    } else this.emit(MOV64_REG, at, { dst: r, src: this.reg(v) });
  }

  block(b: Block): void {
    const m = this.blocks.get(b)!;
    this.out = m.insns;
    for (const i of b.insns) this.insn(i, b);
    const t = b.term!;
    if (t.kind === "jump") {
      this.phiCopies(b, t.to);
      m.next = this.blocks.get(t.to)!;
    } else if (t.kind === "ret") {
      this.into(0, t.value, t.at);
      this.emit(OP_EXIT, t.at);
    } else {
      const { a, b: y, cmp } = t;
      const w = showsHighHalf(t) ? 64 : t.w;
      const cls = w === 64 ? BPF_JMP : BPF_JMP32;
      const imm = immediate(y, w);
      const x = this.use(a, t.at);
      const target = this.blocks.get(t.yes)!;
      if (imm !== undefined) this.emit(cls | JUMP[cmp], t.at, { dst: x, imm, target });
      else this.emit(cls | JUMP[cmp] | BPF_X, t.at, { dst: x, src: this.use(y, t.at), target });
      m.next = this.blocks.get(t.no)!;
    }
  }

  insn(i: Insn, b: Block): void {
    const { at } = i;
    switch (i.op) {
      case "ctx":
        this.emit(MOV64_REG, at, { dst: this.reg(i), src: 1 });
        return;
      case "param":
        this.emit(MOV64_REG, at, { dst: this.reg(i), src: i.index + 1 });
        return;
      case "phi":
      case "const":
      case "frame":
      case "map":
      case "func":
      case "core":
        return;
      case "data":
        this.emit(OP_LDDW, at, { dst: this.reg(i), src: BPF_PSEUDO_MAP_VALUE, data: i.object });
        return;
      case "neg":
        this.into(this.reg(i), i.args[0]!, at);
        this.emit((i.w === 64 ? BPF_ALU64 : BPF_ALU) | BPF_NEG, at, { dst: this.reg(i) });
        return;
      case "bswap":
        this.into(this.reg(i), i.args[0]!, at);
        this.emit(BPF_ALU | BPF_END | BPF_TO_BE, at, { dst: this.reg(i), imm: i.bits });
        return;
      case "hold":
        this.into(this.reg(i), i.args[0]!, at);
        return;
      case "zext32":
        this.emit(BPF_ALU | BPF_MOV | BPF_X, at, { dst: this.reg(i), src: this.use(i.args[0]!, at) });
        return;
      case "sext": {
        const r = this.reg(i);
        const cls = i.w === 64 ? BPF_ALU64 : BPF_ALU;
        const imm = i.w - i.bits;
        this.into(r, i.args[0]!, at);
        this.emit(cls | BPF_LSH, at, { dst: r, imm });
        this.emit(cls | BPF_ARSH, at, { dst: r, imm });
        return;
      }
      case "load": {
        const base = this.base(i);
        this.emit(BPF_LDX | BPF_MEM | SIZE[i.size], at, {
          dst: this.reg(i),
          src: base.reg,
          ...base.fields,
          core: i.core,
        });
        return;
      }
      case "store": {
        const base = this.base(i);
        const v = i.args[1]!;
        const whole = i.region.kind !== "ctx" || this.contextConstants;
        const imm = v.op === "const" && whole ? storeImmediate(v.value, i.size) : undefined;
        const where = { dst: base.reg, ...base.fields };
        if (imm !== undefined) {
          this.emit(BPF_ST | BPF_MEM | SIZE[i.size], at, { ...where, imm });
          return;
        }
        this.emit(BPF_STX | BPF_MEM | SIZE[i.size], at, { ...where, src: this.use(v, at) });
        return;
      }
      case "atomic": {
        const base = this.base(i);
        const src = this.use(i.args[1]!, at);
        this.emit(BPF_STX | BPF_ATOMIC | SIZE[i.size], at, { dst: base.reg, src, ...base.fields, imm: i.code });
        return;
      }
      case "call": {
        for (const [k, a] of i.args.entries()) {
          if (a.op === "map" || a.op === "func") continue;
          // A function may give back an address that it was given.
          if (i.callee && a.op === "frame") this.pinned.add(a.slot);
          this.into(k + 1, a, at);
        }
        // Maps and functions last and straight into their register: they need no other.
        for (const [k, a] of i.args.entries()) {
          if (a.op === "map") this.emit(OP_LDDW, at, { dst: k + 1, src: BPF_PSEUDO_MAP_FD, map: a.name });
          if (a.op === "func") this.emit(OP_LDDW, at, { dst: k + 1, src: BPF_PSEUDO_FUNC, callee: a.callee });
        }
        const { callee, external, asm } = i;
        if (asm) {
          this.emit(ASM, at, { asm, args: i.args.length });
          if (asm.gives) this.emit(MOV64_REG, at, { dst: this.reg(i), src: 0 });
          return;
        }
        const what = callee
          ? { src: BPF_PSEUDO_CALL, callee }
          : external
            ? { src: BPF_PSEUDO_KFUNC_CALL, external }
            : { imm: i.helper };
        this.emit(OP_CALL, at, { ...what, args: i.args.length });
        this.emit(MOV64_REG, at, { dst: this.reg(i), src: 0 });
        return;
      }
      case "cmp":
        throw new RangeError("comparisons are expanded before selection");
      default:
        this.binary(i, b);
        return;
    }
  }

  binary(i: Insn & { op: BinOp }, b: Block): void {
    const { at } = i;
    let [x, y] = i.args as [Insn, Insn];
    if (COMMUTES.has(i.op) && x.op === "core") [x, y] = [y, x];
    const movable =
      COMMUTES.has(i.op) &&
      y.op !== "const" &&
      y.op !== "core" &&
      !(i.op === "add" && i.w === 64 && mayPointToStack(x));
    if (movable && this.lastUse.get(x) !== b && this.lastUse.get(y) === b) [x, y] = [y, x];
    const r = this.reg(i);
    const cls = i.w === 64 ? BPF_ALU64 : BPF_ALU;
    const off = i.op === "sdiv" || i.op === "smod" ? 1 : 0;
    // A number of the kernel's is an immediate that is put in later.
    const core = y.op === "core" && COMMUTES.has(i.op) ? y.core : undefined;
    const imm = core ? core.local : immediate(y, i.w);
    // The right side is read before the left one is copied: they may share a register otherwise.
    const src = imm === undefined ? this.use(y, at) : 0;
    this.into(r, x, at);
    if (imm !== undefined) this.emit(cls | ALU[i.op], at, { dst: r, imm, off, core });
    else this.emit(cls | ALU[i.op] | BPF_X, at, { dst: r, src, off });
  }

  base(i: Insn & { op: "load" | "store" | "atomic" }): { reg: number; fields: Pick<MInsn, "off" | "slot" | "memory"> } {
    const [address] = i.args as [Insn];
    const { off } = i;
    if (address.op === "frame") return { reg: 10, fields: { off, slot: address.slot, memory: undefined } };
    const { kind } = i.region;
    const memory = kind === "packet" || kind === "map" || kind === "stack" ? undefined : kind;
    return { reg: this.use(address, i.at), fields: { off, slot: undefined, memory } };
  }

  /** The copies that the phis of `to` want on the edge from `from`, as if all were made at once. */
  phiCopies(from: Block, to: Block): void {
    const k = to.preds.indexOf(from);
    let pending: { dst: number; src: number }[] = [];
    const late: { dst: number; value: Insn }[] = [];
    for (const p of to.phis) {
      const v = p.args[k]!;
      if (v.op === "const" || v.op === "core" || v.op === "frame") late.push({ dst: this.reg(p), value: v });
      else if (this.reg(v) !== this.reg(p)) pending.push({ dst: this.reg(p), src: this.reg(v) });
    }
    const at = from.insns.at(-1)?.at ?? to.phis[0]?.at ?? 0;
    while (pending.length) {
      const ready = pending.find((c) => !pending.some((o) => o.src === c.dst));
      if (ready) {
        this.emit(MOV64_REG, at, { dst: ready.dst, src: ready.src });
        pending = pending.filter((c) => c !== ready);
      } else {
        // A cycle: one of its values steps aside.
        const c = pending[0]!;
        const aside = this.fresh();
        this.emit(MOV64_REG, at, { dst: aside, src: c.src });
        c.src = aside;
      }
    }
    for (const c of late) this.into(c.dst, c.value, at);
  }
}

/**
 * A comparison that says as much of all 64 bits: the verifier takes the high half of some results for unknown, and what
 * is learned of the low half alone then bounds no offset.
 */
function showsHighHalf({ cmp, w, a, b }: { cmp: Cmp; w: 32 | 64; a: Insn; b: Insn }): boolean {
  if (w === 64 || cmp.startsWith("s") || b.op !== "const" || b.value > 0x7fff_ffffn) return false;
  const hidden = isOpaque(a) || (a.op === "phi" && a.args.some(isOpaque));
  return hidden && upperBound(a) <= 0xffff_ffffn;
}

/** The operand as an immediate of the width, when it fits. */
function immediate(v: Insn, w: 32 | 64): number | undefined {
  if (v.op !== "const") return undefined;
  if (w === 32) return Number(BigInt.asIntN(32, v.value));
  const signed = BigInt.asIntN(64, v.value);
  return signed >= -0x8000_0000n && signed <= 0x7fff_ffffn ? Number(signed) : undefined;
}

function storeImmediate(value: bigint, size: 1 | 2 | 4 | 8): number | undefined {
  if (size < 8) return Number(BigInt.asIntN(32, value));
  const signed = BigInt.asIntN(64, value);
  return signed >= -0x8000_0000n && signed <= 0x7fff_ffffn ? Number(signed) : undefined;
}
