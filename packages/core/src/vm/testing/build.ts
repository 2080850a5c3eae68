/**
 * What generated programs are made of: operations, and the builder that they emit insns into. See generate.ts for the
 * invariant that every operation keeps. For tests and scripts alone.
 */
import type { SeededRandom } from "../../bytes/index.ts";
import { encode, type InsnInit, OP_LDDW, slotsOf } from "../../isa/index.ts";
import type { Reloc } from "../../object/index.ts";

/** Bytes of the packet that every program has checked. Packets must be at least this long. */
export const PACKET_ROOM = 64;
export const STACK_ROOM = 128;
export const VALS_ROOM = 128;
/** Where r0-r5 end up in `vals`. */
export const RESULTS_AT = VALS_ROOM;
/** In `vals`: the index of a tail call on its way there. */
export const SLOT_AT = RESULTS_AT + 56;
export const KEY_AT = -STACK_ROOM - 8;
export const VALUE_AT = -STACK_ROOM - 32;

/** One operation: emits insns, and says what it is when a failure is printed. */
export interface Operation {
  readonly kind: string;
  readonly emit: (b: Builder) => void;
  /** The subprogram that it calls. */
  readonly calls?: number;
  /** Operations inside of it, in groups; shrinking drops them one by one through `rebuild`. */
  readonly groups?: readonly (readonly Operation[])[];
  readonly rebuild?: (groups: readonly (readonly Operation[])[]) => Operation;
}

/** Which hook a program is for. */
export type Hook = "xdp" | "tc";

/** Collects insns with jumps to marks. */
export class Builder {
  readonly hook: Hook;
  readonly insns: InsnInit[] = [];
  readonly relocs: Reloc[] = [];
  readonly #jumps: { index: number; mark: number; field: "off" | "imm" }[] = [];
  readonly #marks: number[] = [];
  #slots = 0;
  /** Marks of the subprograms. */
  readonly functions: number[] = [];

  constructor(hook: Hook) {
    this.hook = hook;
  }

  put(insn: InsnInit): void {
    this.insns.push(insn);
    this.#slots += slotsOf(insn);
  }
  lddwMap(dst: number, name: string, src: 1 | 2): void {
    const pc = this.#slots;
    this.relocs.push(src === 1 ? { pc, kind: "map", name } : { pc, kind: "mapValue", name, offset: 0 });
    this.put({ opcode: OP_LDDW, dst, src });
  }
  newMark(): number {
    return this.#marks.push(-1) - 1;
  }
  here(mark: number): void {
    this.#marks[mark] = this.#slots;
  }
  jump(insn: InsnInit, mark: number, field: "off" | "imm" = "off"): void {
    this.#jumps.push({ index: this.insns.length, mark, field });
    this.put(insn);
  }
  code(): Uint8Array {
    const at: number[] = [];
    let slot = 0;
    for (const insn of this.insns) {
      at.push(slot);
      slot += slotsOf(insn);
    }
    const out = this.insns.slice();
    for (const { index, mark, field } of this.#jumps) {
      out[index] = { ...out[index]!, [field]: this.#marks[mark]! - at[index]! - 1 };
    }
    return encode(out);
  }
}

/** What operations a place may hold. */
export interface Place {
  readonly hook: Hook;
  readonly inMain: boolean;
  readonly inLoop: boolean;
  readonly depth: number;
  /** Subprograms that may be called from here: those with a higher number. */
  readonly callable: readonly number[];
}

/** After a call r1-r5 hold nothing: scalars again, from the stack. */
export function restore(b: Builder, from: number): void {
  for (let r = from; r < 6; r++) b.put({ opcode: 0x79, dst: r, src: 10, off: -8 * (r + 1) });
}

export type Maker = (r: SeededRandom, place: Place) => Operation | undefined;

export const plain = (kind: string, ...insns: readonly InsnInit[]): Operation => ({
  kind,
  emit: (b) => {
    for (const insn of insns) b.put(insn);
  },
});
