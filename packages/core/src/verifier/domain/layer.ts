/**
 * Precision of spilled numbers from one saved state to the next. What is looked at after a state was saved must be told
 * apart from what was before, so a number that lives on has a node of its own for each saved state; but most spilled
 * numbers are not looked at again before they are overwritten. So their nodes are made when they are asked for.
 */
import { freshNode, Kind, type Reg } from "./reg.ts";
import type { Frame, Slot } from "./state.ts";

/** Of one frame of a saved state: its stack. A slot that a frame still shares with it has had no insn write to it since. */
export class Layer {
  readonly #stack: readonly (Slot | undefined)[];
  /** What the frame shared with the state saved before. */
  readonly #below: Layer | undefined;
  #fresh: (Reg | undefined)[] | undefined;

  constructor(stack: readonly (Slot | undefined)[], below: Layer | undefined) {
    this.#stack = stack;
    this.#below = below;
  }

  shares(index: number, slot: Slot): boolean {
    return this.#stack[index] === slot;
  }

  /** The spilled number of a shared slot, with its node since this state was saved. */
  held(index: number, slot: Slot): Reg {
    const asked: Layer[] = [];
    let reg: Reg | undefined;
    for (let at: Layer | undefined = this; at?.shares(index, slot); at = at.#below) {
      reg = at.#fresh?.[index];
      if (reg) break;
      asked.push(at);
    }
    reg ??= slot.reg!;
    for (let at = asked.pop(); at; at = asked.pop()) (at.#fresh ??= [])[index] = reg = freshNode(reg);
    return reg;
  }

  /** Some check has looked at it since this state was saved. */
  isPrecise(index: number): boolean {
    return this.#fresh?.[index]?.node?.precise ?? false;
  }
}

/** What the spill in a slot holds, as its insn is to use it. */
export function heldIn(frame: Frame, index: number): Reg | undefined {
  const slot = frame.stack[index];
  if (!slot || !isTracked(slot)) return slot?.reg;
  return frame.layer?.shares(index, slot) ? frame.layer.held(index, slot) : slot.reg;
}

/** Some check has looked at the number in a slot of this frame, since its state was saved. */
export function isPreciseIn(frame: Frame, index: number): boolean {
  const slot = frame.stack[index];
  if (!slot) return false;
  return frame.layer?.shares(index, slot) ? frame.layer.isPrecise(index) : (slot.reg?.node?.precise ?? false);
}

/** The saved frame and the running one now share a stack, until one of its slots is written. */
export function layer(saved: Frame, running: Frame): void {
  if (saved.stack.some((slot) => slot && isTracked(slot))) {
    saved.layer = running.layer = new Layer(saved.stack, running.layer);
  }
}

function isTracked({ reg }: Slot): boolean {
  return reg?.kind === Kind.SCALAR && reg.node !== undefined;
}
