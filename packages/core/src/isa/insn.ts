/**
 * One instruction: decode from and encode to the 8-byte slots of RFC 9669 section 3.
 * It checks form (whole slots, a second slot after lddw), never meaning: that is the verifier's and the engine's work.
 */
import { viewOf } from "../bytes/index.ts";
import { InsnError } from "../errors/index.ts";
import { BPF_JMP, BPF_JMP32, CLASS_MASK, OP_EXIT, OP_GOTOL, OP_LDDW, OP_MASK, SLOT } from "./opcodes.ts";

/**
 * A decoded instruction. `pc` is its first slot, in slots from the program's start; `off` is signed 16 bits, `imm`
 * and `imm2` signed 32 bits. `imm2` is the imm of lddw's second slot (the high half of its value), 0 elsewhere.
 */
export interface Insn {
  readonly pc: number;
  readonly opcode: number;
  readonly dst: number;
  readonly src: number;
  readonly off: number;
  readonly imm: number;
  readonly imm2: number;
}

/** Slots that the instruction takes: 2 for lddw, 1 for all others. */
export function slotsOf(insn: { readonly opcode: number }): 1 | 2 {
  return insn.opcode === OP_LDDW ? 2 : 1;
}

/**
 * Decodes little-endian slots. Code of a big-endian object has another register order: see `elf/`.
 * @throws InsnError when the length is no multiple of 8, or an lddw lacks a second slot of zeros with an imm.
 */
export function decode(code: Uint8Array): Insn[] {
  if (code.length % SLOT)
    throw new InsnError(`need 8 bytes, have ${code.length % SLOT}`, Math.floor(code.length / SLOT));
  const view = viewOf(code);
  const out: Insn[] = [];
  for (let pc = 0; pc * SLOT < code.length; pc++) {
    const at = pc * SLOT;
    const opcode = view.getUint8(at);
    const regs = view.getUint8(at + 1);
    let imm2 = 0;
    if (opcode === OP_LDDW) {
      if (at + 2 * SLOT > code.length) throw new InsnError("lddw needs a second slot, the program ends", pc);
      if (view.getUint32(at + SLOT, true) !== 0) {
        throw new InsnError("lddw's second slot must have zero opcode, registers and offset", pc + 1);
      }
      imm2 = view.getInt32(at + SLOT + 4, true);
    }
    out.push({
      pc,
      opcode,
      dst: regs & 15,
      src: regs >> 4,
      off: view.getInt16(at + 2, true),
      imm: view.getInt32(at + 4, true),
      imm2,
    });
    if (opcode === OP_LDDW) pc++;
  }
  return out;
}

/** What `encode` needs of an instruction; absent fields are 0. */
export type InsnInit = { readonly opcode: number } & Partial<Omit<Insn, "pc" | "opcode">>;

/**
 * Little-endian slots of the instructions, in order.
 * @throws RangeError when a register, off or imm does not fit its field.
 */
export function encode(insns: readonly InsnInit[]): Uint8Array {
  let slots = 0;
  for (const i of insns) slots += slotsOf(i);
  const out = new Uint8Array(slots * SLOT);
  const view = viewOf(out);
  let at = 0;
  for (const { opcode, dst = 0, src = 0, off = 0, imm = 0, imm2 = 0 } of insns) {
    field("opcode", opcode, 0, 255);
    field("dst", dst, 0, 15);
    field("src", src, 0, 15);
    field("off", off, -0x8000, 0x7fff);
    field("imm", imm, -0x80000000, 0x7fffffff);
    field("imm2", imm2, -0x80000000, 0x7fffffff);
    view.setUint8(at, opcode);
    view.setUint8(at + 1, (src << 4) | dst);
    view.setInt16(at + 2, off, true);
    view.setInt32(at + 4, imm, true);
    if (opcode === OP_LDDW) view.setInt32(at + SLOT + 4, imm2, true);
    at += opcode === OP_LDDW ? 2 * SLOT : SLOT;
  }
  return out;
}

function field(name: string, value: number, min: number, max: number): void {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new RangeError(`${name}: expected an integer from ${min} to ${max}, got ${value}`);
  }
}

/** The 64-bit value of an lddw, unsigned. */
export function lddwValue(insn: { readonly imm: number; readonly imm2: number }): bigint {
  return (BigInt(insn.imm2 >>> 0) << 32n) | BigInt(insn.imm >>> 0);
}

/** `imm` and `imm2` that carry a 64-bit value in an lddw. */
export function lddwImms(value: bigint): { imm: number; imm2: number } {
  return { imm: Number(BigInt.asIntN(32, value)), imm2: Number(BigInt.asIntN(32, value >> 32n)) };
}

/** True for a conditional or unconditional jump (not call, not exit). */
export function isJump(insn: Insn): boolean {
  const cls = insn.opcode & CLASS_MASK;
  if (cls !== BPF_JMP && cls !== BPF_JMP32) return false;
  const op = insn.opcode & OP_MASK;
  return op !== 0x80 && op !== (OP_EXIT & OP_MASK);
}

/** The slot that a jump goes to when taken. gotol keeps its distance in imm, all others in off. */
export function jumpTarget(insn: Insn): number {
  return insn.pc + 1 + (insn.opcode === OP_GOTOL ? insn.imm : insn.off);
}
