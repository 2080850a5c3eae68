/**
 * Classic to eBPF, by the kernel's scheme: A is r0, X is r7, the ctx stays in r6, M lies on the stack. The result is a
 * socket filter over `__sk_buff` that any engine here, and the kernel, runs.
 * Source: net/core/filter.c 6.18 `bpf_convert_filter`, `convert_bpf_extensions`.
 */
import { UnsupportedError } from "../../errors/index.ts";
import { encode, type InsnInit } from "../insn.ts";
import { OP_CALL, OP_EXIT } from "../opcodes.ts";
import { checkClassic } from "./check.ts";
import { BPF_MEMWORDS, type ClassicInsn, SKF_AD_OFF, SkfAd } from "./insn.ts";

const A = 0;
const X = 7;
const CTX = 6;
const TMP = 8;

/** Offsets in struct __sk_buff of what extensions read; those in the second table are big-endian 16 bits. */
const FIELDS: ReadonlyMap<number, number> = new Map([
  [SkfAd.PKTTYPE, 4],
  [SkfAd.MARK, 8],
  [SkfAd.QUEUE, 12],
  [SkfAd.VLAN_TAG_PRESENT, 20],
  [SkfAd.VLAN_TAG, 24],
  [SkfAd.IFINDEX, 40],
  [SkfAd.RXHASH, 68],
]);
const NETWORK_ORDER: ReadonlyMap<number, number> = new Map([
  [SkfAd.PROTOCOL, 16],
  [SkfAd.VLAN_TPID, 28],
]);
/** get_smp_processor_id, get_prandom_u32. */
const CALLS: ReadonlyMap<number, number> = new Map([
  [SkfAd.CPU, 8],
  [SkfAd.RANDOM, 7],
]);

/**
 * Little-endian slots of the eBPF program.
 * @throws InsnError for what the checker refuses, UnsupportedError for the extensions that __sk_buff has no field for
 * (netlink attributes, payload offset, device type).
 */
export function translateClassic(insns: readonly ClassicInsn[]): Uint8Array {
  checkClassic(insns);
  const out: InsnInit[] = [
    { opcode: 0xaf, dst: A, src: A },
    { opcode: 0xaf, dst: X, src: X },
    { opcode: 0xbf, dst: CTX, src: 1 },
  ];
  const starts: number[] = [];
  const jumps: { index: number; target: number }[] = [];
  const jump = (insn: InsnInit, target: number): void => {
    jumps.push({ index: out.length, target });
    out.push(insn);
  };
  insns.forEach((insn, pc) => {
    starts.push(out.length);
    const { code, jt, jf, k } = insn;
    if (code === 0x05) jump({ opcode: code }, pc + 1 + k);
    else if ((code & 7) === 5) {
      const opcode = (code & ~7) | 6;
      jump(code & 8 ? { opcode, dst: A, src: X } : { opcode, dst: A, imm: k | 0 }, pc + 1 + jt);
      // Where the false way does not fall through it needs a jump of its own.
      if (jf) jump({ opcode: 0x05 }, pc + 1 + jf);
    } else out.push(...straight(insn, pc));
  });
  for (const { index, target } of jumps) out[index] = { ...out[index]!, off: starts[target]! - index - 1 };
  return encode(out);
}

/** The insns of one that does not jump. A slot is an insn here: there is no lddw. */
function straight({ code, k }: ClassicInsn, pc: number): InsnInit[] {
  const imm = k | 0;
  const slot = -4 * (BPF_MEMWORDS - k);
  switch (code) {
    case 0x00:
      return [{ opcode: 0xb4, dst: A, imm }];
    case 0x01:
      return [{ opcode: 0xb4, dst: X, imm }];
    case 0x20:
    case 0x28:
    case 0x30:
      if (imm < 0 && imm >= SKF_AD_OFF) return extension(imm - SKF_AD_OFF, pc);
      return [{ opcode: code, imm }];
    case 0x40:
    case 0x48:
    case 0x50:
      return [{ opcode: code, src: X, imm }];
    case 0xb1:
      return [
        { opcode: 0xbf, dst: TMP, src: A },
        { opcode: 0x30, imm },
        { opcode: 0x54, dst: A, imm: 15 },
        { opcode: 0x64, dst: A, imm: 2 },
        { opcode: 0xbf, dst: X, src: A },
        { opcode: 0xbf, dst: A, src: TMP },
      ];
    case 0x60:
      return [{ opcode: 0x61, dst: A, src: 10, off: slot }];
    case 0x61:
      return [{ opcode: 0x61, dst: X, src: 10, off: slot }];
    case 0x80:
      return [{ opcode: 0x61, dst: A, src: CTX, off: 0 }];
    case 0x81:
      return [{ opcode: 0x61, dst: X, src: CTX, off: 0 }];
    case 0x02:
      return [{ opcode: 0x63, dst: 10, src: A, off: slot }];
    case 0x03:
      return [{ opcode: 0x63, dst: 10, src: X, off: slot }];
    case 0x3c:
    case 0x9c:
      // A division by X = 0 ends the program with 0.
      return [
        { opcode: 0x56, dst: X, imm: 0, off: 2 },
        { opcode: 0xac, dst: A, src: A },
        { opcode: OP_EXIT },
        { opcode: code, dst: A, src: X },
      ];
    case 0x6c:
    case 0x7c:
      return [{ opcode: code, dst: A, src: X }];
    case 0x84:
      return [{ opcode: code, dst: A }];
    case 0x07:
      return [{ opcode: 0xbf, dst: X, src: A }];
    case 0x87:
      return [{ opcode: 0xbf, dst: A, src: X }];
    case 0x06:
      return [{ opcode: 0xb4, dst: A, imm }, { opcode: OP_EXIT }];
    case 0x16:
      return [{ opcode: OP_EXIT }];
  }
  return [code & 8 ? { opcode: code, dst: A, src: X } : { opcode: code, dst: A, imm }];
}

function extension(number: number, pc: number): InsnInit[] {
  const field = FIELDS.get(number);
  if (field !== undefined) return [{ opcode: 0x61, dst: A, src: CTX, off: field }];
  const ordered = NETWORK_ORDER.get(number);
  if (ordered !== undefined) {
    return [
      { opcode: 0x61, dst: A, src: CTX, off: ordered },
      { opcode: 0xdc, dst: A, imm: 16 },
    ];
  }
  const call = CALLS.get(number);
  if (call !== undefined) return [{ opcode: OP_CALL, imm: call }];
  if (number === SkfAd.ALU_XOR_X) return [{ opcode: 0xac, dst: A, src: X }];
  throw new UnsupportedError(`SKF_AD ${number}`, `insn ${pc}: __sk_buff has nothing that extension ${number} reads`);
}
