/**
 * The checker: what the kernel lets through SO_ATTACH_FILTER. Every program that passes ends, divides by no constant
 * zero and reads no word of M that was not written on every way to it.
 * Source: net/core/filter.c 6.18 `bpf_check_classic`, `check_load_and_stores`, `chk_code_allowed`.
 */
import { InsnError } from "../../errors/index.ts";
import { firstFarJump } from "./expand.ts";
import { BPF_MAXINSNS, BPF_MEMWORDS, type ClassicInsn, SKF_AD_OFF, SkfAd } from "./insn.ts";

// biome-ignore format: a table
const ALLOWED: ReadonlySet<number> = new Set([
  // loads into A and X
  0x00, 0x01, 0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0x60, 0x61, 0x80, 0x81, 0xb1,
  // stores
  0x02, 0x03,
  // add, sub, mul, div, mod, or, and, xor, lsh, rsh with k and x; neg
  0x04, 0x0c, 0x14, 0x1c, 0x24, 0x2c, 0x34, 0x3c, 0x94, 0x9c, 0x44, 0x4c, 0x54, 0x5c, 0xa4, 0xac, 0x64, 0x6c, 0x74,
  0x7c, 0x84,
  // ja; jeq, jgt, jge, jset with k and x
  0x05, 0x15, 0x1d, 0x25, 0x2d, 0x35, 0x3d, 0x45, 0x4d,
  // ret k, ret a; tax, txa
  0x06, 0x16, 0x07, 0x87,
]);

/** @throws InsnError with the number of the first insn that the kernel would refuse. */
export function checkClassic(insns: readonly ClassicInsn[]): void {
  if (insns.length === 0 || insns.length > BPF_MAXINSNS) {
    throw new InsnError(`expected 1 to ${BPF_MAXINSNS} insns, got ${insns.length}`, 0);
  }
  insns.forEach(({ code, jt, jf, k }, pc) => {
    const fail = (message: string): never => {
      throw new InsnError(message, pc);
    };
    if (!ALLOWED.has(code)) fail(`no such instruction: 0x${code.toString(16).padStart(2, "0")}`);
    const left = insns.length - pc - 1;
    switch (code) {
      case 0x34:
      case 0x94:
        if (k === 0) fail("division by zero");
        break;
      case 0x64:
      case 0x74:
        if (k >= 32) fail(`expected a shift below 32, got ${k}`);
        break;
      case 0x60:
      case 0x61:
      case 0x02:
      case 0x03:
        if (k >= BPF_MEMWORDS) fail(`expected a word from M[0] to M[15], got M[${k}]`);
        break;
      case 0x05:
        if (k >= left) fail(`jumps ${k} insns forward, expected less than ${left}`);
        break;
      case 0x20:
      case 0x28:
      case 0x30: {
        const extension = (k | 0) - SKF_AD_OFF;
        const isKnown = extension % 4 === 0 && extension <= SkfAd.VLAN_TPID;
        if (extension >= 0 && (k | 0) < 0 && !isKnown) fail(`no extension ${extension}`);
        break;
      }
      default:
        if ((code & 7) === 5 && (jt >= left || jf >= left)) {
          fail(`jumps ${Math.max(jt, jf)} insns forward, expected less than ${left}`);
        }
    }
  });
  const last = insns[insns.length - 1]!;
  if (last.code !== 0x06 && last.code !== 0x16) throw new InsnError("expected ret at the end", insns.length - 1);
  checkMemory(insns);
  const far = firstFarJump(insns);
  if (far !== undefined) throw new InsnError("jumps farther than 32767 insns of the eBPF that the kernel makes", far);
}

/** Words of M are written before they are read, on every way: jumps go forward, so one pass is enough. */
function checkMemory(insns: readonly ClassicInsn[]): void {
  const masks = new Uint16Array(insns.length).fill(0xffff);
  let valid = 0;
  insns.forEach(({ code, jt, jf, k }, pc) => {
    valid &= masks[pc]!;
    switch (code) {
      case 0x02:
      case 0x03:
        valid |= 1 << k;
        break;
      case 0x60:
      case 0x61:
        if (!(valid & (1 << k))) throw new InsnError(`M[${k}] is read before it is written`, pc);
        break;
      case 0x05:
        masks[pc + 1 + k]! &= valid;
        valid = 0xffff;
        break;
      default:
        if ((code & 7) === 5) {
          masks[pc + 1 + jt]! &= valid;
          masks[pc + 1 + jf]! &= valid;
          valid = 0xffff;
        }
    }
  });
}
