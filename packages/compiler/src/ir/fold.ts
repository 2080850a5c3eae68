/** Constant folding and algebraic identities: what one operation on given operands comes to, without looking further. */
import type { BinOp, Cmp, Insn, Width } from "./ir.ts";

const M32 = 0xffff_ffffn;
const M64 = 0xffff_ffff_ffff_ffffn;

export function maskOf(w: Width): bigint {
  return w === 32 ? M32 : M64;
}

/** The result of an operation on constants, as eBPF computes it (division by zero included). */
export function evalBin(op: BinOp, w: Width, x: bigint, y: bigint): bigint {
  const mask = maskOf(w);
  const a = x & mask;
  const b = y & mask;
  const sa = BigInt.asIntN(w, a);
  const sb = BigInt.asIntN(w, b);
  const shift = b & BigInt(w - 1);
  switch (op) {
    case "add":
      return (a + b) & mask;
    case "sub":
      return (a - b) & mask;
    case "mul":
      return (a * b) & mask;
    case "div":
      return b === 0n ? 0n : a / b;
    case "mod":
      return b === 0n ? a : a % b;
    case "sdiv":
      return (b === 0n ? 0n : sa / sb) & mask;
    case "smod":
      return (b === 0n ? sa : sa % sb) & mask;
    case "and":
      return a & b;
    case "or":
      return a | b;
    case "xor":
      return a ^ b;
    case "shl":
      return (a << shift) & mask;
    case "shr":
      return a >> shift;
    case "sar":
      return (sa >> shift) & mask;
  }
}

export function evalCmp(cmp: Cmp, w: Width, x: bigint, y: bigint): boolean {
  const a = BigInt.asUintN(w, x);
  const b = BigInt.asUintN(w, y);
  const sa = BigInt.asIntN(w, x);
  const sb = BigInt.asIntN(w, y);
  switch (cmp) {
    case "eq":
      return a === b;
    case "ne":
      return a !== b;
    case "gt":
      return a > b;
    case "ge":
      return a >= b;
    case "lt":
      return a < b;
    case "le":
      return a <= b;
    case "sgt":
      return sa > sb;
    case "sge":
      return sa >= sb;
    case "slt":
      return sa < sb;
    case "sle":
      return sa <= sb;
    case "set":
      return (a & b) !== 0n;
  }
}

export function evalBswap(bits: 16 | 32 | 64, x: bigint): bigint {
  let out = 0n;
  for (let i = 0; i < bits; i += 8) out = (out << 8n) | ((x >> BigInt(i)) & 0xffn);
  return out;
}

const SWAPPED: Record<Cmp, Cmp> = {
  eq: "eq",
  ne: "ne",
  gt: "lt",
  ge: "le",
  lt: "gt",
  le: "ge",
  sgt: "slt",
  sge: "sle",
  slt: "sgt",
  sle: "sge",
  set: "set",
};
/** The comparison with its sides exchanged. */
export function swapCmp(cmp: Cmp): Cmp {
  return SWAPPED[cmp];
}

const NEGATED: Partial<Record<Cmp, Cmp>> = {
  eq: "ne",
  ne: "eq",
  gt: "le",
  ge: "lt",
  lt: "ge",
  le: "gt",
  sgt: "sle",
  sge: "slt",
  slt: "sge",
  sle: "sgt",
};
/** The opposite comparison; JSET has none. */
export function negateCmp(cmp: Cmp): Cmp | undefined {
  return NEGATED[cmp];
}

/**
 * Results that the kernel's verifier knows nothing of, not even that a 32-bit one has no high half: swapped bytes,
 * quotients, remainders, shifts by what it cannot bound. Source: kernel/bpf/verifier.c
 * `is_safe_to_compute_dst_reg_range`, after which it goes no further.
 */
export function isOpaque(v: Insn): boolean {
  if (v.op === "shr") return v.args[1]!.op !== "const";
  return ["bswap", "div", "mod", "sdiv", "smod"].includes(v.op);
}

/**
 * An upper bound that the verifier finds too. A mask goes only where the value is below it by this: it may be what the
 * verifier bounds an offset by.
 */
export function verifiedBound(v: Insn): bigint {
  return upperBound(v, 6, true);
}

/** An upper bound of the value as an unsigned 64-bit number, from how it is made. */
export function upperBound(v: Insn, depth = 6, verified = false): bigint {
  if (verified && isOpaque(v)) return "w" in v ? maskOf(v.w) : M64;
  switch (v.op) {
    case "const":
      return v.value;
    case "load":
      // The kernel's field may be wider than the one written here, and is read whole then.
      return v.size === 8 || v.core ? M64 : (1n << BigInt(v.size * 8)) - 1n;
    case "core":
      return 0x7fff_ffffn;
    case "cmp":
      return 1n;
    case "param":
      return v.most;
    case "call":
      return v.most ?? M64;
    case "zext32":
      return min(M32, depth ? upperBound(v.args[0]!, depth - 1, verified) : M32);
    case "bswap":
      return v.bits === 64 ? M64 : (1n << BigInt(v.bits)) - 1n;
    case "sext":
      return maskOf(v.w);
    case "phi": {
      // A phi that is not filled yet may become anything.
      if (!depth || !v.args.length || v.args.length !== v.block?.preds.length) return M64;
      let max = 0n;
      for (const a of v.args) {
        const u = upperBound(a, depth - 1, verified);
        if (u > max) max = u;
      }
      return max;
    }
    case "hold":
      return upperBound(v.args[0]!, 0);
    case "neg":
      return maskOf(v.w);
    case "and":
      return min(maskOf(v.w), min(bound(v, 0, depth, verified), bound(v, 1, depth, verified)));
    case "or":
    case "xor": {
      const m = bound(v, 0, depth, verified) | bound(v, 1, depth, verified);
      return min(maskOf(v.w), (1n << BigInt(m.toString(2).length)) - 1n);
    }
    case "add": {
      const s = bound(v, 0, depth, verified) + bound(v, 1, depth, verified);
      return s > maskOf(v.w) ? maskOf(v.w) : s;
    }
    case "mul": {
      const s = bound(v, 0, depth, verified) * bound(v, 1, depth, verified);
      return s > maskOf(v.w) ? maskOf(v.w) : s;
    }
    case "shr": {
      const y = v.args[1]!;
      const x = min(maskOf(v.w), bound(v, 0, depth, verified));
      return y.op === "const" ? x >> (y.value & BigInt(v.w - 1)) : x;
    }
    case "shl": {
      const y = v.args[1]!;
      if (y.op !== "const") return maskOf(v.w);
      const x = bound(v, 0, depth, verified) << (y.value & BigInt(v.w - 1));
      return x > maskOf(v.w) ? maskOf(v.w) : x;
    }
    case "div":
      return min(maskOf(v.w), bound(v, 0, depth, verified));
    case "mod": {
      const y = v.args[1]!;
      return y.op === "const" && y.value > 0n ? y.value - 1n : min(maskOf(v.w), bound(v, 0, depth, verified));
    }
    case "sub":
    case "sar":
    case "sdiv":
    case "smod":
      return maskOf(v.w);
    default:
      return M64;
  }
}

function bound(v: Insn, k: number, depth: number, verified: boolean): bigint {
  return depth
    ? upperBound(v.args[k]!, depth - 1, verified)
    : v.args[k]!.op === "const"
      ? upperBound(v.args[k]!, 0)
      : M64;
}

function min(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
