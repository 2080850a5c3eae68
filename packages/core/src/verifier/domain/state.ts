/**
 * The abstract machine at one insn of one path: call frames with registers and stack, held references and locks.
 * Values inside (Reg, Slot) are immutable, so copying a state copies arrays of pointers.
 *
 * A stack slot is 8 bytes. Of a saved state pruning asks one question: was this slot read before it was overwritten?
 * A frame knows which slots were written since its state was saved last (`written`), a saved frame which were read after
 * it (`read`); a read marks the saved states upwards until it comes to where the slot was written.
 */
import { heldIn, type Layer } from "./layer.ts";
import { freshNode, NOT_INIT, type Reg } from "./reg.ts";

/** What a stack byte holds. */
export const Byte = { INVALID: 0, SPILL: 1, MISC: 2, ZERO: 3, DYNPTR: 4, ITER: 5, IRQ: 6 } as const;
export type Byte = (typeof Byte)[keyof typeof Byte];

export interface Slot {
  /** Eight `Byte`s, lowest address first, 4 bits each. */
  readonly bytes: number;
  /** The spilled register, where the bytes say SPILL; what a special slot keeps. */
  readonly reg: Reg | undefined;
  /** Dynptr or iterator state, where the bytes say so. */
  readonly special: Special | undefined;
}

/** State of a dynptr (two slots) or an iterator. */
export interface Special {
  readonly kind: string;
  /** The slot with the lower index (the higher address) is the first of its object. */
  readonly first: boolean;
  readonly id: number;
  readonly ref: number;
  /** Iterators: active or drained. */
  readonly active: boolean;
  readonly depth: number;
  /** Iterators: `RCU` while the read lock that they rest on is held, `UNTRUSTED` once it is not. */
  readonly flags: number;
}

/** All eight bytes of one kind. */
export function fill(byte: Byte): number {
  return (0x1111_1111 * byte) >>> 0;
}

export function byteAt(bytes: number, index: number): Byte {
  return ((bytes >>> (index * 4)) & 15) as Byte;
}

export function withByte(bytes: number, index: number, byte: Byte): number {
  return ((bytes & ~(15 << (index * 4))) | (byte << (index * 4))) >>> 0;
}

/** Bytes from the slot's start of the lowest SPILL byte; 8 when there is none. A spill fills a slot's low addresses up. */
export function spillSize(bytes: number): number {
  let n = 0;
  while (n < 8 && byteAt(bytes, n) === Byte.SPILL) n++;
  return n;
}

export function isSpill(slot: Slot | undefined): boolean {
  return slot !== undefined && byteAt(slot.bytes, 0) === Byte.SPILL;
}

/** A set of stack slots by index: 64 bits in two halves. */
export class SlotSet {
  low = 0;
  high = 0;

  has(index: number): boolean {
    return ((index < 32 ? this.low >>> index : this.high >>> (index - 32)) & 1) !== 0;
  }

  add(index: number): void {
    if (index < 32) this.low |= 1 << index;
    else this.high |= 1 << (index - 32);
  }

  set(low: number, high: number): void {
    this.low = low;
    this.high = high;
  }
}

/**
 * The content of slot `index` of a frame was needed: every saved state that passed it down must agree on it, and so must
 * the states that those stand in for.
 */
export function markRead(state: State, frame: Frame, index: number): void {
  if (!state.parent || frame.written.has(index)) return;
  const depth = state.frames.indexOf(frame);
  let work: Follower[] | undefined;
  for (let next: Follower | undefined = state; next; next = work?.pop()) {
    let below = next.frames[depth]!;
    for (let p = next.parent; p && !below.written.has(index); p = p.parent) {
      const saved = p.state.frames[depth]!;
      if (saved.read.has(index)) break;
      saved.read.add(index);
      if (p.followers) (work ??= []).push(...p.followers);
      below = saved;
    }
  }
}

/** Puts a slot whose eight bytes are all new. */
export function overwrite(frame: Frame, index: number, slot: Slot | undefined): void {
  frame.setSlot(index, slot);
  frame.written.add(index);
}

export class Frame {
  regs: Reg[];
  /** See `stack`: copies of a frame share one until they write to it. */
  #stack: (Slot | undefined)[];
  #shared: boolean;
  /** Slots that are wholly new since the state was saved last; all of them in a frame that did not exist then. */
  readonly written = new SlotSet();
  /** Of a saved frame: slots whose content was needed later on. */
  readonly read = new SlotSet();
  /** What of the stack is shared with the state that was saved last. */
  layer: Layer | undefined;
  /** pc of the call, -1 in the program's own frame. */
  readonly callsite: number;
  /** First pc of the function. */
  readonly subprog: number;
  /** Set in a frame that a helper called. */
  readonly callback: Callback | undefined;
  /** How often the callback of the call that this frame is at has been walked in a row. */
  callbackDepth = 0;

  constructor(callsite: number, subprog: number, callback?: Callback, of?: Frame) {
    this.callsite = callsite;
    this.subprog = subprog;
    this.callback = callback;
    this.regs = of ? of.regs.slice() : new Array(11).fill(NOT_INIT);
    this.#stack = of ? of.#stack : [];
    this.#shared = of !== undefined;
    if (of) of.#shared = true;
    this.layer = of?.layer;
    if (of) this.written.set(of.written.low, of.written.high);
    else this.written.set(-1, -1);
  }

  /** Index 0 is fp-8 … fp-1, upwards in index is downwards in address. */
  get stack(): readonly (Slot | undefined)[] {
    return this.#stack;
  }

  setSlot(index: number, slot: Slot | undefined): void {
    if (this.#shared) {
      this.#stack = this.#stack.slice();
      this.#shared = false;
    }
    this.#stack[index] = slot;
  }

  clone(): Frame {
    const copy = new Frame(this.callsite, this.subprog, this.callback, this);
    copy.callbackDepth = this.callbackDepth;
    return copy;
  }
}

/** Why a helper called this frame. */
export interface Callback {
  /** The helper or kfunc. */
  readonly name: string;
  /** Runs later, not below the caller (timers): leaving it ends the path. */
  readonly async: boolean;
  /** Range that r0 must be in at its exit. */
  readonly retMin: number;
  readonly retMax: number;
}

export interface Reference {
  readonly id: number;
  /** The insn that acquired it. */
  readonly pc: number;
  /** The callback frame that acquired it, 0 outside of callbacks: it must be released there. */
  readonly frame: number;
}

/**
 * One fork of the path that led here: `taken` when it is the side that was queued (of a jump: its target). Decided jumps
 * are no forks. Oldest is last in the chain.
 */
export interface PathStep {
  readonly pc: number;
  readonly taken: boolean;
  readonly prev: PathStep | undefined;
}

export class State {
  frames: Frame[] = [];
  refs: readonly Reference[] = [];
  /** The spin lock held: what it lives in, and its id. */
  lock: { readonly obj: unknown; readonly id: number } | undefined;
  /** The other kind of lock, which may be held several times: in the order taken. */
  resLocks: readonly { readonly obj: unknown; readonly id: number; readonly irq: boolean }[] = [];
  /** Saved interrupt states, by id, in the order saved: the last is restored first. */
  irqs: readonly { readonly id: number; readonly lock: boolean; readonly pc: number }[] = [];
  rcuDepth = 0;
  preemptDepth = 0;
  mayGotoDepth = 0;
  /** In a callback that may sleep although its program does not. */
  sleeps = false;
  /** Callback rounds that this path is made of. */
  unrolled = 0;
  parent: Checkpoint | undefined;
  path: PathStep | undefined;
  /** In facts mode: what this path has counted so far. */
  counts: Float64Array | undefined;

  get frame(): Frame {
    return this.frames[this.frames.length - 1]!;
  }

  clone(): State {
    const copy = new State();
    copy.frames = this.frames.map((f) => f.clone());
    copy.refs = this.refs;
    copy.lock = this.lock;
    copy.resLocks = this.resLocks;
    copy.irqs = this.irqs;
    copy.rcuDepth = this.rcuDepth;
    copy.preemptDepth = this.preemptDepth;
    copy.mayGotoDepth = this.mayGotoDepth;
    copy.sleeps = this.sleeps;
    copy.unrolled = this.unrolled;
    copy.parent = this.parent;
    copy.path = this.path;
    copy.counts = this.counts?.slice();
    return copy;
  }
}

/** Of a state that stands for another's walk, what is needed to pass on what that one reads. */
export interface Follower {
  readonly parent: Checkpoint | undefined;
  readonly frames: readonly { readonly written: SlotSet }[];
}

/** A state saved at an insn to prune later arrivals with. */
export interface Checkpoint {
  readonly pc: number;
  readonly state: State;
  readonly parent: Checkpoint | undefined;
  /** Paths from here that are not finished yet; at 0 everything from here is known to be safe. */
  branches: number;
  hits: number;
  misses: number;
  /** Saved states on the path before this one. */
  readonly depth: number;
  /**
   * Outermost state that a path from here came back to while that one was still being walked: until it is finished,
   * not all that matters here is known.
   */
  loopEntry: Checkpoint | undefined;
  /** States whose walk this one's stands for: what is read of this is read of them. */
  followers: Follower[] | undefined;
  /** Of a loop's first state: what is to be judged when all of the loop has been walked. */
  claims: Claim[] | undefined;
  /** In facts mode: the most that a path from here counts. */
  readonly remaining: Float64Array | undefined;
}

/**
 * In a loop that is being walked: `state` was given up at `pc` for `old`, from which it differs in nothing that had been
 * looked at so far. It holds when that is still so at the loop's end.
 */
export interface Claim {
  readonly old: Checkpoint;
  readonly state: State;
  readonly pc: number;
  readonly prevPc: number;
}

/**
 * Detaches the running state from what shares its numbers: fresh nodes, so that what is looked at from now on is told
 * apart from what was before. Only numbers that may be read again matter: `live` has a bit set of registers for each
 * frame. Spilled numbers have theirs by `layer.ts`.
 */
export function detach(state: State, live: (frame: number) => number): void {
  const { frames } = state;
  for (let f = 0; f < frames.length; f++) {
    const { regs } = frames[f]!;
    for (let i = 0, set = live(f); set; i++, set >>= 1) if (set & 1) regs[i] = freshNode(regs[i]!);
  }
}

/** Applies `f` to every register and every spilled register of all frames. */
export function mapRegs(state: State, f: (r: Reg) => Reg): void {
  for (const frame of state.frames) {
    const { regs, stack } = frame;
    for (let i = 0; i < 11; i++) {
      const r = regs[i]!;
      const n = f(r);
      if (n !== r) regs[i] = n;
    }
    for (let i = 0; i < stack.length; i++) {
      const slot = stack[i];
      if (!slot?.reg) continue;
      let n = f(slot.reg);
      if (n === slot.reg) continue;
      const held = heldIn(frame, i)!;
      if (held !== slot.reg) n = f(held);
      frame.setSlot(i, { ...slot, reg: n });
    }
  }
}
