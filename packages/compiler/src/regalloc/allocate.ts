/**
 * Register allocation by iterated register coalescing (George and Appel, "Iterated Register Coalescing", 1996):
 * simplify, coalesce moves conservatively, freeze, spill. r0 to r9 are the colours; a call's results and its scratch
 * registers are precoloured, so what lives across a call gets r6 to r9 by itself. Constants and frame addresses are
 * made again where they are used instead of being kept on the stack.
 */

import { InternalError } from "@ebplane/core/errors";
import { BPF_DW, BPF_LDX, BPF_MEM, BPF_ST, BPF_STX } from "@ebplane/core/isa";
import type { Slot } from "../ir/index.ts";
import {
  defsOf,
  FIRST_VIRTUAL,
  isMove,
  isRematerializable,
  type MBlock,
  type MInsn,
  MOV64_IMM,
  machineSuccessors,
  minsn,
  usesOf,
} from "./machine.ts";
import type { Machine } from "./select.ts";

const K = 10;
const LOAD = BPF_LDX | BPF_MEM | BPF_DW;
const STORE = BPF_STX | BPF_MEM | BPF_DW;
const STORE_IMM = BPF_ST | BPF_MEM | BPF_DW;

/** Gives every register a machine register, in place. Returns the stack slots that spilled values got. */
export function allocate(m: Machine): Slot[] {
  const slots: Slot[] = [];
  const temporaries = new Set<number>();
  for (let round = 0; ; round++) {
    if (round > 30) throw new InternalError("register allocation does not end");
    const colouring = new Colouring(m, temporaries);
    const spilled = colouring.run();
    if (!spilled.length) {
      colouring.apply();
      return slots;
    }
    for (const r of spilled) spill(m, r, slots, temporaries);
  }
}

/** Live registers at the end of each block. */
function liveness(m: Machine): Map<MBlock, Set<number>> {
  const gen = new Map<MBlock, Set<number>>();
  const kill = new Map<MBlock, Set<number>>();
  for (const b of m.blocks) {
    const g = new Set<number>();
    const k = new Set<number>();
    for (const i of b.insns) {
      for (const u of usesOf(i)) if (u !== 10 && !k.has(u)) g.add(u);
      for (const d of defsOf(i)) k.add(d);
    }
    gen.set(b, g);
    kill.set(b, k);
  }
  const liveIn = new Map<MBlock, Set<number>>(m.blocks.map((b) => [b, new Set(gen.get(b))]));
  const liveOut = new Map<MBlock, Set<number>>(m.blocks.map((b) => [b, new Set()]));
  for (let changed = true; changed; ) {
    changed = false;
    for (let n = m.blocks.length - 1; n >= 0; n--) {
      const b = m.blocks[n]!;
      const out = liveOut.get(b)!;
      const size = out.size;
      for (const s of machineSuccessors(b)) for (const r of liveIn.get(s)!) out.add(r);
      if (out.size === size && size) continue;
      const into = liveIn.get(b)!;
      const k = kill.get(b)!;
      for (const r of out) {
        if (!k.has(r) && !into.has(r)) {
          into.add(r);
          changed = true;
        }
      }
    }
  }
  return liveOut;
}

class Colouring {
  private readonly m: Machine;
  private readonly temporaries: ReadonlySet<number>;
  private readonly n: number;
  private readonly matrix: Set<number>[];
  private readonly degree: Float64Array;
  private readonly alias: Int32Array;
  private readonly moves: { x: number; y: number; weight: number }[] = [];
  private readonly moveList: number[][];
  private readonly moveState: ("worklist" | "active" | "done")[] = [];
  private readonly cost: Float64Array;
  private readonly removed: Uint8Array;
  private readonly coalesced: Uint8Array;
  private readonly stack: number[] = [];
  private readonly used: Uint8Array;
  private readonly colour: Int8Array;

  constructor(m: Machine, temporaries: ReadonlySet<number>) {
    this.m = m;
    this.temporaries = temporaries;
    this.n = m.registers;
    this.matrix = Array.from({ length: this.n }, () => new Set<number>());
    this.degree = new Float64Array(this.n);
    this.alias = Int32Array.from({ length: this.n }, (_, i) => i);
    this.moveList = Array.from({ length: this.n }, () => []);
    this.cost = new Float64Array(this.n);
    this.removed = new Uint8Array(this.n);
    this.coalesced = new Uint8Array(this.n);
    this.used = new Uint8Array(this.n);
    this.colour = new Int8Array(this.n).fill(-1);
    for (let r = 0; r < K; r++) {
      this.colour[r] = r;
      this.degree[r] = Number.POSITIVE_INFINITY;
    }
  }

  run(): number[] {
    this.build();
    this.simplifyAll();
    return this.select();
  }

  private addEdge(a: number, b: number): void {
    if (a === b || a === 10 || b === 10 || (a < K && b < K) || this.matrix[a]!.has(b)) return;
    this.matrix[a]!.add(b);
    this.matrix[b]!.add(a);
    if (a >= K) this.degree[a]!++;
    if (b >= K) this.degree[b]!++;
  }

  private build(): void {
    const liveOut = liveness(this.m);
    const remat = new Map<number, boolean>();
    for (const b of this.m.blocks) {
      const live = new Set(liveOut.get(b));
      const weight = 10 ** Math.min(b.depth, 5);
      for (let k = b.insns.length - 1; k >= 0; k--) {
        const i = b.insns[k]!;
        const uses = usesOf(i);
        const defs = defsOf(i);
        for (const u of uses) {
          this.used[u] = 1;
          this.cost[u]! += weight;
        }
        for (const d of defs) {
          this.used[d] = 1;
          this.cost[d]! += weight;
          if (d >= FIRST_VIRTUAL) remat.set(d, isRematerializable(i) && remat.get(d) !== false && !remat.has(d));
        }
        if (isMove(i) && i.src !== 10 && i.dst !== i.src) {
          live.delete(i.src);
          const id = this.moves.length;
          this.moves.push({ x: i.dst, y: i.src, weight });
          this.moveState.push("worklist");
          this.moveList[i.dst]!.push(id);
          this.moveList[i.src]!.push(id);
        }
        for (const d of defs) live.add(d);
        for (const d of defs) for (const l of live) this.addEdge(l, d);
        for (const d of defs) live.delete(d);
        for (const u of uses) if (u !== 10) live.add(u);
      }
    }
    for (const [r, yes] of remat) if (yes) this.cost[r]! *= 0.3;
    for (const t of this.temporaries) this.cost[t] = Number.POSITIVE_INFINITY;
  }

  private find(r: number): number {
    let x = r;
    while (this.coalesced[x]) x = this.alias[x]!;
    return x;
  }

  private gone(r: number): boolean {
    return this.removed[r] === 1 || this.coalesced[r] === 1;
  }

  private *adjacent(r: number): Generator<number> {
    for (const a of this.matrix[r]!) if (!this.gone(a)) yield a;
  }

  private hasMoves(r: number): boolean {
    const list = this.moveList[r]!;
    for (let k = list.length - 1; k >= 0; k--) {
      if (this.moveState[list[k]!] !== "done") return true;
      list.pop();
    }
    return false;
  }

  private simplifyAll(): void {
    const nodes: number[] = [];
    for (let r = FIRST_VIRTUAL; r < this.n; r++) if (this.used[r]) nodes.push(r);
    let left = new Set(nodes);
    // Heavier moves first: they run most often.
    const order = this.moves.map((_, id) => id).sort((a, b) => this.moves[b]!.weight - this.moves[a]!.weight);
    for (;;) {
      // Simplify.
      let progress = false;
      for (const r of left) {
        if (this.degree[r]! < K && !this.hasMoves(r)) {
          this.take(r);
          left.delete(r);
          progress = true;
        }
      }
      if (progress) continue;
      // Coalesce.
      for (const id of order) {
        if (this.moveState[id] !== "worklist") continue;
        if (this.coalesce(id)) progress = true;
      }
      if (progress) {
        for (const r of left) if (this.coalesced[r]) left.delete(r);
        continue;
      }
      // Freeze: give up on the moves of one register that could be simplified.
      let frozen: number | undefined;
      for (const r of left) {
        if (this.degree[r]! < K && (frozen === undefined || this.cost[r]! < this.cost[frozen]!)) frozen = r;
      }
      if (frozen !== undefined) {
        for (const id of this.moveList[frozen]!) this.moveState[id] = "done";
        continue;
      }
      if (!left.size) return;
      // Spill: the cheapest by cost over degree; only a candidate until colours run out.
      let candidate = -1;
      let best = Number.POSITIVE_INFINITY;
      for (const r of left) {
        const price = this.cost[r]! / Math.max(1, this.degree[r]!);
        if (candidate < 0 || price < best) {
          candidate = r;
          best = price;
        }
      }
      for (const id of this.moveList[candidate]!) this.moveState[id] = "done";
      this.take(candidate);
      left = new Set([...left].filter((r) => r !== candidate));
    }
  }

  private take(r: number): void {
    this.stack.push(r);
    this.removed[r] = 1;
    for (const a of this.matrix[r]!) if (!this.gone(a) && a >= K) this.lower(a);
  }

  private lower(a: number): void {
    const before = this.degree[a]!--;
    if (before !== K) return;
    // Moves that were too risky before may be safe now.
    const enable = (r: number) => {
      for (const id of this.moveList[r]!) if (this.moveState[id] === "active") this.moveState[id] = "worklist";
    };
    enable(a);
    for (const b of this.adjacent(a)) enable(b);
  }

  private coalesce(id: number): boolean {
    let x = this.find(this.moves[id]!.x);
    let y = this.find(this.moves[id]!.y);
    if (y < K) [x, y] = [y, x];
    if (x === y) {
      this.moveState[id] = "done";
      return true;
    }
    if (y < K || this.matrix[x]!.has(y) || this.removed[x] || this.removed[y]) {
      this.moveState[id] = "done";
      return true;
    }
    const safe = x < K ? this.georgeSafe(x, y) : this.briggsSafe(x, y) || this.georgeSafe(x, y);
    if (!safe) {
      this.moveState[id] = "active";
      return false;
    }
    this.moveState[id] = "done";
    this.combine(x, y);
    return true;
  }

  /** Every neighbour of `y` is harmless to `x`. */
  private georgeSafe(x: number, y: number): boolean {
    for (const t of this.matrix[y]!) {
      if (this.gone(t)) continue;
      if (!(this.degree[t]! < K || (t < K && x < K) || this.matrix[t]!.has(x))) return false;
    }
    return true;
  }

  private briggsSafe(x: number, y: number): boolean {
    let heavy = 0;
    const mx = this.matrix[x]!;
    const my = this.matrix[y]!;
    for (const t of mx) {
      if (this.gone(t)) continue;
      if (this.degree[t]! - (my.has(t) ? 1 : 0) >= K && ++heavy >= K) return false;
    }
    for (const t of my) {
      if (this.gone(t) || mx.has(t)) continue;
      if (this.degree[t]! >= K && ++heavy >= K) return false;
    }
    return true;
  }

  private combine(x: number, y: number): void {
    this.coalesced[y] = 1;
    this.alias[y] = x;
    this.moveList[x]!.push(...this.moveList[y]!);
    this.cost[x]! += this.cost[y]!;
    for (const t of this.matrix[y]!) {
      if (this.gone(t)) {
        // Kept for colouring: removed neighbours must see the merged register.
        this.matrix[t]!.add(x);
        this.matrix[x]!.add(t);
        continue;
      }
      if (this.matrix[t]!.has(x)) {
        if (t >= K) this.lower(t);
      } else {
        this.matrix[t]!.add(x);
        this.matrix[x]!.add(t);
        if (x >= K) this.degree[x]!++;
      }
    }
  }

  private select(): number[] {
    const spilled: number[] = [];
    // A register gets a colour that a move partner has, when it can.
    for (let k = this.stack.length - 1; k >= 0; k--) {
      const r = this.stack[k]!;
      const free = new Array<boolean>(K).fill(true);
      for (const a of this.matrix[r]!) {
        const c = this.colour[this.find(a)]!;
        if (c >= 0) free[c] = false;
      }
      let choice = -1;
      for (const id of this.moveList[r]!) {
        const { x, y } = this.moves[id]!;
        const other = this.find(x) === r ? this.find(y) : this.find(x);
        const c = this.colour[other]!;
        if (c >= 0 && free[c]) {
          choice = c;
          break;
        }
      }
      if (choice < 0) choice = free.indexOf(true);
      if (choice < 0) spilled.push(r);
      else this.colour[r] = choice;
    }
    if (!spilled.length) return spilled;
    const apart = this.mergeSpilled(spilled);
    this.unite(new Set(apart));
    return apart;
  }

  /**
   * Spilled registers that are copied into each other and never wanted at once get one place: the copy is gone. Gives
   * those that stay apart.
   */
  private mergeSpilled(spilled: readonly number[]): number[] {
    const lost = new Set(spilled);
    for (const { x, y } of [...this.moves].sort((a, b) => b.weight - a.weight)) {
      const [a, b] = [this.find(x), this.find(y)];
      if (a === b || !lost.has(a) || !lost.has(b) || this.matrix[a]!.has(b)) continue;
      this.coalesced[b] = 1;
      this.alias[b] = a;
      lost.delete(b);
      for (const t of this.matrix[b]!) {
        const other = this.find(t);
        this.matrix[other]!.add(a);
        this.matrix[a]!.add(other);
      }
    }
    return [...lost];
  }

  /** Writes registers that were merged with a spilled one as that one: they share its place on the stack. */
  private unite(spilled: ReadonlySet<number>): void {
    const reg = (r: number) => (r >= FIRST_VIRTUAL && spilled.has(this.find(r)) ? this.find(r) : r);
    for (const b of this.m.blocks) {
      for (const i of b.insns) {
        i.dst = reg(i.dst);
        i.src = reg(i.src);
      }
      b.insns = b.insns.filter((i) => !(isMove(i) && i.dst === i.src));
    }
  }

  apply(): void {
    const reg = (r: number) => (r === 10 ? 10 : this.colour[this.find(r)]!);
    for (const b of this.m.blocks) {
      for (const i of b.insns) {
        if (i.dst >= FIRST_VIRTUAL) i.dst = reg(i.dst);
        if (i.src >= FIRST_VIRTUAL) i.src = reg(i.src);
      }
      b.insns = b.insns.filter((i) => !(isMove(i) && i.dst === i.src));
    }
  }
}

/** Moves a register to the stack, or makes its constant again at each use. */
function spill(m: Machine, reg: number, slots: Slot[], temporaries: Set<number>): void {
  const definitions: MInsn[] = [];
  for (const b of m.blocks) for (const i of b.insns) if (defsOf(i).includes(reg)) definitions.push(i);
  const [only] = definitions;
  const again = definitions.length === 1 && isRematerializable(only!) ? only : undefined;
  const slot: Slot = { id: -1 - slots.length, name: "a spilled value", size: 8, align: 8, at: only?.at ?? 0 };
  if (!again) slots.push(slot);
  for (const b of m.blocks) {
    const out: MInsn[] = [];
    /** The register that the instruction before has the value in. */
    let near: number | undefined;
    for (const i of b.insns) {
      if (again && i === again) continue;
      const used = usesOf(i).includes(reg);
      const defined = defsOf(i).includes(reg);
      // A constant goes to the stack without a register.
      const stored = defined && i.opcode === MOV64_IMM && !i.core;
      if ((!used && !defined) || stored) {
        near = undefined;
        out.push(stored ? minsn(STORE_IMM, i.at, { dst: 10, imm: i.imm, slot }) : i);
        continue;
      }
      if (!used || near === undefined) {
        near = m.registers++;
        temporaries.add(near);
        if (used) out.push(again ? { ...again, dst: near, at: i.at } : minsn(LOAD, i.at, { dst: near, src: 10, slot }));
      } else if (defined && out.at(-1)!.opcode === STORE && out.at(-1)!.slot === slot) {
        // What was stored just now is changed at once.
        out.pop();
      }
      if (i.dst === reg) i.dst = near;
      if (i.src === reg) i.src = near;
      out.push(i);
      if (defined) out.push(minsn(STORE, i.at, { dst: 10, src: near, slot }));
    }
    b.insns = out;
  }
}
