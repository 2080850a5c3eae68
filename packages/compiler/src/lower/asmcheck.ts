/**
 * What a block of assembly does, seen from its instructions: which registers it writes, through which operands it
 * stores, and whether it keeps to its own. Addresses of objects that lie beside others (stack, global data) are followed
 * exactly, since the verifier knows only the whole stack and the whole section; all else is the verifier's to judge.
 */
import {
  BPF_ADD,
  BPF_ADDR_SPACE_CAST,
  BPF_ALU,
  BPF_ALU64,
  BPF_ATOMIC,
  BPF_B,
  BPF_CALL,
  BPF_CMPXCHG,
  BPF_END,
  BPF_EXIT,
  BPF_FETCH,
  BPF_H,
  BPF_JA,
  BPF_JCOND,
  BPF_JMP,
  BPF_JMP32,
  BPF_LD,
  BPF_LDX,
  BPF_LOAD_ACQ,
  BPF_MOV,
  BPF_NEG,
  BPF_REG_FP,
  BPF_ST,
  BPF_SUB,
  BPF_W,
  BPF_X,
  CLASS_MASK,
  MODE_MASK,
  OP_LDDW,
  OP_MASK,
  SIZE_MASK,
  slotsOf,
} from "@ebplane/core/isa";
import type { AsmInsn } from "../ir/index.ts";
import { type Context, refuse } from "./context.ts";

/** `object`: memory of so many bytes that has others beside it; `moving`: memory that the verifier bounds. */
export type Operand =
  | { readonly kind: "number" | "moving"; readonly name: string }
  | { readonly kind: "object"; readonly name: string; readonly size: number };

export interface AsmEffects {
  readonly clobbers: readonly number[];
  /** Operands that it stores through, with a place of each. */
  readonly stored: readonly { readonly operand: number; readonly at: number }[];
  /** It stores through an address that is not known to be an operand's. */
  readonly unknown: boolean;
}

/** What a register holds: nothing yet, a number (or what nobody follows), or the address of an operand. */
type Held = undefined | "number" | { readonly operand: number; readonly off: number | undefined };
type State = readonly Held[];

export function checkAsm(
  cx: Context,
  insns: readonly AsmInsn[],
  operands: readonly Operand[],
  gives: boolean,
): AsmEffects {
  const check = new Check(cx, insns, operands);
  const last = insns.at(-1)!;
  const end = check.run(last.pc + slotsOf(last));
  if (!end) return refuse(cx, last.at, "asm: no way leads to the end of the text");
  const unreached = insns.find((i) => !check.states.has(i.pc));
  if (unreached) refuse(cx, unreached.at, "asm: nothing leads here");
  if (gives) {
    if (end[0] === undefined) refuse(cx, last.at, "asm: r0, the result, is not set on every way to the end");
    if (typeof end[0] === "object") refuse(cx, last.at, `asm: r0, the result, is the address of ${check.name(end[0])}`);
  }
  const stored = [...check.stored].map(([operand, at]) => ({ operand, at }));
  return { clobbers: [...check.clobbers].sort((a, b) => a - b), stored, unknown: check.unknown };
}

class Check {
  readonly states = new Map<number, State>();
  readonly clobbers = new Set<number>();
  readonly stored = new Map<number, number>();
  unknown = false;
  private readonly cx: Context;
  private readonly byPc: ReadonlyMap<number, AsmInsn>;
  private readonly operands: readonly Operand[];

  constructor(cx: Context, insns: readonly AsmInsn[], operands: readonly Operand[]) {
    this.cx = cx;
    this.byPc = new Map(insns.map((i) => [i.pc, i]));
    this.operands = operands;
  }

  /** Follows every way through the block; what the registers hold behind it. */
  run(end: number): State | undefined {
    const entry: Held[] = new Array<Held>(BPF_REG_FP).fill(undefined);
    for (const [k, o] of this.operands.entries())
      entry[k + 1] = o.kind === "number" ? "number" : { operand: k, off: 0 };
    this.states.set(0, entry);
    const work = [0];
    while (work.length) {
      const pc = work.pop()!;
      const i = this.byPc.get(pc)!;
      const { state, next } = this.step(i, this.states.get(pc)!);
      for (const to of next) {
        if (to !== end && !this.byPc.has(to)) refuse(this.cx, i.at, "asm: the jump goes to no instruction of the text");
        const old = this.states.get(to);
        const now = old ? state.map((h, r) => join(old[r], h)) : state;
        if (old && now.every((h, r) => sameHeld(h, old[r]))) continue;
        this.states.set(to, now);
        if (to !== end) work.push(to);
      }
    }
    return this.states.get(end);
  }

  name(held: Held): string {
    return typeof held === "object" ? this.operands[held.operand]!.name : "";
  }

  private step(i: AsmInsn, before: State): { state: State; next: number[] } {
    const state = [...before];
    const cls = i.opcode & CLASS_MASK;
    const next = [i.pc + slotsOf(i)];
    if (cls === BPF_ALU || cls === BPF_ALU64) this.set(i, state, i.dst, this.alu(i, state));
    else if (cls === BPF_LD) {
      if (i.opcode !== OP_LDDW || i.src !== 0) refuse(this.cx, i.at, "asm: this instruction has no place in a text");
      this.set(i, state, i.dst, "number");
    } else if (cls === BPF_LDX) {
      this.access(i, state, i.src, false);
      this.set(i, state, i.dst, "number");
    } else if (cls === BPF_JMP || cls === BPF_JMP32) return { state, next: this.jump(i, state, next[0]!) };
    else this.store(i, state, cls);
    return { state, next };
  }

  private set(i: AsmInsn, state: Held[], reg: number, held: Held): void {
    if (reg >= BPF_REG_FP) this.frame(i);
    this.clobbers.add(reg);
    state[reg] = held;
  }

  private frame(i: AsmInsn): never {
    return refuse(this.cx, i.at, "asm: r10 is the program's own: give a struct or an array as an operand");
  }

  private read(i: AsmInsn, state: State, reg: number): Held {
    if (reg >= BPF_REG_FP) this.frame(i);
    const held = state[reg];
    if (held !== undefined) return held;
    const n = this.operands.length;
    const given = n ? `the operands are in r1${n > 1 ? ` to r${n}` : ""}` : "there are no operands";
    return refuse(this.cx, i.at, `asm: r${reg} is not set on every way here: ${given}`);
  }

  /** The object whose address it is, where that must be followed. */
  private object(held: Held): (Operand & { kind: "object" }) | undefined {
    const o = typeof held === "object" ? this.operands[held.operand]! : undefined;
    return o?.kind === "object" ? o : undefined;
  }

  private alu(i: AsmInsn, state: State): Held {
    const op = i.opcode & OP_MASK;
    const wide = (i.opcode & CLASS_MASK) === BPF_ALU64;
    const unary = op === BPF_NEG || op === BPF_END;
    const y = !unary && i.opcode & BPF_X ? this.read(i, state, i.src) : "number";
    if (op === BPF_MOV) {
      if (wide && i.opcode & BPF_X && i.off === BPF_ADDR_SPACE_CAST) {
        refuse(this.cx, i.at, "asm: this instruction has no place in a text");
      }
      if (wide && i.off === 0) return y;
      this.keepsExact(i, y);
      return "number";
    }
    const x = this.read(i, state, i.dst);
    const moves = wide && (op === BPF_ADD || op === BPF_SUB);
    if (moves && !(i.opcode & BPF_X) && typeof x === "object") {
      const by = op === BPF_ADD ? i.imm : -i.imm;
      return { ...x, off: x.off === undefined ? undefined : x.off + by };
    }
    this.keepsExact(i, x);
    this.keepsExact(i, y);
    if (!moves) return "number";
    if (typeof x === "object" && typeof y !== "object") return { ...x, off: undefined };
    return op === BPF_ADD && typeof y === "object" && typeof x !== "object" ? { ...y, off: undefined } : "number";
  }

  private keepsExact(i: AsmInsn, held: Held): void {
    const o = this.object(held);
    if (o) refuse(this.cx, i.at, `asm: the address of ${o.name} can only be copied and moved by a constant`);
  }

  private jump(i: AsmInsn, state: State, behind: number): number[] {
    const op = i.opcode & OP_MASK;
    if (op === BPF_EXIT) refuse(this.cx, i.at, "asm: a return is written in the language: go to the end of the text");
    if (op === BPF_CALL) refuse(this.cx, i.at, "asm: calls are written in the language");
    if (op === BPF_JCOND) refuse(this.cx, i.at, "asm: this instruction has no place in a text");
    const far = op === BPF_JA && (i.opcode & CLASS_MASK) === BPF_JMP32;
    const target = i.pc + 1 + (far ? i.imm : i.off);
    if (op === BPF_JA) return [target];
    this.read(i, state, i.dst);
    if (i.opcode & BPF_X) this.read(i, state, i.src);
    return [behind, target];
  }

  private store(i: AsmInsn, state: Held[], cls: number): void {
    const atomic = cls !== BPF_ST && (i.opcode & MODE_MASK) === BPF_ATOMIC;
    if (atomic && i.imm === BPF_LOAD_ACQ) {
      this.access(i, state, i.src, false);
      this.set(i, state, i.dst, "number");
      return;
    }
    if (cls !== BPF_ST) {
      const o = this.object(this.read(i, state, i.src));
      if (o) refuse(this.cx, i.at, `asm: the address of ${o.name} cannot be stored`);
    }
    this.access(i, state, i.dst, true);
    if (!atomic) return;
    if (i.imm === BPF_CMPXCHG) {
      this.keepsExact(i, this.read(i, state, 0));
      this.set(i, state, 0, "number");
    } else if (i.imm & BPF_FETCH) this.set(i, state, i.src, "number");
  }

  private access(i: AsmInsn, state: State, base: number, writes: boolean): void {
    const held = this.read(i, state, base);
    const size = bytesOf(i);
    const o = this.object(held);
    if (o && typeof held === "object") {
      const { off } = held;
      if (off === undefined) {
        refuse(this.cx, i.at, `asm: r${base} is the address of ${o.name} at a place that differs by way`);
      }
      const from = off + i.off;
      if (from < 0 || from + size > o.size) {
        refuse(this.cx, i.at, `asm: ${size} bytes at ${from} are outside ${o.name}, which has ${o.size}`);
      }
    }
    if (!writes) return;
    if (typeof held !== "object") this.unknown = true;
    else if (!this.stored.has(held.operand)) this.stored.set(held.operand, i.at);
  }
}

function bytesOf(i: AsmInsn): number {
  const size = i.opcode & SIZE_MASK;
  return size === BPF_B ? 1 : size === BPF_H ? 2 : size === BPF_W ? 4 : 8;
}

/** What holds on both ways. An address on one of them only is still one: it stays followed. */
function join(a: Held, b: Held): Held {
  if (a === undefined || b === undefined) return undefined;
  if (typeof a === "object" && typeof b === "object" && a.operand === b.operand) {
    return a.off === b.off ? a : { operand: a.operand, off: undefined };
  }
  return typeof a === "object" || typeof b === "object" ? undefined : "number";
}

function sameHeld(a: Held, b: Held): boolean {
  if (typeof a === "object" && typeof b === "object") return a.operand === b.operand && a.off === b.off;
  return a === b;
}
