/** What a conditional jump compares, for whoever decides one before it runs. Source: RFC 9669 section 4.3. */
import {
  BPF_JEQ,
  BPF_JGE,
  BPF_JGT,
  BPF_JLE,
  BPF_JLT,
  BPF_JNE,
  BPF_JSET,
  BPF_JSGE,
  BPF_JSGT,
  BPF_JSLE,
  BPF_JSLT,
} from "./opcodes.ts";

/** Whether a jump with the operation `op` is taken for these operands, of which `bits` count; undefined for other operations. */
export function jumpTaken(op: number, a: bigint, b: bigint, bits: 32 | 64): boolean | undefined {
  const [x, y] = [BigInt.asUintN(bits, a), BigInt.asUintN(bits, b)];
  const [sx, sy] = [BigInt.asIntN(bits, a), BigInt.asIntN(bits, b)];
  switch (op) {
    case BPF_JEQ:
      return x === y;
    case BPF_JNE:
      return x !== y;
    case BPF_JGT:
      return x > y;
    case BPF_JGE:
      return x >= y;
    case BPF_JLT:
      return x < y;
    case BPF_JLE:
      return x <= y;
    case BPF_JSET:
      return (x & y) !== 0n;
    case BPF_JSGT:
      return sx > sy;
    case BPF_JSGE:
      return sx >= sy;
    case BPF_JSLT:
      return sx < sy;
    case BPF_JSLE:
      return sx <= sy;
    default:
      return undefined;
  }
}
