/**
 * What the numbers on one path are made of: packet bytes, the packet's ends, ctx fields, entries of maps, constants, and
 * what the insns make of them; and the comparisons that the path wants to come out one way. What comes from elsewhere
 * (other helpers, per-CPU hashes) is unknown, and comparisons with it say nothing.
 */
import {
  BPF_ABS,
  BPF_ADD,
  BPF_ALU,
  BPF_ALU64,
  BPF_AND,
  BPF_END,
  BPF_IND,
  BPF_JLE,
  BPF_JMP,
  BPF_JMP32,
  BPF_LD,
  BPF_LDX,
  BPF_MEM,
  BPF_MOV,
  BPF_PSEUDO_CALL,
  BPF_ST,
  BPF_STX,
  BPF_SUB,
  BPF_X,
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
import { helperByName, type MapSpec, MapType } from "../../object/index.ts";
import type { CtxModel } from "./ctx.ts";

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
  /** What the n-th lookup of the path gives: NULL, or the address of its value. */
  | { readonly kind: "lookup"; readonly n: number }
  | { readonly kind: "fp"; readonly frame: number; readonly offset: number };

export interface Constraint {
  /** A jump's operation; it must hold when `holds`. */
  readonly op: number;
  readonly is32: boolean;
  readonly holds: boolean;
  readonly a: Expr;
  readonly b: Expr;
}

/** A lookup in a map that the path makes. */
export interface Lookup {
  /** Where in the trace its call stands. */
  readonly at: number;
  readonly map: MapSpec;
}

export interface Path {
  readonly constraints: readonly Constraint[];
  readonly lookups: readonly Lookup[];
}

const SIZES = [4, 2, 1, 8] as const;
type Value = Expr | "ctxPointer" | MapSpec | undefined;

const LOOKUP = helperByName("bpf_map_lookup_elem");
/** `(ctx, offset, to, length)` copies packet bytes, and fails beyond the packet's end. */
const COPIES: ReadonlySet<number> = new Set(["bpf_skb_load_bytes", "bpf_xdp_load_bytes"].map((n) => helperByName(n)!));
/** Maps whose entries the search may choose. */
const ENTRIES: ReadonlySet<number> = new Set([
  MapType.BPF_MAP_TYPE_HASH,
  MapType.BPF_MAP_TYPE_LRU_HASH,
  MapType.BPF_MAP_TYPE_LPM_TRIE,
  MapType.BPF_MAP_TYPE_ARRAY,
  MapType.BPF_MAP_TYPE_PERCPU_ARRAY,
]);

/** Bytes of a frame that hold a copy of the packet. */
interface Copy {
  readonly frame: number;
  readonly start: number;
  readonly length: number;
  readonly from: Expr;
}

interface Stack {
  readonly values: Map<string, Value>;
  readonly copies: Copy[];
}

function isExpr(v: Value): v is Expr {
  return typeof v === "object" && "kind" in v;
}

const constant = (n: number): Expr => ({ kind: "const", value: BigInt.asUintN(64, BigInt(n)) });
/** Constants are put together: a pointer that a loop moves stays one sum. */
function sum(a: Expr, b: Expr): Expr {
  if (b.kind === "const" && a.kind === "op" && a.op === BPF_ADD && !a.is32 && a.b.kind === "const") {
    return { ...a, b: { kind: "const", value: BigInt.asUintN(64, a.b.value + b.value) } };
  }
  return { kind: "op", op: BPF_ADD, is32: false, a, b };
}

/** The comparisons along `trace` (pcs in order). `mapAt` answers the map whose address an lddw loads. */
export function followed(
  insns: ReadonlyMap<number, Insn>,
  trace: readonly number[],
  model: CtxModel,
  mapAt: (pc: number) => MapSpec | undefined,
): Path {
  const out: Constraint[] = [];
  const lookups: Lookup[] = [];
  const stack: Stack = { values: new Map(), copies: [] };
  /** The packet has at least these bytes from `offset` on. */
  const within = (offset: Expr, size: number): void => {
    const length: Expr = { kind: "op", op: BPF_SUB, is32: false, a: { kind: "end" }, b: { kind: "data" } };
    out.push({ op: BPF_JLE, is32: false, holds: true, a: sum(offset, constant(size)), b: length });
  };
  let frames: Value[][] = [[]];
  frames[0]![1] = "ctxPointer";
  frames[0]![10] = { kind: "fp", frame: 0, offset: 0 };
  for (let i = 0; i < trace.length; i++) {
    const insn = insns.get(trace[i]!);
    if (!insn) break;
    const regs = frames[frames.length - 1]!;
    const { opcode, dst, src, imm } = insn;
    const cls = opcode & CLASS_MASK;
    const operand: Value = (opcode & BPF_X) !== 0 ? regs[src] : constant(imm);
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
      const result = insn.src === 0 ? helper(insn.imm, i, regs) : undefined;
      for (let r = 0; r <= 5; r++) regs[r] = undefined;
      regs[0] = result;
    } else if (opcode === OP_LDDW) {
      regs[dst] = insn.src === 0 ? { kind: "const", value: lddwValue(insn) } : mapAt(insn.pc);
    } else if (cls === BPF_LD && [BPF_ABS, BPF_IND].includes(opcode & MODE_MASK)) {
      const size = SIZES[(opcode & SIZE_MASK) >> 3]!;
      const index = regs[src];
      const indirect = (opcode & MODE_MASK) === BPF_IND;
      for (let r = 1; r <= 5; r++) regs[r] = undefined;
      regs[0] = undefined;
      if (imm < 0 || (indirect && !isExpr(index))) continue;
      const offset = indirect ? sum(index as Expr, constant(imm)) : constant(imm);
      within(offset, size);
      const bytes: Expr = { kind: "load", at: sum({ kind: "data" }, offset), size };
      regs[0] = size === 1 ? bytes : { kind: "swap", bits: 8 * size, a: bytes };
    } else if ((cls === BPF_JMP || cls === BPF_JMP32) && isJump(insn)) {
      if (opcode === OP_JA || opcode === OP_GOTOL || opcode === OP_MAY_GOTO || insn.off === 0) continue;
      const a = regs[dst];
      if (isExpr(a) && isExpr(operand) && i + 1 < trace.length) {
        const holds = trace[i + 1] !== insn.pc + 1;
        out.push({ op: opcode & OP_MASK, is32: cls === BPF_JMP32, holds, a, b: operand });
      }
    } else if (cls === BPF_ALU || cls === BPF_ALU64) {
      regs[dst] = alu(insn, regs[dst], operand);
    } else if (cls === BPF_LDX) {
      regs[dst] = (opcode & MODE_MASK) === BPF_MEM ? load(insn, regs[src], stack, model) : undefined;
    } else if (cls === BPF_STX || cls === BPF_ST) {
      const base = regs[dst];
      if (isExpr(base) && base.kind === "fp" && (opcode & MODE_MASK) === BPF_MEM) {
        const value: Value = cls === BPF_STX ? regs[src] : constant(imm);
        stack.values.set(`${base.frame}:${base.offset + insn.off}:${SIZES[(opcode & SIZE_MASK) >> 3]}`, value);
      }
    }
  }
  return { constraints: out, lookups };

  /** What a helper's result is made of, where that is followed; copies that it makes are noted. */
  function helper(id: number, at: number, regs: readonly Value[]): Value {
    const [, first, second, third, fourth] = regs;
    if (id === LOOKUP && first && !isExpr(first) && first !== "ctxPointer" && ENTRIES.has(first.type)) {
      lookups.push({ at, map: first });
      return { kind: "lookup", n: lookups.length - 1 };
    }
    if (!COPIES.has(id) || !isExpr(second) || !isExpr(third) || !isExpr(fourth)) return undefined;
    if (third.kind !== "fp" || fourth.kind !== "const") return undefined;
    const length = Number(fourth.value);
    const { frame, offset } = third;
    for (const key of [...stack.values.keys()]) {
      const [f, o, size] = key.split(":").map(Number) as [number, number, number];
      if (f === frame && o < offset + length && offset < o + size) stack.values.delete(key);
    }
    stack.copies.push({ frame, start: offset, length, from: sum({ kind: "data" }, second) });
    within(second, length);
    return constant(0);
  }
}

function alu(insn: Insn, a: Value, b: Value): Value {
  const op = insn.opcode & OP_MASK;
  const is32 = (insn.opcode & CLASS_MASK) === BPF_ALU;
  if (op === BPF_MOV) {
    if (insn.off !== 0) return undefined;
    if (!is32 || !isExpr(b)) return b;
    return { kind: "op", op: BPF_AND, is32: false, a: b, b: { kind: "const", value: 0xffff_ffffn } };
  }
  if (op === BPF_END) {
    if (!isExpr(a)) return undefined;
    const swaps = !is32 || (insn.opcode & BPF_X) !== 0;
    const mask = (1n << BigInt(insn.imm)) - 1n;
    return swaps
      ? { kind: "swap", bits: insn.imm, a }
      : { kind: "op", op: BPF_AND, is32: false, a, b: { kind: "const", value: mask } };
  }
  if (!isExpr(a) || !isExpr(b)) return undefined;
  if (a.kind === "fp") {
    return b.kind === "const" && op === BPF_ADD
      ? { ...a, offset: a.offset + Number(BigInt.asIntN(64, b.value)) }
      : undefined;
  }
  return op === BPF_ADD && !is32 ? sum(a, b) : { kind: "op", op, is32, a, b };
}

function load(insn: Insn, base: Value, stack: Stack, model: CtxModel): Value {
  const size = SIZES[(insn.opcode & SIZE_MASK) >> 3]!;
  if (base === "ctxPointer") return model.load(insn.off, size);
  if (!isExpr(base)) return undefined;
  if (base.kind === "fp") {
    const offset = base.offset + insn.off;
    const stored = stack.values.get(`${base.frame}:${offset}:${size}`);
    if (stored !== undefined) return stored;
    const copy = stack.copies.findLast(
      (c) => c.frame === base.frame && c.start <= offset && offset + size <= c.start + c.length,
    );
    return copy && { kind: "load", at: sum(copy.from, constant(offset - copy.start)), size };
  }
  return { kind: "load", at: insn.off === 0 ? base : sum(base, constant(insn.off)), size };
}
