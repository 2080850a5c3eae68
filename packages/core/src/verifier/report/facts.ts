/**
 * What a walk in facts mode learns of a program, for engines, receipts and editors: per insn what the live registers
 * hold, the longest run in insns, how often each loop goes round at most.
 *
 * Sound because in this mode a state is pruned only where an earlier one holds all values of its live registers (the
 * usual walk forgives numbers that nothing checks), so what was seen at an insn is all that can be there; and because a
 * pruned path counts as long as the longest one from the state that stands for it.
 */
import { isJump, jumpTarget } from "../../isa/index.ts";
import { isPseudoCall, type Program } from "../cfg/program.ts";
import { Kind, kindName, MAYBE_NULL, type Reg } from "../domain/reg.ts";
import type { Scalar } from "../domain/scalar.ts";
import type { Checkpoint, State } from "../domain/state.ts";

/** What a register holds before an insn, over all paths. u64 bounds; signed ones where they say more. */
export interface RegisterFact {
  readonly register: number;
  /** Kinds of value, in plain words: `number`, `packet`, `map value`. */
  readonly kinds: readonly string[];
  /** A pointer that may be NULL on some path. */
  readonly maybeNull: boolean;
  /** The number, or the pointer's distance from its base where it has one kind: all of it, fixed part included. */
  readonly umin: bigint;
  readonly umax: bigint;
  readonly smin: bigint;
  readonly smax: bigint;
  /** Bits that are known: those of `mask` are not. */
  readonly bits: { readonly value: bigint; readonly mask: bigint };
}

export interface InsnFact {
  readonly pc: number;
  /** Registers that may be read before they are written again, and that are set. */
  readonly registers: readonly RegisterFact[];
}

export interface LoopFact {
  /** The loop's first insn: where its backward jumps go. */
  readonly pc: number;
  /** How often that insn runs at most in one run of the program; undefined where the verifier proves only that it ends. */
  readonly bound: number | undefined;
}

interface Seen {
  kinds: Set<string>;
  maybeNull: boolean;
  umin: bigint;
  umax: bigint;
  smin: bigint;
  smax: bigint;
  value: bigint;
  mask: bigint;
}

/** Collects what the registers hold, insn by insn. */
export class InsnFacts {
  readonly #seen = new Map<number, (Seen | undefined)[]>();
  readonly #live: Uint16Array;

  constructor(program: Program) {
    this.#live = program.live;
  }

  observe(pc: number, state: State): void {
    let seen = this.#seen.get(pc);
    if (!seen) {
      seen = new Array(10).fill(undefined);
      this.#seen.set(pc, seen);
    }
    const { regs } = state.frame;
    for (let i = 0, set = this.#live[pc]! & 0x3ff; set; i++, set >>= 1) {
      if (set & 1 && regs[i]!.kind !== Kind.NOT_INIT) seen[i] = join(seen[i], regs[i]!);
    }
  }

  list(): InsnFact[] {
    return [...this.#seen]
      .sort(([a], [b]) => a - b)
      .map(([pc, seen]) => ({ pc, registers: seen.flatMap((s, register) => (s ? [factOf(register, s)] : [])) }));
  }
}

function join(seen: Seen | undefined, r: Reg): Seen {
  const { umin, umax, smin, smax, value, mask } = spanOf(r);
  const kind = kindName(r);
  if (!seen) {
    const maybeNull = (r.flags & MAYBE_NULL) !== 0;
    return { kinds: new Set([kind]), maybeNull, umin, umax, smin, smax, value, mask };
  }
  seen.kinds.add(kind);
  if (r.flags & MAYBE_NULL) seen.maybeNull = true;
  if (umin < seen.umin) seen.umin = umin;
  if (umax > seen.umax) seen.umax = umax;
  if (smin < seen.smin) seen.smin = smin;
  if (smax > seen.smax) seen.smax = smax;
  seen.mask |= mask | (value ^ seen.value);
  seen.value &= ~seen.mask;
  return seen;
}

/** A number's bounds; of a pointer those of its distance, without what is known of single bits. */
function spanOf(r: Reg): Omit<Seen, "kinds" | "maybeNull"> {
  const v: Scalar = r.val;
  if (r.kind === Kind.SCALAR) {
    return { umin: v.umin, umax: v.umax, smin: v.smin, smax: v.smax, value: v.tnum.value, mask: v.tnum.mask };
  }
  const off = BigInt(r.off);
  const smin = v.smin + off;
  const smax = v.smax + off;
  const sure = smin >= 0n;
  const all = (1n << 64n) - 1n;
  if (smin === smax) {
    const n = BigInt.asUintN(64, smin);
    return { umin: n, umax: n, smin, smax, value: n, mask: 0n };
  }
  return { umin: sure ? smin : 0n, umax: sure ? smax : all, smin, smax, value: 0n, mask: all };
}

function factOf(register: number, s: Seen): RegisterFact {
  const { maybeNull, umin, umax, smin, smax } = s;
  return {
    register,
    kinds: [...s.kinds].sort(),
    maybeNull,
    umin,
    umax,
    smin,
    smax,
    bits: { value: s.value, mask: s.mask },
  };
}

/** Counts along paths: insns, passes through the first insn of each loop, calls of each global function. */
export class Lengths {
  /** By pc: what the insn counts for besides itself, 0 for nothing. */
  readonly #counter: Uint16Array;
  readonly #loops: readonly number[];
  readonly #globals: readonly number[];
  readonly #width: number;
  /** Most that a path of each root has counted; the root is a function's first pc. */
  readonly #most = new Map<number, Float64Array>();
  /** Some path goes round a loop that only a limit outside of the walk ends. */
  #endless = false;

  constructor(program: Program, isGlobal: (pc: number) => boolean) {
    const { insns } = program;
    const heads = new Set<number>();
    const globals = new Set<number>();
    for (const insn of insns) {
      if (!insn) continue;
      if (isJump(insn) && jumpTarget(insn) <= insn.pc) heads.add(jumpTarget(insn));
      if (isPseudoCall(insn) && isGlobal(insn.pc + insn.imm + 1)) globals.add(insn.pc + insn.imm + 1);
    }
    this.#loops = [...heads].sort((a, b) => a - b);
    this.#globals = [...globals];
    this.#width = 1 + this.#loops.length + this.#globals.length;
    this.#counter = new Uint16Array(insns.length);
    this.#loops.forEach((pc, i) => {
      this.#counter[pc] = i + 1;
    });
    // A call that is a loop's first insn, too, counts as the loop; the function then is not counted: give up on length.
    for (const insn of insns) {
      if (!insn || !isPseudoCall(insn)) continue;
      const index = this.#globals.indexOf(insn.pc + insn.imm + 1);
      if (index < 0) continue;
      if (this.#counter[insn.pc]) this.#endless = true;
      else this.#counter[insn.pc] = 1 + this.#loops.length + index;
    }
  }

  start(): Float64Array {
    return new Float64Array(this.#width);
  }

  step(state: State, pc: number): void {
    const counts = state.counts!;
    counts[0]!++;
    const also = this.#counter[pc]!;
    if (also) counts[also]!++;
  }

  /** A path of `root` ends: by itself, or in a state that `standIn` stands for. */
  end(root: number, state: State, standIn: Checkpoint | undefined, loop: boolean): void {
    if (loop) this.#endless = true;
    const total = state.counts!.slice();
    const rest = standIn?.remaining;
    if (rest) for (let k = 0; k < total.length; k++) total[k]! += rest[k]!;
    raise(this.#most, root, total);
    for (let p = state.parent; p; p = p.parent) {
      const { remaining } = p;
      const before = p.state.counts!;
      if (!remaining) break;
      let more = false;
      for (let k = 0; k < total.length; k++) {
        const left = total[k]! - before[k]!;
        if (left <= remaining[k]!) continue;
        remaining[k] = left;
        more = true;
      }
      if (!more) break;
    }
  }

  /** Insns of the longest run, global functions included; undefined where no number is known. */
  longest(): number | undefined {
    return this.#endless ? undefined : this.#whole(0, 0);
  }

  loops(): LoopFact[] {
    return this.#loops.map((pc, i) => {
      const bound = this.#endless ? undefined : this.#whole(0, i + 1);
      return { pc, bound };
    });
  }

  /** Count `k` of a root's worst path, and of the functions that it calls, each as often as it calls it at most. */
  #whole(root: number, k: number): number {
    const most = this.#most.get(root);
    if (!most) return 0;
    let sum = most[k]!;
    this.#globals.forEach((pc, i) => {
      const calls = most[1 + this.#loops.length + i]!;
      if (calls) sum += calls * this.#whole(pc, k);
    });
    return sum;
  }
}

function raise(most: Map<number, Float64Array>, root: number, total: Float64Array): void {
  const known = most.get(root);
  if (!known) most.set(root, total.slice());
  else for (let k = 0; k < known.length; k++) known[k] = Math.max(known[k]!, total[k]!);
}
