/** Random classic filters that pass the checker. For tests alone. */
import type { SeededRandom } from "../../bytes/index.ts";
import { cbpf } from "../../isa/index.ts";

const ALU = [0x04, 0x14, 0x24, 0x34, 0x44, 0x54, 0x64, 0x74, 0x94, 0xa4];
const JUMPS = [0x15, 0x25, 0x35, 0x45];
const SIZES = [0x20, 0x28, 0x30];
const EXTENSIONS = [cbpf.SkfAd.PROTOCOL, cbpf.SkfAd.MARK, cbpf.SkfAd.ALU_XOR_X, cbpf.SkfAd.VLAN_TAG_PRESENT];

/** @param extensions data about the packet may be read. */
export function classicFilter(random: SeededRandom, extensions = true): cbpf.ClassicInsn[] {
  for (;;) {
    const n = 3 + random.below(40);
    const insns = Array.from({ length: n }, (_, pc) => one(random, n - pc, extensions));
    // A result of 6 bits: a packet is longer, so its trimmed length shows the whole of it.
    insns.push({ code: 0x54, jt: 0, jf: 0, k: 0x3f }, { code: 0x16, jt: 0, jf: 0, k: 0 });
    try {
      cbpf.checkClassic(insns);
      return insns;
    } catch {
      // Reads of M before writes: try another one.
    }
  }
}

function one(random: SeededRandom, left: number, extensions: boolean): cbpf.ClassicInsn {
  const insn = (code: number, k: number, jt = 0, jf = 0): cbpf.ClassicInsn => ({ code, jt, jf, k: k >>> 0 });
  const number = random.chance(0.6) ? random.below(80) : random.u32();
  switch (random.below(11)) {
    case 0:
      return insn(random.pick([0x00, 0x01]), number);
    case 1:
      return insn(random.pick(SIZES), random.chance(0.9) ? random.below(64) : number);
    case 2:
      return insn(random.pick(SIZES) + 0x20, random.chance(0.9) ? random.below(40) : number);
    case 3:
      return insn(random.pick([0x07, 0x87, 0x84, 0x80, 0x81]), 0);
    case 4:
      return insn(0xb1, random.below(64));
    case 5:
      return insn(random.pick([0x02, 0x03]), random.below(16));
    case 6:
      return random.chance(0.3) ? insn(random.pick([0x60, 0x61]), random.below(16)) : insn(0x02, random.below(16));
    case 7: {
      const jump = (): number => random.below(Math.min(left, 10));
      const code = random.pick(JUMPS) | (random.chance(0.3) ? 8 : 0);
      return insn(code, code & 8 ? 0 : number, jump(), jump());
    }
    case 8:
      if (extensions && random.chance(0.5)) return insn(0x20, cbpf.SKF_AD_OFF + random.pick(EXTENSIONS));
      return insn(random.pick(ALU) | 8, 0);
    default: {
      const code = random.pick(ALU);
      if (code === 0x64 || code === 0x74) return insn(code, random.below(32));
      return insn(code, (code === 0x34 || code === 0x94) && number === 0 ? 1 : number);
    }
  }
}
