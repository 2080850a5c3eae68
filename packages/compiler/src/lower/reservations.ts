/**
 * That what is taken is given back exactly once on every path: records of a ring buffer, sockets that were looked up,
 * what kernel functions hand over. A data-flow over the freshly lowered program. What a phi takes over is that phi's from
 * there on.
 */
import { HELPERS, KFUNCS, type Kfunc } from "@ebplane/core/object";
import { type Block, type Cmp, type Fn, type Insn, reversePostorder, type Slot, successors } from "../ir/index.ts";
import { camelCase } from "./helpers.ts";

export const RINGBUF_RESERVE = 131;
export const RINGBUF_SUBMIT = 132;
export const RINGBUF_DISCARD = 133;
const RESERVE_DYNPTR = 198;
const TAIL_CALL = 12;

/** Helpers whose result must be given back, and those whose result is their argument seen otherwise. */
const ACQUIRES = ids("sk_lookup_tcp", "sk_lookup_udp", "skc_lookup_tcp", "ringbuf_reserve");
const CASTS = ids("tcp_sock", "sk_fullsock");

function ids(...names: string[]): ReadonlySet<number> {
  return new Set([...HELPERS.values()].filter((h) => names.includes(h.name)).map((h) => h.id));
}

/** What is held may be, as a bit set. */
const ABSENT = 1;
const HELD = 2;
const GONE = 4;

/** A value that is held, or the dynptr on the stack that holds it. */
type Owner = Insn | Slot;
type State = Map<Owner, number>;
type Report = (at: number, message: string) => void;
type Call = Insn & { op: "call" };

function kfuncOf(i: Call): Kfunc | undefined {
  return i.external === undefined ? undefined : KFUNCS.get(i.external);
}

/** What the call takes, where it takes something. */
function taken(i: Insn): Owner | undefined {
  if (i.op !== "call") return undefined;
  if (i.helper === RESERVE_DYNPTR) return slotOf(i.args[3]!);
  return ACQUIRES.has(i.helper) || kfuncOf(i)?.acquires ? i : undefined;
}

/** The argument that the call gives back. */
function given(i: Insn): Insn | undefined {
  if (i.op !== "call") return undefined;
  const kfunc = kfuncOf(i);
  if (kfunc) return kfunc.releases ? i.args[kfunc.args.findIndex((a) => a.kind !== "scalar")] : undefined;
  const k = HELPERS.get(i.helper)?.args.findIndex((a) => a.releases || a.kind === "ringbufMem") ?? -1;
  return k < 0 ? undefined : i.args[k];
}

function slotOf(v: Insn): Slot | undefined {
  return v.op === "frame" && v.slot.alone ? v.slot : undefined;
}

/** Complains at what is left open, and where something is used that is gone. */
export function checkReservations(fn: Fn, report: Report): void {
  const rpo = reversePostorder(fn);
  if (!rpo.some((b) => b.insns.some((i) => taken(i) || given(i)))) return;
  const known = new Flow(rpo);
  const before = new Map<Block, State>([[fn.entry, new Map()]]);
  const queue = new Set<Block>([fn.entry]);
  for (const block of queue) {
    queue.delete(block);
    const state = new Map(before.get(block)!);
    for (const i of block.insns) known.step(i, state, undefined);
    for (const next of new Set(successors(block))) {
      const old = before.get(next);
      const merged = merge(old, known.alongEdge(block, next, state));
      if (old && same(old, merged)) continue;
      before.set(next, merged);
      queue.add(next);
    }
  }
  for (const block of rpo) {
    const state = new Map(before.get(block) ?? []);
    for (const i of block.insns) known.step(i, state, report);
    if (block.term?.kind === "ret") known.leave(state, report, "when the program returns");
  }
}

class Flow {
  /** The values that own something: what takes it, and the phis between that and what gives it back. */
  private readonly owners = new Set<Owner>();
  /** The call that first took what a slot or a phi holds, for its name and its place. */
  private readonly origins = new Map<Owner, Call>();

  constructor(rpo: readonly Block[]) {
    for (const b of rpo) {
      for (const i of b.insns) {
        const owner = taken(i);
        if (owner) {
          this.owners.add(owner);
          this.origins.set(owner, i as Call);
        }
        const v = given(i);
        if (v) this.follow(v);
      }
    }
  }

  private follow(from: Insn): void {
    const v = uncast(from);
    if (v.op !== "phi" || this.owners.has(v)) return;
    this.owners.add(v);
    for (const a of v.args) this.follow(a);
  }

  private origin(owner: Owner): Call | undefined {
    const known = this.origins.get(owner);
    if (known || !("op" in owner) || owner.op !== "phi") return known;
    const seen = new Set<Insn>();
    const work: Insn[] = [owner];
    for (let v = work.pop(); v; v = work.pop()) {
      if (seen.has(v)) continue;
      seen.add(v);
      const call = this.origins.get(v);
      if (call) return call;
      if (v.op === "phi") work.push(...v.args.map(uncast));
    }
    return undefined;
  }

  /** The owner whose memory the address is in. */
  private ownerOf(address: Insn): Owner | undefined {
    const slot = slotOf(address);
    if (slot) return this.owners.has(slot) ? slot : undefined;
    let v = uncast(address);
    while (v.op === "add" && !this.owners.has(v)) v = uncast(v.args[0]!);
    return this.owners.has(v) ? v : undefined;
  }

  step(i: Insn, state: State, report: Report | undefined): void {
    if (i.op === "load" || i.op === "store" || i.op === "atomic") {
      this.requireThere(i.args[0]!, i, state, report);
      return;
    }
    if (i.op !== "call") return;
    const back = given(i);
    if (back) this.giveBack(i, back, state, report);
    else {
      if (i.helper === TAIL_CALL && report) this.leave(state, report, "at a tail call");
      for (const a of i.args) {
        this.requireThere(a, i, state, report);
        const owner = this.ownerOf(a);
        // A function of the program's own may give it back.
        if (i.callee && owner && !this.isRecord(owner)) state.set(owner, ABSENT | GONE);
      }
    }
    const owner = taken(i);
    if (!owner) return;
    const left = state.get(owner) ?? 0;
    if (report && left & HELD) report(i.at, this.unpaired(owner, "when the loop comes back"));
    // A dynptr is to be given back even where there was no room.
    state.set(owner, i.helper === RESERVE_DYNPTR ? HELD : ABSENT | HELD);
  }

  private requireThere(v: Insn, i: Insn, state: State, report: Report | undefined): void {
    if (!report) return;
    const owner = this.ownerOf(v);
    if (owner && state.get(owner) === GONE) report(i.at, this.gone(owner));
    else if (owner && state.get(owner)! & GONE && this.isRecord(owner)) report(i.at, this.gone(owner));
  }

  private giveBack(i: Call, v: Insn, state: State, report: Report | undefined): void {
    const owner = this.ownerOf(v);
    if (!owner || !state.has(owner)) {
      // What a function was handed is its caller's: the verifier sees to it.
      if (isRingbuf(i)) report?.(i.at, "expected a record that reserve gave");
      return;
    }
    if (report && state.get(owner)! & GONE) report(i.at, this.gone(owner));
    state.set(owner, GONE);
  }

  leave(state: State, report: Report, when: string): void {
    for (const [owner, is] of state) {
      if (is & HELD) report(this.origin(owner)?.at ?? (owner as Insn).at, this.unpaired(owner, when));
    }
  }

  private isRecord(owner: Owner): boolean {
    const origin = this.origin(owner);
    return origin?.helper === RINGBUF_RESERVE || origin?.helper === RESERVE_DYNPTR;
  }

  private unpaired(owner: Owner, when: string): string {
    if (this.isRecord(owner)) return `the reserved record is still open ${when}: submit or discard it on every path`;
    const origin = this.origin(owner);
    return `what ${nameOf(origin)} gave is still held ${when}: hand it to ${releaseOf(origin)} on every path`;
  }

  private gone(owner: Owner): string {
    if (this.isRecord(owner)) return "the record was submitted or discarded before: it is gone";
    return `what ${nameOf(this.origin(owner))} gave was released before: it is gone`;
  }

  /** The state at the start of `to`, coming from `from`: what the branch tells of an owner, then what phis take over. */
  alongEdge(from: Block, to: Block, state: State): State {
    const out = new Map(state);
    const t = from.term;
    const tested = t?.kind === "br" ? uncast(t.a) : undefined;
    if (t?.kind === "br" && t.yes !== t.no && this.owners.has(tested!) && t.b.op === "const" && t.b.value === 0n) {
      const absent = isAbsent(t.cmp, t.yes === to);
      const is = out.get(tested!);
      if (is !== undefined && absent !== undefined) {
        const rest = absent ? is & ABSENT : is & ~ABSENT;
        // Nothing is left on an edge that is never taken: it is not open there.
        out.set(tested!, rest);
      }
    }
    const k = to.preds.indexOf(from);
    const moved: [Insn, number][] = [];
    for (const phi of to.phis) {
      if (!this.owners.has(phi)) continue;
      const is = out.get(uncast(phi.args[k]!));
      moved.push([phi, is ?? ABSENT]);
    }
    for (const phi of to.phis) {
      const v = uncast(phi.args[k]!);
      // Its new owner answers for it from here on.
      if (this.owners.has(phi) && out.has(v)) out.set(v, out.get(v)! & ~HELD);
    }
    for (const [phi, is] of moved) out.set(phi, is);
    return out;
  }
}

function isRingbuf(i: Call): boolean {
  return i.helper === RINGBUF_SUBMIT || i.helper === RINGBUF_DISCARD;
}

/** The value behind what only shows it as another type. */
function uncast(v: Insn): Insn {
  let from = v;
  while (from.op === "call" && CASTS.has(from.helper)) from = from.args[0]!;
  return from;
}

function nameOf(i: Call | undefined): string {
  const name = i && (i.external?.replace(/^bpf_/, "") ?? HELPERS.get(i.helper)?.name);
  return name ? camelCase(name) : "the call";
}

/** The function that takes such a thing back. */
function releaseOf(i: Call | undefined): string {
  const kfunc = i && kfuncOf(i);
  if (!kfunc) return "skRelease";
  const kind = kfunc.result.of;
  const names = [...KFUNCS.values()]
    .filter((k) => k.releases && k.args.some((a) => a.of === kind))
    .map((k) => camelCase(k.name.replace(/^bpf_/, "")));
  return names.join(" or ") || "its release function";
}

/** True where the branch says that it is not there; undefined where it says nothing. */
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
