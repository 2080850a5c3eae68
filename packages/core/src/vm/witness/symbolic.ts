/**
 * What the numbers on one path are made of: packet bytes, the packet's ends, ctx fields, constants, and what the insns
 * make of them; and the comparisons that the path wants to come out one way. What comes from elsewhere (helpers, map
 * values) is unknown, and comparisons with it say nothing.
 */
import {
  BPF_ADD,
  BPF_ALU,
  BPF_ALU64,
  BPF_AND,
  BPF_ARSH,
  BPF_END,
  BPF_JMP,
  BPF_JMP32,
  BPF_LDX,
  BPF_LSH,
  BPF_MEM,
  BPF_MOV,
  BPF_MUL,
  BPF_OR,
  BPF_PSEUDO_CALL,
  BPF_RSH,
  BPF_STX,
  BPF_SUB,
  BPF_X,
  BPF_XOR,
  CLASS_MASK,
  type Insn,
  isJump,
  lddwValue,
  MODE_MASK,
  OP_CALL,
  OP_EXIT,
  OP_GOTOL,
  OP_JA,
  OP_LDDW,
  OP_MASK,
  OP_MAY_GOTO,
  SIZE_MASK,
} from "../../isa/index.ts";
import { XDP } from "../layout.ts";

export type Expr =
  | { readonly kind: "const"; readonly value: bigint }
  /** `size` bytes at an address, little-endian. */
  | { readonly kind: "load"; readonly at: Expr; readonly size: number }
  /** The packet's first address, and the one behind its last byte. */
  | { readonly kind: "data" }
  | { readonly kind: "end" }
  /** Four bytes of the ctx. */
  | { readonly kind: "ctx"; readonly offset: number }
  | { readonly kind: "op"; readonly op: number; readonly is32: boolean; readonly a: Expr; readonly b: Expr }
  | { readonly kind: "swap"; readonly bits: number; readonly a: Expr }
  | { readonly kind: "fp"; readonly frame: number; readonly offset: number };

export interface Constraint {
  /** A jump's operation; it must hold when `holds`. */
  readonly op: number;
  readonly is32: boolean;
  readonly holds: boolean;
  readonly a: Expr;
  readonly b: Expr;
}

const SIZES = [4, 2, 1, 8] as const;
type Value = Expr | "ctxPointer" | undefined;

/** The comparisons along `trace` (pcs in order). */
export function constraintsOf(insns: ReadonlyMap<number, Insn>, trace: readonly number[]): Constraint[] {
  const out: Constraint[] = [];
  const stack = new Map<string, Value>();
  let frames: Value[][] = [[]];
  frames[0]![1] = "ctxPointer";
  frames[0]![10] = { kind: "fp", frame: 0, offset: 0 };
  for (let i = 0; i < trace.length; i++) {
    const insn = insns.get(trace[i]!);
    if (!insn) break;
    const regs = frames[frames.length - 1]!;
    const { opcode, dst, src, imm } = insn;
    const cls = opcode & CLASS_MASK;
    const operand: Value =
      (opcode & BPF_X) !== 0 ? regs[src] : { kind: "const", value: BigInt.asUintN(64, BigInt(imm)) };
    if (opcode === OP_EXIT) {
      if (frames.length === 1) break;
      const r0 = regs[0];
      frames = frames.slice(0, -1);
      frames[frames.length - 1]![0] = r0;
    } else if (opcode === OP_CALL) {
      if (insn.src === BPF_PSEUDO_CALL) {
        const callee: Value[] = [];
        for (let r = 1; r <= 5; r++) callee[r] = regs[r];
        callee[10] = { kind: "fp", frame: frames.length, offset: 0 };
        frames = [...frames, callee];
      }
      for (let r = 0; r <= 5; r++) regs[r] = undefined;
    } else if (opcode === OP_LDDW) {
      regs[dst] = insn.src === 0 ? { kind: "const", value: lddwValue(insn) } : undefined;
    } else if ((cls === BPF_JMP || cls === BPF_JMP32) && isJump(insn)) {
      if (opcode === OP_JA || opcode === OP_GOTOL || opcode === OP_MAY_GOTO || insn.off === 0) continue;
      const a = regs[dst];
      if (a && operand && a !== "ctxPointer" && operand !== "ctxPointer" && i + 1 < trace.length) {
        const holds = trace[i + 1] !== insn.pc + 1;
        out.push({ op: opcode & OP_MASK, is32: cls === BPF_JMP32, holds, a, b: operand });
      }
    } else if (cls === BPF_ALU || cls === BPF_ALU64) {
      regs[dst] = alu(insn, regs[dst], operand);
    } else if (cls === BPF_LDX) {
      regs[dst] = (opcode & MODE_MASK) === BPF_MEM ? load(insn, regs[src], stack) : undefined;
    } else if (cls === BPF_STX || cls === 2) {
      const base = regs[dst];
      if (typeof base === "object" && base.kind === "fp" && (opcode & MODE_MASK) === BPF_MEM) {
        const value: Value = cls === BPF_STX ? regs[src] : { kind: "const", value: BigInt.asUintN(64, BigInt(imm)) };
        stack.set(`${base.frame}:${base.offset + insn.off}:${SIZES[(opcode & SIZE_MASK) >> 3]}`, value);
      }
    }
  }
  return out;
}

function alu(insn: Insn, a: Value, b: Value): Value {
  const op = insn.opcode & OP_MASK;
  const is32 = (insn.opcode & CLASS_MASK) === BPF_ALU;
  if (op === BPF_MOV) {
    if (insn.off !== 0) return undefined;
    if (!is32 || typeof b !== "object") return b;
    return { kind: "op", op: BPF_AND, is32: false, a: b, b: { kind: "const", value: 0xffff_ffffn } };
  }
  if (op === BPF_END) {
    if (typeof a !== "object") return undefined;
    const swaps = !is32 || (insn.opcode & BPF_X) !== 0;
    const mask = (1n << BigInt(insn.imm)) - 1n;
    return swaps
      ? { kind: "swap", bits: insn.imm, a }
      : { kind: "op", op: BPF_AND, is32: false, a, b: { kind: "const", value: mask } };
  }
  if (typeof a !== "object" || typeof b !== "object") return undefined;
  if (a.kind === "fp") {
    return b.kind === "const" && op === BPF_ADD
      ? { ...a, offset: a.offset + Number(BigInt.asIntN(64, b.value)) }
      : undefined;
  }
  return { kind: "op", op, is32, a, b };
}

function load(insn: Insn, base: Value, stack: ReadonlyMap<string, Value>): Value {
  const size = SIZES[(insn.opcode & SIZE_MASK) >> 3]!;
  if (base === "ctxPointer") {
    if (size !== 4) return undefined;
    if (insn.off === XDP.DATA) return { kind: "data" };
    return insn.off === XDP.DATA_END ? { kind: "end" } : { kind: "ctx", offset: insn.off };
  }
  if (typeof base !== "object") return undefined;
  if (base.kind === "fp") return stack.get(`${base.frame}:${base.offset + insn.off}:${size}`);
  const at: Expr =
    insn.off === 0
      ? base
      : {
          kind: "op",
          op: BPF_ADD,
          is32: false,
          a: base,
          b: { kind: "const", value: BigInt.asUintN(64, BigInt(insn.off)) },
        };
  return { kind: "load", at, size };
}

/** One arithmetic operation on numbers; undefined for those that are not followed. */
export function apply(op: number, is32: boolean, x: bigint, y: bigint): bigint | undefined {
  const width = is32 ? 32 : 64;
  const a = BigInt.asUintN(width, x);
  const b = BigInt.asUintN(width, y);
  const by = b & BigInt(width - 1);
  switch (op) {
    case BPF_ADD:
      return BigInt.asUintN(width, a + b);
    case BPF_SUB:
      return BigInt.asUintN(width, a - b);
    case BPF_MUL:
      return BigInt.asUintN(width, a * b);
    case BPF_AND:
      return a & b;
    case BPF_OR:
      return a | b;
    case BPF_XOR:
      return a ^ b;
    case BPF_LSH:
      return BigInt.asUintN(width, a << by);
    case BPF_RSH:
      return a >> by;
    case BPF_ARSH:
      return BigInt.asUintN(width, BigInt.asIntN(width, a) >> by);
    default:
      return undefined;
  }
}
