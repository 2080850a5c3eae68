/**
 * Finds rotations that are written as two shifts and an OR: `x << k | x >> (w - k)`. V8 recognises the 32-bit form
 * only, and only where both shifts are close together; as one wasm rotate it costs 1 instead of 3 operations.
 *
 * Value numbering inside each block tells that both shifts saw the same value. The value may be overwritten by then
 * (the first shift often works in place), so it is saved to a temporary before the earlier shift.
 */
import {
  BPF_ADD,
  BPF_ALU,
  BPF_ALU64,
  BPF_ATOMIC,
  BPF_LD,
  BPF_LDX,
  BPF_LSH,
  BPF_MOV,
  BPF_OR,
  BPF_RSH,
  BPF_STX,
  BPF_X,
  BPF_XOR,
  CLASS_MASK,
  type Insn,
  MODE_MASK,
  OP_CALL,
  OP_CALLX,
  OP_MASK,
} from "../../isa/index.ts";
import type { Block } from "./cfg.ts";
import { REGISTERS } from "./values.ts";

export interface Rotates {
  /** By slot: temporaries that take the insn's dst before it runs. */
  readonly saves: ReadonlyMap<number, readonly number[]>;
  /** By slot of the OR: dst becomes the temporary rotated left. */
  readonly rotates: ReadonlyMap<number, { readonly temp: number; readonly amount: number; readonly width: 32 | 64 }>;
  /** How many temporaries there are. */
  readonly temps: number;
}

interface Value {
  /** Set when the value is `of` shifted. */
  readonly shift?: {
    readonly left: boolean;
    readonly of: Value;
    readonly amount: number;
    readonly width: 32 | 64;
    readonly pc: number;
  };
  /** Already zero-extended from 32 bits. */
  readonly narrow: boolean;
}

export function findRotates(blocks: readonly Block[]): Rotates {
  const saves = new Map<number, number[]>();
  const rotates = new Map<number, { temp: number; amount: number; width: 32 | 64 }>();
  let temps = 0;
  for (const block of blocks) {
    const found = inBlock(block.insns).sort((a, b) => a.from - b.from);
    // Temporaries are used again once the rotation that needed them is past.
    const busy: { temp: number; until: number }[] = [];
    const free = Array.from({ length: temps }, (_, i) => i);
    for (const f of found) {
      for (let i = busy.length - 1; i >= 0; i--) {
        if (busy[i]!.until >= f.from) continue;
        free.push(busy[i]!.temp);
        busy.splice(i, 1);
      }
      const temp = free.pop() ?? temps++;
      busy.push({ temp, until: f.to });
      const list = saves.get(f.from);
      if (list) list.push(temp);
      else saves.set(f.from, [temp]);
      rotates.set(f.to, { temp, amount: f.amount, width: f.width });
    }
  }
  return { saves, rotates, temps };
}

function inBlock(insns: readonly Insn[]) {
  const found: { from: number; to: number; amount: number; width: 32 | 64 }[] = [];
  if (insns.length < 3) return found;
  const regs: Value[] = Array.from({ length: REGISTERS }, () => ({ narrow: false }));
  const lowHalves = new Map<Value, Value>();
  const low = (v: Value): Value => {
    if (v.narrow) return v;
    let half = lowHalves.get(v);
    if (!half) lowHalves.set(v, (half = { narrow: true }));
    return half;
  };
  for (const insn of insns) {
    const { opcode, dst, src, pc } = insn;
    const cls = opcode & CLASS_MASK;
    const op = opcode & OP_MASK;
    const isX = (opcode & BPF_X) !== 0;
    if (cls === BPF_ALU || cls === BPF_ALU64) {
      const width = cls === BPF_ALU64 ? 64 : 32;
      const narrow = width === 32;
      if (op === BPF_MOV && isX && insn.off === 0) {
        regs[dst] = narrow ? low(regs[src]!) : regs[src]!;
        continue;
      }
      if ((op === BPF_LSH || op === BPF_RSH) && !isX) {
        const of = narrow ? low(regs[dst]!) : regs[dst]!;
        regs[dst] = { narrow, shift: { left: op === BPF_LSH, of, amount: insn.imm & (width - 1), width, pc } };
        continue;
      }
      if ((op === BPF_OR || op === BPF_ADD || op === BPF_XOR) && isX) {
        const a = regs[dst]!.shift;
        const b = regs[src]!.shift;
        const matches =
          a && b && a.left !== b.left && a.of === b.of && a.width === width && b.width === width && a.amount > 0;
        if (matches && a.amount + b.amount === width) {
          found.push({ from: Math.min(a.pc, b.pc), to: pc, amount: a.left ? a.amount : b.amount, width });
        }
      }
      regs[dst] = { narrow };
    } else if (opcode === OP_CALL || opcode === OP_CALLX) {
      for (let r = 0; r < 6; r++) regs[r] = { narrow: false };
    } else if (cls === BPF_LD) {
      regs[0] = { narrow: false };
      regs[dst] = { narrow: false };
    } else if (cls === BPF_LDX) regs[dst] = { narrow: false };
    else if (cls === BPF_STX && (opcode & MODE_MASK) === BPF_ATOMIC) {
      regs[0] = regs[src] = regs[dst] = { narrow: false };
    }
  }
  return found;
}
