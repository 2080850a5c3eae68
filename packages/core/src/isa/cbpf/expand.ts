/**
 * How many insns the kernel makes of a classic one. It refuses a filter whose jumps do not fit 16 bits after that, so
 * the checker needs these sizes, though our own translation is shorter.
 * Source: net/core/filter.c 6.18 `bpf_convert_filter`, `convert_bpf_extensions`, `convert_bpf_ld_abs`.
 */
import { type ClassicInsn, SKF_AD_OFF, SkfAd } from "./insn.ts";

const S16_MAX = 0x7fff;

const EXTENSION: ReadonlyMap<number, number> = new Map([
  [SkfAd.PROTOCOL, 2],
  [SkfAd.PKTTYPE, 2],
  [SkfAd.IFINDEX, 4],
  [SkfAd.HATYPE, 4],
  [SkfAd.MARK, 1],
  [SkfAd.QUEUE, 1],
  [SkfAd.RXHASH, 1],
  [SkfAd.VLAN_TAG, 1],
  [SkfAd.VLAN_TAG_PRESENT, 3],
  [SkfAd.VLAN_TPID, 2],
  [SkfAd.ALU_XOR_X, 1],
  // The rest are calls with three arguments.
  [SkfAd.PAY_OFFSET, 4],
  [SkfAd.NLATTR, 4],
  [SkfAd.NLATTR_NEST, 4],
  [SkfAd.CPU, 4],
  [SkfAd.RANDOM, 4],
]);

/** A load at a fixed offset: the linear part's own load where the offset is not negative, then the call. */
function absolute(offset: number, isByte: boolean): number {
  if (offset < 0) return 8;
  const direct = 3 + (offset ? 1 : 0) + (offset <= S16_MAX ? 1 : 3) + (isByte ? 0 : 1);
  return direct + 8;
}

/** Insns before the jump in what becomes of a conditional one: the constant, where it is negative as a signed number. */
function leading({ code, k }: ClassicInsn): number {
  return !(code & 8) && (k | 0) < 0 ? 1 : 0;
}

/** True where one jump is enough: a side falls through, and the condition has an opposite. */
function isSingle({ code, jt, jf }: ClassicInsn): boolean {
  return jf === 0 || (jt === 0 && (code & 0xf0) !== 0x40);
}

function sizeOf(insn: ClassicInsn): number {
  const { code } = insn;
  const k = insn.k | 0;
  switch (code) {
    case 0x20:
    case 0x28:
    case 0x30:
      return (k < 0 && k >= SKF_AD_OFF && EXTENSION.get(k - SKF_AD_OFF)) || absolute(k, code === 0x30);
    case 0x40:
    case 0x48:
    case 0x50:
      return k ? 9 : 8;
    case 0xb1:
      return absolute(k, true) + 6;
    case 0x3c:
    case 0x9c:
      return 5;
    case 0x05:
      return 1;
    case 0x06:
      return 2;
    default:
      return (code & 7) === 5 ? leading(insn) + (isSingle(insn) ? 1 : 2) : 1;
  }
}

/** A load from the packet that is no extension: the kernel keeps data and length in registers for these. */
function readsPacket({ code, k }: ClassicInsn): boolean {
  if (code === 0xb1 || (code & 0xe7) === 0x40) return true;
  return (code & 0xe7) === 0x20 && !((k | 0) < 0 && EXTENSION.has((k | 0) - SKF_AD_OFF));
}

/**
 * The first insn one of whose jumps the kernel could not encode, or undefined. In its first pass it takes every target
 * to be at 0, so a jump that itself stands beyond the reach of 16 bits is refused too.
 */
export function firstFarJump(insns: readonly ClassicInsn[]): number | undefined {
  const starts: number[] = [];
  let at = insns.some(readsPacket) ? 7 : 3;
  for (const insn of insns) {
    starts.push(at);
    at += sizeOf(insn);
  }
  const isFar = (pc: number, by: number, before: number): boolean => {
    const jump = starts[pc]! + before;
    return starts[pc + 1 + by]! - jump - 1 > S16_MAX || jump > S16_MAX;
  };
  const found = insns.findIndex((insn, pc) => {
    const { code, jt, jf, k } = insn;
    if (code === 0x05) return isFar(pc, k, 0);
    if ((code & 7) !== 5) return false;
    const before = leading(insn);
    if (jf === 0) return isFar(pc, jt, before);
    if (isSingle(insn)) return isFar(pc, jf, before);
    return isFar(pc, jt, before) || isFar(pc, jf, before + 1);
  });
  return found < 0 ? undefined : found;
}
