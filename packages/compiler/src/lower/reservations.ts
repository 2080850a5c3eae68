/**
 * That what a ring buffer reserves is submitted or discarded exactly once on every path: a data-flow over the freshly
 * lowered program. A record that a phi takes over is that phi's from there on.
 */
import { type Block, type Cmp, type Fn, type Insn, reversePostorder, successors } from "../ir/index.ts";

export const RINGBUF_RESERVE = 131;
export const RINGBUF_SUBMIT = 132;
export const RINGBUF_DISCARD = 133;
const TAIL_CALL = 12;

/** What a record may be, as a bit set. */
const ABSENT = 1;
const HELD = 2;
const GONE = 4;

type State = Map<Insn, number>;
type Report = (at: number, message: string) => void;

/** Complains at the reservation that is left open, and where a record is used that is gone. */
export function checkReservations(fn: Fn, report: Report): void {
  const rpo = reversePostorder(fn);
  const calls = rpo.flatMap((b) => b.insns.filter((i) => i.op === "call"));
  if (!calls.some((i) => i.op === "call" && (i.helper === RINGBUF_RESERVE || ends(i)))) return;
  const owners = ownersOf(rpo);
  const before = new Map<Block, State>([[fn.entry, new Map()]]);
  const queue = new Set<Block>([fn.entry]);
  for (const block of queue) {
    queue.delete(block);
    const state = new Map(before.get(block)!);
    for (const i of block.insns) step(i, state, owners, undefined);
    for (const next of new Set(successors(block))) {
      const known = before.get(next);
      const merged = merge(known, alongEdge(block, next, state, owners));
      if (known && same(known, merged)) continue;
      before.set(next, merged);
      queue.add(next);
    }
  }
  for (const block of rpo) {
    const state = new Map(before.get(block) ?? []);
    for (const i of block.insns) step(i, state, owners, report);
    if (block.term?.kind === "ret") leave(state, report, "when the program returns");
  }
}

function ends(i: Insn): boolean {
  return i.op === "call" && (i.helper === RINGBUF_SUBMIT || i.helper === RINGBUF_DISCARD);
}

/** The values that own a record: reservations, and the phis between them and what ends them. */
function ownersOf(rpo: readonly Block[]): Set<Insn> {
  const owners = new Set<Insn>();
  const visit = (v: Insn): void => {
    if (owners.has(v)) return;
    if (v.op === "phi") {
      owners.add(v);
      v.args.forEach(visit);
    }
  };
  for (const b of rpo) {
    for (const i of b.insns) {
      if (i.op === "call" && i.helper === RINGBUF_RESERVE) owners.add(i);
      if (ends(i)) visit(i.args[0]!);
    }
  }
  return owners;
}

function step(i: Insn, state: State, owners: ReadonlySet<Insn>, report: Report | undefined): void {
  if (i.op === "load" || i.op === "store" || i.op === "atomic") {
    const owner = recordOf(i.args[0]!, owners);
    if (report && owner && state.get(owner)! & GONE)
      report(i.at, "the record was submitted or discarded before: it is gone");
    return;
  }
  if (i.op !== "call") return;
  if (i.helper === RINGBUF_RESERVE) {
    const left = state.get(i) ?? 0;
    if (report && left & HELD) report(i.at, unpaired("when the loop comes back"));
    state.set(i, ABSENT | HELD);
  } else if (ends(i)) {
    const record = i.args[0]!;
    if (!owners.has(record) || !state.has(record)) {
      report?.(i.at, "expected a record that reserve gave");
      return;
    }
    if (report && state.get(record)! & GONE) report(i.at, "the record was submitted or discarded before: it is gone");
    state.set(record, GONE);
  } else {
    if (i.helper === TAIL_CALL && report) leave(state, report, "at a tail call");
    if (!report) return;
    for (const a of i.args) {
      const owner = recordOf(a, owners);
      if (owner && state.get(owner)! & GONE) report(i.at, "the record was submitted or discarded before: it is gone");
    }
  }
}

/** The owner whose record the address is in. */
function recordOf(address: Insn, owners: ReadonlySet<Insn>): Insn | undefined {
  let v = address;
  while (v.op === "add" && !owners.has(v)) v = v.args[0]!;
  return owners.has(v) ? v : undefined;
}

function unpaired(when: string): string {
  return `the reserved record is still open ${when}: submit or discard it on every path`;
}

function leave(state: State, report: Report, when: string): void {
  for (const [record, is] of state) if (is & HELD) report(record.at, unpaired(when));
}

/** The state at the start of `to`, coming from `from`: what the branch tells of a record, then what phis take over. */
function alongEdge(from: Block, to: Block, state: State, owners: ReadonlySet<Insn>): State {
  const out = new Map(state);
  const t = from.term;
  if (t?.kind === "br" && t.yes !== t.no && owners.has(t.a) && t.b.op === "const" && t.b.value === 0n) {
    const absent = isAbsent(t.cmp, t.yes === to);
    const is = out.get(t.a);
    if (is !== undefined && absent !== undefined) {
      const rest = absent ? is & ABSENT : is & ~ABSENT;
      // Nothing is left on an edge that is never taken: the record is not open there.
      out.set(t.a, rest);
    }
  }
  const k = to.preds.indexOf(from);
  const taken: [Insn, number][] = [];
  for (const phi of to.phis) {
    if (!owners.has(phi)) continue;
    const v = phi.args[k]!;
    const is = out.get(v);
    taken.push([phi, is ?? ABSENT]);
  }
  for (const phi of to.phis) {
    const v = phi.args[k]!;
    // Its new owner answers for it from here on.
    if (owners.has(phi) && out.has(v)) out.set(v, out.get(v)! & ~HELD);
  }
  for (const [phi, is] of taken) out.set(phi, is);
  return out;
}

/** True where the branch says that the record is not there; undefined where it says nothing. */
function isAbsent(cmp: Cmp, taken: boolean): boolean | undefined {
  return cmp === "eq" ? taken : cmp === "ne" ? !taken : undefined;
}

function merge(a: State | undefined, b: State): State {
  if (!a) return b;
  const out = new Map(a);
  for (const [v, is] of b) out.set(v, (out.get(v) ?? 0) | is);
  return out;
}

function same(a: State, b: State): boolean {
  if (a.size !== b.size) return false;
  for (const [v, is] of a) if (b.get(v) !== is) return false;
  return true;
}
