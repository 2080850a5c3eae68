/**
 * Which stack slots may live in wasm locals, where V8 keeps them in machine registers.
 *
 * A slot qualifies when every access that can touch its bytes is known: direct, at exactly its place and size. That
 * rests on two facts: the program was verified, so that only pointers derived from r10 reach the stack (a scalar or
 * another object's pointer cannot), and values.ts follows everything derived from r10, so that a pointer which escapes
 * it (stored, passed to another function, moved by an unknown amount) is seen here and gives the whole frame up.
 * A helper that only reads its argument does not stop promotion: the local is written to its home before the call.
 */
import {
  BPF_ATOMIC,
  BPF_LDX,
  BPF_LOAD_ACQ,
  BPF_MEM,
  BPF_PSEUDO_CALL,
  BPF_ST,
  BPF_STX,
  CLASS_MASK,
  type Insn,
  MODE_MASK,
  OP_CALL,
  OP_CALLX,
  STACK_SIZE,
} from "../../isa/index.ts";
import { sizeBytes } from "../code.ts";
import type { Block } from "./cfg.ts";
import { type Bound, copyState, type EntryStates, FRAME, isFrame, newState, type State, transfer } from "./values.ts";

/** Bytes that a call may touch through an argument register. `end` undefined: as far as the frame goes. */
export interface ArgUse {
  readonly register: number;
  readonly size: number | undefined;
  readonly writes: boolean;
}

/** What a call does with r1-r5; undefined when it may do anything. */
export type CallUses = (call: Insn, s: State) => readonly ArgUse[] | undefined;

/** Promoted slots: offset from r10 to size in bytes. */
export type Slots = ReadonlyMap<number, number>;

interface Touch {
  readonly from: number;
  readonly to: number;
}

export function findSlots(
  blocks: readonly Block[],
  states: Readonly<EntryStates>,
  bound: Bound,
  uses: CallUses,
): Slots {
  const none: Slots = new Map();
  const direct = new Map<number, { size: number; ok: boolean }>();
  const pinned: Touch[] = [];
  const s = newState();
  for (let b = 0; b < blocks.length; b++) {
    const entry = states[b];
    if (!entry) continue;
    copyState(s, entry);
    for (const insn of blocks[b]!.insns) {
      const cls = insn.opcode & CLASS_MASK;
      const isCall = insn.opcode === OP_CALL || insn.opcode === OP_CALLX;
      if (cls === BPF_LDX || cls === BPF_ST || cls === BPF_STX) {
        const mode = insn.opcode & MODE_MASK;
        const isAtomic = cls === BPF_STX && mode === BPF_ATOMIC;
        const stores = cls === BPF_STX && !(isAtomic && insn.imm === BPF_LOAD_ACQ);
        if (stores && isFrame(s, insn.src)) return none;
        // cmpxchg stores src and compares r0; a frame address there is only compared.
        const base = cls === BPF_LDX || (isAtomic && insn.imm === BPF_LOAD_ACQ) ? insn.src : insn.dst;
        if (isFrame(s, base)) {
          if (s.kind[base] !== FRAME) return none;
          touch(direct, pinned, s.num[base]! + insn.off, sizeBytes(insn.opcode), mode === BPF_MEM);
        }
      } else if (isCall) {
        if (insn.src === BPF_PSEUDO_CALL && insn.opcode === OP_CALL) {
          for (let r = 1; r <= 5; r++) if (isFrame(s, r)) return none;
        } else if (!pinArguments(s, uses(insn, s), pinned)) return none;
      }
      transfer(s, insn, bound);
    }
  }
  const slots = new Map<number, number>();
  const all = [...direct].sort((a, b) => a[0] - b[0]);
  for (let i = 0; i < all.length; i++) {
    const [off, { size, ok }] = all[i]!;
    if (!ok || off < -STACK_SIZE || off + size > 0) continue;
    const overlaps =
      all.some(([o, d]) => o !== off && o < off + size && off < o + d.size) ||
      pinned.some((p) => p.from < off + size && off < p.to);
    if (!overlaps) slots.set(off, size);
  }
  return slots;
}

function touch(
  direct: Map<number, { size: number; ok: boolean }>,
  pinned: Touch[],
  off: number,
  size: number,
  isPlain: boolean,
): void {
  const known = direct.get(off);
  if (!isPlain) pinned.push({ from: off, to: off + size });
  else if (!known) direct.set(off, { size, ok: true });
  else if (known.size !== size) {
    known.ok = false;
    known.size = Math.max(known.size, size);
  }
}

/** False when a frame pointer gets out of sight. */
function pinArguments(s: State, uses: readonly ArgUse[] | undefined, pinned: Touch[]): boolean {
  if (!uses) {
    for (let r = 1; r <= 5; r++) if (isFrame(s, r)) return false;
    return true;
  }
  for (const use of uses) {
    if (!isFrame(s, use.register)) continue;
    if (s.kind[use.register] !== FRAME) return false;
    if (!use.writes) continue;
    const from = s.num[use.register]!;
    pinned.push({ from, to: use.size === undefined ? 0 : from + use.size });
  }
  return true;
}
