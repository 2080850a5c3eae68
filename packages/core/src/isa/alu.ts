/** What an ALU operation gives for known numbers, for whoever computes with constants. Source: RFC 9669 section 4.1. */
import { BPF_ADD, BPF_AND, BPF_ARSH, BPF_LSH, BPF_MUL, BPF_OR, BPF_RSH, BPF_SUB, BPF_XOR } from "./opcodes.ts";

/**
 * `a op b` of the low `bits` of both, zero-extended; shifts go by what the machine uses of `b`. Undefined for the other
 * operations: MOV, NEG and END take one operand, DIV and MOD depend on the insn's offset.
 */
export function aluResult(op: number, a: bigint, b: bigint, bits: 32 | 64): bigint | undefined {
  const x = BigInt.asUintN(bits, a);
  const y = BigInt.asUintN(bits, b);
  const by = y & BigInt(bits - 1);
  switch (op) {
    case BPF_ADD:
      return BigInt.asUintN(bits, x + y);
    case BPF_SUB:
      return BigInt.asUintN(bits, x - y);
    case BPF_MUL:
      return BigInt.asUintN(bits, x * y);
    case BPF_AND:
      return x & y;
    case BPF_OR:
      return x | y;
    case BPF_XOR:
      return x ^ y;
    case BPF_LSH:
      return BigInt.asUintN(bits, x << by);
    case BPF_RSH:
      return x >> by;
    case BPF_ARSH:
      return BigInt.asUintN(bits, BigInt.asIntN(bits, x) >> by);
    default:
      return undefined;
  }
}

export function isShift(op: number): boolean {
  return op === BPF_LSH || op === BPF_RSH || op === BPF_ARSH;
}
