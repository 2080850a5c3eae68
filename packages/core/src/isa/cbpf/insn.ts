/**
 * Classic BPF: its instruction, numbers and bytes (struct sock_filter, little-endian).
 * Source: include/uapi/linux/filter.h and bpf_common.h; the BSD Packet Filter paper for the machine: an accumulator A,
 * an index X, 16 words of memory M, jumps forward only.
 */
import { viewOf } from "../../bytes/index.ts";
import { InsnError } from "../../errors/index.ts";

/** `jt` and `jf` are the insns skipped when a jump's condition is true or false; `k` is unsigned. */
export interface ClassicInsn {
  readonly code: number;
  readonly jt: number;
  readonly jf: number;
  readonly k: number;
}

/** Classes that eBPF has no more, and modes of loads. The other numbers are those of opcodes.ts. */
export const BPF_RET = 0x06;
export const BPF_MISC = 0x07;
export const BPF_LEN = 0x80;
export const BPF_MSH = 0xa0;
export const BPF_A = 0x10;
export const BPF_TAX = 0x00;
export const BPF_TXA = 0x80;

/** Words of M. */
export const BPF_MEMWORDS = 16;
/** Insns of a program. */
export const BPF_MAXINSNS = 4096;

/** Offsets from here on name data about the packet. Source: include/uapi/linux/filter.h SKF_*. */
export const SKF_AD_OFF = -0x1000;
export const SKF_NET_OFF = -0x100000;
export const SKF_LL_OFF = -0x200000;
export const SkfAd = {
  PROTOCOL: 0,
  PKTTYPE: 4,
  IFINDEX: 8,
  NLATTR: 12,
  NLATTR_NEST: 16,
  MARK: 20,
  QUEUE: 24,
  HATYPE: 28,
  RXHASH: 32,
  CPU: 36,
  ALU_XOR_X: 40,
  VLAN_TAG: 44,
  VLAN_TAG_PRESENT: 48,
  PAY_OFFSET: 52,
  RANDOM: 56,
  VLAN_TPID: 60,
} as const;

/** @throws InsnError when the length is no multiple of 8. */
export function decodeClassic(bytes: Uint8Array): ClassicInsn[] {
  if (bytes.length % 8) throw new InsnError(`need 8 bytes, have ${bytes.length % 8}`, Math.floor(bytes.length / 8));
  const view = viewOf(bytes);
  return Array.from({ length: bytes.length / 8 }, (_, i) => ({
    code: view.getUint16(8 * i, true),
    jt: view.getUint8(8 * i + 2),
    jf: view.getUint8(8 * i + 3),
    k: view.getUint32(8 * i + 4, true),
  }));
}

export function encodeClassic(insns: readonly ClassicInsn[]): Uint8Array {
  const bytes = new Uint8Array(8 * insns.length);
  const view = viewOf(bytes);
  insns.forEach(({ code, jt, jf, k }, i) => {
    view.setUint16(8 * i, code, true);
    view.setUint8(8 * i + 2, jt);
    view.setUint8(8 * i + 3, jf);
    view.setUint32(8 * i + 4, k, true);
  });
  return bytes;
}
