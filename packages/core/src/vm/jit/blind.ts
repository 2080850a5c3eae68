/**
 * Constant blinding: no constant that the program's author chose stands in the code as it is, so that machine code made
 * of it holds no bytes of the author's choice. `op dst, imm` becomes
 *
 *     r11 = imm ^ rnd;  r11 ^= rnd;  op dst, r11
 *
 * with fresh randomness each time. r11 exists only here and in the JIT, which reads the second `rnd` from memory: V8
 * would fold two constants to the one that is to be hidden.
 *
 * As in the kernel, shift counts, offsets and the numbers of calls stay: they are small or fixed.
 * Source: kernel/bpf/core.c `bpf_jit_blind_insn`, `bpf_jit_blind_constants` 6.18.
 */
import { UnsupportedError } from "../../errors/index.ts";
import {
  BPF_ALU,
  BPF_ALU64,
  BPF_ARSH,
  BPF_CALL,
  BPF_END,
  BPF_EXIT,
  BPF_IND,
  BPF_JA,
  BPF_JCOND,
  BPF_JMP,
  BPF_JMP32,
  BPF_K,
  BPF_LD,
  BPF_LSH,
  BPF_MOV,
  BPF_NEG,
  BPF_RSH,
  BPF_ST,
  BPF_STX,
  BPF_X,
  BPF_XOR,
  CLASS_MASK,
  decode,
  encode,
  type Insn,
  type InsnInit,
  MODE_MASK,
  OP_CALL,
  OP_GOTOL,
  OP_LDDW,
  OP_MASK,
  slotsOf,
} from "../../isa/index.ts";
import { branchTarget } from "../code.ts";

/** The hidden register. */
export const BLIND_REG = 11;
const XOR_K = BPF_ALU64 | BPF_XOR | BPF_K;
const XOR_X = BPF_ALU64 | BPF_XOR | BPF_X;
const MOV_K = BPF_ALU64 | BPF_MOV | BPF_K;

export interface Blinded {
  readonly code: Uint8Array;
  /** New slot of each old slot that starts an insn. */
  readonly moved: ReadonlyMap<number, number>;
}

/** True for the insns that bring the second half of a hidden constant into r11. */
export function bringsSecret(insn: Insn): boolean {
  return insn.dst === BLIND_REG && (insn.opcode === OP_LDDW || insn.opcode === XOR_K);
}

/**
 * Rewrites a checked program; `random` gives 32 uniform bits a call.
 * @throws UnsupportedError when a jump no longer reaches its target.
 */
export function blind(code: Uint8Array, random: () => number): Blinded {
  const insns = decode(code);
  const expanded = insns.map((insn) => expand(insn, random));
  const moved = new Map<number, number>();
  let slots = 0;
  insns.forEach((insn, i) => {
    moved.set(insn.pc, slots);
    for (const part of expanded[i]!) slots += slotsOf(part);
  });
  const out: InsnInit[] = [];
  insns.forEach((insn, i) => {
    const parts = expanded[i]!;
    const target = branchTarget(insn);
    const last = parts[parts.length - 1]!;
    if (target === undefined) out.push(...parts);
    else {
      // The insn with the distance is the last of its parts and ends where the next old insn begins.
      const end = moved.get(insn.pc + slotsOf(insn)) ?? slots;
      const from = last.opcode === OP_LDDW ? end - 1 : end;
      out.push(...parts.slice(0, -1), retarget(insn, last, moved.get(target)! - from));
    }
  });
  return { code: encode(out), moved };
}

function retarget(insn: Insn, last: InsnInit, distance: number): InsnInit {
  const inImm = last.opcode === OP_GOTOL || last.opcode === OP_CALL || last.opcode === OP_LDDW;
  if (inImm) return { ...last, imm: distance };
  if (distance < -0x8000 || distance > 0x7fff) {
    throw new UnsupportedError(
      "blinding",
      `slot ${insn.pc}: once blinded, the jump goes ${distance} slots, at most 32767`,
    );
  }
  return { ...last, off: distance };
}

function expand(insn: Insn, random: () => number): InsnInit[] {
  const { opcode, dst, src, off, imm } = insn;
  const cls = opcode & CLASS_MASK;
  const op = opcode & OP_MASK;
  if (opcode === OP_LDDW) return src === 0 ? blindWide(insn, random) : [insn];
  if (cls === BPF_ALU || cls === BPF_ALU64) {
    const keeps = op === BPF_END || op === BPF_NEG || op === BPF_LSH || op === BPF_RSH || op === BPF_ARSH;
    if (keeps || opcode & BPF_X) return [insn];
    return [...hidden(imm, random), { opcode: opcode | BPF_X, dst, src: BLIND_REG, off }];
  }
  if (cls === BPF_JMP || cls === BPF_JMP32) {
    const keeps = op === BPF_JA || op === BPF_CALL || op === BPF_EXIT || op === BPF_JCOND;
    if (keeps || opcode & BPF_X) return [insn];
    return [...hidden(imm, random), { opcode: opcode | BPF_X, dst, src: BLIND_REG, off }];
  }
  if (cls === BPF_ST)
    return [...hidden(imm, random), { opcode: (opcode & ~CLASS_MASK) | BPF_STX, dst, src: BLIND_REG, off }];
  if (cls === BPF_LD) return [...blindPacketLoad(insn, random)];
  return [insn];
}

/** r11 = imm, sign-extended to 64 bits. */
function hidden(imm: number, random: () => number): InsnInit[] {
  const rnd = random() | 0;
  return [
    { opcode: MOV_K, dst: BLIND_REG, imm: imm ^ rnd },
    { opcode: XOR_K, dst: BLIND_REG, imm: rnd },
  ];
}

function blindWide({ dst, imm, imm2 }: Insn, random: () => number): InsnInit[] {
  const low = random() | 0;
  const high = random() | 0;
  return [
    { opcode: OP_LDDW, dst, imm: imm ^ low, imm2: imm2 ^ high },
    { opcode: OP_LDDW, dst: BLIND_REG, imm: low, imm2: high },
    { opcode: XOR_X, dst, src: BLIND_REG },
  ];
}

/** The offset of a legacy load goes through the register form: `[src + imm]` needs src only where it had none. */
function* blindPacketLoad({ opcode, src, imm }: Insn, random: () => number): Iterable<InsnInit> {
  yield* hidden(imm, random);
  const indirect = (opcode & MODE_MASK) === BPF_IND;
  if (indirect) yield { opcode: BPF_ALU64 | BPF_X, dst: BLIND_REG, src };
  yield { opcode: (opcode & ~MODE_MASK) | BPF_IND, src: BLIND_REG };
}
