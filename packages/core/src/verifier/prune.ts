/**
 * Pruning: a state that arrives at an insn where an equal or wider one was already walked to its end needs no walk of
 * its own. Sound because "wider" is judged on all that any later check may look at: registers that are live, stack
 * slots that were read, and numbers that were looked at; and because a state counts only when nothing from it is left
 * to walk. A state that comes back to itself exactly has found an endless loop.
 *
 * In a loop what matters is known only at its end. A state there is given up for one that is wider in all that was looked
 * at so far, as a claim (`Claim`), and what is looked at in the one from then on counts as looked at in the other. At the
 * loop's end every claim is judged again; one that does not hold is walked after all, and the loop is not at its end. So
 * when no claim is left to judge, each state given up is held by one that was walked, in all that its walk looked at.
 *
 * Source: kernel/bpf/verifier.c `is_state_visited`, `states_equal`, `regsafe`, `stacksafe`.
 */
import { OP_MAY_GOTO } from "../isa/index.ts";
import type { Context } from "./context.ts";
import { heldIn, isPreciseIn, layer } from "./domain/layer.ts";
import { ADD_CONST, follow, Kind, markPrecise, type Reg, scalarReg, unknownReg } from "./domain/reg.ts";
import { scalarEqual, scalarIn, UNKNOWN } from "./domain/scalar.ts";
import {
  Byte,
  byteAt,
  type Checkpoint,
  type Claim,
  detach,
  type Frame,
  fill,
  markRead,
  type Slot,
  type State,
} from "./domain/state.ts";
import { allows } from "./profile.ts";

/**
 * Pairs of ids that play the same part in the old and the new state. They are few, so a search through them is faster
 * than a map; one object serves all comparisons.
 */
class IdMap {
  #olds = new Int32Array(64);
  #news = new Int32Array(64);
  #count = 0;
  #temporary = -1;

  clear(): this {
    this.#count = 0;
    this.#temporary = -1;
    return this;
  }

  same(oldId: number, newId: number): boolean {
    if (oldId === 0 || newId === 0) return oldId === newId;
    const olds = this.#olds;
    const news = this.#news;
    for (let i = 0; i < this.#count; i++) {
      if (olds[i] === oldId) return news[i] === newId;
      if (news[i] === newId) return false;
    }
    this.#add(oldId, newId);
    return true;
  }

  #add(oldId: number, newId: number): void {
    const n = this.#count++;
    if (n === this.#olds.length) {
      this.#olds = grown(this.#olds);
      this.#news = grown(this.#news);
    }
    this.#olds[n] = oldId;
    this.#news[n] = newId;
  }

  /** Ids of numbers: an old number without an id was bound to nothing, so any will do. */
  sameNumber(oldId: number, newId: number): boolean {
    if (oldId === 0) return true;
    const id = newId || this.#temporary--;
    if (!this.same(oldId, id)) return false;
    return (oldId & ADD_CONST) === 0 || this.same(oldId & ~ADD_CONST, id & ~ADD_CONST);
  }
}

function grown(ids: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const more = new Int32Array(ids.length * 2);
  more.set(ids);
  return more;
}

const IDS = new IdMap();

/**
 * How much of the old state the new one must repeat: all of it exactly, be within all of it, within what was read, or within
 * what was read and, of numbers, looked at.
 */
type Exactness = "exact" | "within" | "read" | "relevant";

/** Looks for a saved state that makes the running one superfluous; saves the running one when it is worth it. */
export function isVisited(cx: Context): boolean {
  const { pc, state } = cx;
  const list = cx.savedStates(pc);
  const force = cx.program.forcePoints[pc] === 1;
  let add = force || (cx.jumps - cx.prevJumps >= 2 && cx.processed - cx.prevProcessed >= 8);
  for (let i = 0; i < list.length; i++) {
    const old = list[i]!;
    if (old.pc !== pc) continue;
    if (old.branches > 0) {
      if (force && comesBack(cx, old, state)) {
        entangle(old, state);
        noteLoop(state, old);
        return standsIn(cx, old, true);
      }
      checkProgress(cx, old, state);
      if (!force && cx.jumps - cx.prevJumps < 20 && cx.processed - cx.prevProcessed < 100) add = false;
    } else {
      const entry = unfinishedLoop(old);
      if (statesEqual(cx, old, state, entry ? "within" : relevant(cx))) {
        old.hits++;
        if (entry) {
          entangle(old, state);
          noteLoop(state, entry);
        } else propagate(old.state, state, cx);
        return standsIn(cx, old, entry !== undefined);
      }
      // In a loop that is being walked not all is known of what matters here: given up for now, judged at the loop's end.
      if (entry && mayClaim(cx, entry) && statesEqual(cx, old, state, relevant(cx))) {
        old.hits++;
        entangle(old, state);
        noteLoop(state, entry);
        cx.openClaims++;
        claim(entry, { old, state, pc, prevPc: cx.prevPc });
        return standsIn(cx, old, true);
      }
    }
    if (add) old.misses++;
    const patience = force && old.branches > 0 ? 64 : 3;
    if (old.misses > old.hits * patience + patience) list.splice(i--, 1);
  }
  if (add) save(cx, list);
  return false;
}

function standsIn(cx: Context, old: Checkpoint, closesLoop: boolean): true {
  cx.standIn = old;
  cx.closesLoop = closesLoop;
  return true;
}

/** At a call that calls back, or a may_goto: the round has added nothing to a state that is still being walked. */
function comesBack(cx: Context, old: Checkpoint, state: State): boolean {
  const mayGoto = cx.program.insns[cx.pc]!.opcode === OP_MAY_GOTO;
  if (cx.kfuncAt.get(cx.pc)?.iter === "next" && !atActiveIterator(state)) return false;
  if (mayGoto && old.state.mayGotoDepth === state.mayGotoDepth) return false;
  return statesEqual(cx, old, state, "within");
}

/** The iterator that a `next` is about to advance still has elements. */
function atActiveIterator(state: State): boolean {
  const r = state.frame.regs[1]!;
  if (r.kind !== Kind.STACK || !r.val.isConst) return false;
  const at = r.off + Number(r.val.smin);
  return state.frames[r.num]?.stack[(-at - 1) >> 3]?.special?.active ?? false;
}

/** Some iterator has advanced since: the loop is not the same round again. */
function iteratorsAdvanced(old: State, cur: State): boolean {
  return old.frames.some((frame, f) =>
    frame.stack.some((slot, i) => {
      const was = slot?.special;
      return was?.active && was.depth !== cur.frames[f]?.stack[i]?.special?.depth;
    }),
  );
}

/** A path that returns to one of its own states exactly goes round for ever. */
function checkProgress(cx: Context, old: Checkpoint, state: State): void {
  const { unrolled, mayGotoDepth } = old.state;
  if (unrolled !== state.unrolled || mayGotoDepth !== state.mayGotoDepth) return;
  // At a `next` there is another round whatever the state: the iterator ends.
  if (cx.kfuncAt.get(cx.pc)?.iter === "next" || iteratorsAdvanced(old.state, state)) return;
  if (!maybeLooping(old.state, state) || !statesEqual(cx, old, state, "exact")) return;
  cx.reject("endless-loop", "the loop comes back to this instruction with nothing changed: it never ends", {
    fix: "change what the loop's condition tests on every round",
  });
}

/**
 * The loop that this state's walk ended in, when it is not finished. One that is finished may itself have ended in a
 * loop further out: then what matters here is known only when that one is.
 */
function unfinishedLoop(point: Checkpoint): Checkpoint | undefined {
  let entry = point.loopEntry;
  while (entry && entry.branches === 0) entry = entry.loopEntry;
  point.loopEntry = entry;
  return entry;
}

/** All states on the way from `entry` to the running one depend on it. */
function noteLoop(state: State, entry: Checkpoint): void {
  for (let p = state.parent; p && p !== entry; p = p.parent) {
    if (!p.loopEntry || entry.depth < p.loopEntry.depth) p.loopEntry = entry;
  }
}

/**
 * The running state stands for a round of a loop that is still being walked from the old one: whatever is looked at
 * there later is looked at here.
 */
function entangle(old: Checkpoint, cur: State): void {
  old.state.frames.forEach((frame, f) => {
    const now = cur.frames[f]!;
    frame.regs.forEach((r, i) => {
      follow(r.node, now.regs[i]!.node);
    });
    frame.stack.forEach((slot, i) => {
      if (!slot) return;
      follow(heldIn(frame, i)?.node, heldIn(now, i)?.node);
      if (frame.read.has(i)) markRead(cur, now, i);
    });
  });
  const follower = { parent: cur.parent, frames: cur.frames.map(({ written }) => ({ written })) };
  if (old.followers) old.followers.push(follower);
  else old.followers = [follower];
}

/** The nearest earlier state of this path at `pc`, in the same calls, from checkpoint `from` upwards. */
export function previousVisit(state: State, pc: number, from: Checkpoint | undefined): State | undefined {
  for (let p = from; p; p = p.parent) {
    if (p.pc !== pc || p.state.frames.length !== state.frames.length) continue;
    if (p.state.frames.every((frame, i) => frame.callsite === state.frames[i]!.callsite)) return p.state;
  }
  return undefined;
}

/**
 * Numbers that changed since the last round and that nothing looked at are forgotten, so that the next round finds an
 * equal state. Sound: forgetting only adds values.
 */
export function widen(before: State, now: State): void {
  before.frames.forEach((old, f) => {
    const frame = now.frames[f];
    if (!frame) return;
    for (let i = 0; i < 10; i++) frame.regs[i] = widened(old.regs[i]!, frame.regs[i]!);
    frame.stack.forEach((slot, i) => {
      const was = old.stack[i];
      if (!slot?.reg || !was?.reg || slot.bytes !== was.bytes) return;
      const held = heldIn(frame, i)!;
      const reg = widened(heldIn(old, i)!, held);
      if (reg !== held) frame.setSlot(i, { ...slot, reg });
    });
  });
}

function widened(old: Reg, cur: Reg): Reg {
  if (old.kind !== Kind.SCALAR || cur.kind !== Kind.SCALAR) return cur;
  if (old.node?.walked || cur.node?.walked || sameReg(old, cur)) return cur;
  return scalarReg(UNKNOWN, cur.node);
}

function save(cx: Context, list: Checkpoint[]): void {
  const { state, pc } = cx;
  cx.totalStates++;
  cx.prevJumps = cx.jumps;
  cx.prevProcessed = cx.processed;
  // Branches queued since the last save share the running state's nodes: what they look at must not count as looked at
  // after this point, so the saved state gets its own. The running state keeps those: all that it and its branches will
  // look at comes after this point.
  // Where loops are widened, dead registers count, too.
  const all = cx.program.forcePoints[pc] === 1;
  const live = (f: number) => (all ? 0x3ff : liveOf(cx, state, f) & 0x3ff);
  detach(state, live);
  const saved = state.clone();
  state.frames.forEach((frame, f) => {
    layer(saved.frames[f]!, frame);
  });
  const point: Checkpoint = {
    pc,
    state: saved,
    parent: state.parent,
    branches: 1,
    hits: 0,
    misses: 0,
    depth: (state.parent?.depth ?? 0) + 1,
    loopEntry: undefined,
    followers: undefined,
    claims: undefined,
    remaining: cx.lengths && new Float64Array(state.counts!.length),
  };
  list.unshift(point);
  state.parent = point;
  for (const frame of state.frames) frame.written.set(0, 0);
}

/**
 * One path from the running state's parents is finished. Where a loop ends with it, the claims that rest on the loop are
 * judged by all that was looked at in it; one that does not hold is walked after all, and its parents are open again.
 */
export function finishPath(cx: Context, state: State): void {
  for (let p = state.parent; p; p = p.parent) {
    if (--p.branches > 0) break;
    const broken = p.claims && brokenClaim(cx, p);
    if (broken) {
      reopen(broken.state, p);
      cx.pending.push(broken);
      break;
    }
  }
}

/**
 * Only for loops of callbacks: those of may_goto and of iterators the kernel compares in full, and what it comes to on
 * the way decides what the next round forgets. In facts mode every number counts, so no claims are made; the limits
 * bound what judging them takes in a hostile program.
 */
function mayClaim(cx: Context, entry: Checkpoint): boolean {
  const iterates = cx.program.insns[entry.pc]!.opcode === OP_MAY_GOTO || cx.kfuncAt.get(entry.pc)?.iter === "next";
  return !iterates && !cx.lengths && cx.openClaims < 1024 && cx.brokenClaims < 256;
}

function claim(entry: Checkpoint, claim: Claim): void {
  if (entry.claims) entry.claims.push(claim);
  else entry.claims = [claim];
}

/**
 * The first claim on the loop from `entry` that what was looked at since contradicts; without one, the claims pass to the
 * loop further out that this one depends on. One at a time, so that open states always lie on one path.
 */
function brokenClaim(cx: Context, entry: Checkpoint): Claim | undefined {
  const claims = entry.claims!;
  const { pc } = cx;
  for (let i = 0; i < claims.length; i++) {
    const it = claims[i]!;
    cx.pc = it.pc;
    const holds = statesEqual(cx, it.old, it.state, relevant(cx));
    cx.pc = pc;
    if (holds) continue;
    claims.splice(i, 1);
    cx.openClaims--;
    cx.brokenClaims++;
    // The state itself goes on passing what is looked at in `old` to its parents.
    return { ...it, state: it.state.clone() };
  }
  entry.claims = undefined;
  const outer = unfinishedLoop(entry);
  if (outer) for (const it of claims) claim(outer, it);
  else cx.openClaims -= claims.length;
  return undefined;
}

/** Counts the path of `state` again from its parent up to the first that is still open, at most to `entry`. */
function reopen(state: State, entry: Checkpoint): void {
  for (let p = state.parent; p; p = p.parent) {
    if (++p.branches > 1 || p === entry) break;
  }
}

function maybeLooping(old: State, cur: State): boolean {
  if (old.frames.length !== cur.frames.length) return false;
  const a = old.frame.regs;
  const b = cur.frame.regs;
  for (let i = 0; i < 11; i++) if (!sameReg(a[i]!, b[i]!)) return false;
  return true;
}

function sameReg(a: Reg, b: Reg): boolean {
  return (
    a === b ||
    (a.kind === b.kind &&
      a.flags === b.flags &&
      a.off === b.off &&
      a.num === b.num &&
      a.obj === b.obj &&
      scalarEqual(a.val, b.val))
  );
}

/** What the old state's later path needed is needed of the new one too, and of the states it came from. */
function propagate(old: State, cur: State, cx: Context): void {
  old.frames.forEach((frame, f) => {
    const now = cur.frames[f]!;
    const live = liveOf(cx, old, f);
    for (let i = 0; i < 10; i++) {
      if ((live >> i) & 1 && frame.regs[i]!.node?.precise) markPrecise(now.regs[i]!.node);
    }
    const { low, high } = frame.read;
    if ((low | high) === 0) return;
    for (let i = 0; i < frame.stack.length; i++) {
      if (!frame.stack[i] || !frame.read.has(i)) continue;
      markRead(cur, now, i);
      if (isPreciseIn(frame, i)) markPrecise(heldIn(now, i)?.node);
    }
  });
}

/** Registers of frame `f` that may still be read: live at the insn, or kept over the call that the frame waits in. */
export function liveOf(cx: Context, state: State, f: number): number {
  const { live } = cx.program;
  if (f === state.frames.length - 1) return live[cx.pc]!;
  return live[state.frames[f + 1]!.callsite]! & 0x3c0;
}

/** What counts of a state that was walked to its end. For facts every number does, looked at or not. */
function relevant(cx: Context): Exactness {
  return cx.lengths === undefined ? "relevant" : "read";
}

function onlyRead(exactness: Exactness): boolean {
  return exactness === "relevant" || exactness === "read";
}

function statesEqual(cx: Context, point: Checkpoint, cur: State, exactness: Exactness): boolean {
  const old = point.state;
  if (old.frames.length !== cur.frames.length) return false;
  if (old.rcuDepth !== cur.rcuDepth || old.preemptDepth !== cur.preemptDepth || old.sleeps !== cur.sleeps) return false;
  if (old.refs.length !== cur.refs.length) return false;
  if (old.resLocks.length !== cur.resLocks.length || old.irqs.length !== cur.irqs.length) return false;
  const ids = IDS.clear();
  for (let i = 0; i < old.resLocks.length; i++) {
    const a = old.resLocks[i]!;
    const b = cur.resLocks[i]!;
    if (a.obj !== b.obj || a.irq !== b.irq || !ids.same(a.id, b.id)) return false;
  }
  for (let i = 0; i < old.irqs.length; i++) {
    if (old.irqs[i]!.lock !== cur.irqs[i]!.lock || !ids.same(old.irqs[i]!.id, cur.irqs[i]!.id)) return false;
  }
  if ((old.lock === undefined) !== (cur.lock === undefined)) return false;
  if (old.lock && (old.lock.obj !== cur.lock!.obj || !ids.same(old.lock.id, cur.lock!.id))) return false;
  for (let f = 0; f < old.frames.length; f++) {
    const a = old.frames[f]!;
    const b = cur.frames[f]!;
    if (a.callsite !== b.callsite || a.subprog !== b.subprog || a.callbackDepth > b.callbackDepth) return false;
    const live = liveOf(cx, old, f);
    for (let i = 0; i < 10; i++) {
      if ((live >> i) & 1 && !regSafe(a.regs[i]!, b.regs[i]!, ids, exactness)) return false;
    }
    if (!stackSafe(a, b, ids, exactness)) return false;
    if (!allows(cx.profile, "uninitialisedStack") && !asMuchSet(a, b, exactness)) return false;
  }
  for (let i = 0; i < old.refs.length; i++) if (!ids.same(old.refs[i]!.id, cur.refs[i]!.id)) return false;
  return true;
}

function regSafe(old: Reg, cur: Reg, ids: IdMap, exactness: Exactness, precise = old.node?.precise === true): boolean {
  if (exactness === "exact") return regExact(old, cur, ids);
  if (old === cur && old.id === 0 && old.ref === 0) return true;
  if (old.kind === Kind.NOT_INIT) return true;
  if (old.kind !== cur.kind || old.flags !== cur.flags) return false;
  switch (old.kind) {
    case Kind.SCALAR:
      if (exactness === "relevant" && !precise) return true;
      // A number that is linked is linked in the same way: at that distance, added in as many bits.
      if (old.id !== 0 && (old.id & ADD_CONST) !== (cur.id & ADD_CONST)) return false;
      if ((old.id & ADD_CONST) !== 0 && old.off !== cur.off) return false;
      return scalarIn(old.val, cur.val) && ids.sameNumber(old.id, cur.id);
    case Kind.MAP_VALUE:
    case Kind.MAP_KEY:
    case Kind.MEM:
      return (
        old.off === cur.off &&
        old.num === cur.num &&
        old.obj === cur.obj &&
        scalarIn(old.val, cur.val) &&
        ids.same(old.id, cur.id) &&
        ids.same(old.ref, cur.ref)
      );
    case Kind.PACKET:
    case Kind.PACKET_META:
      if (old.num < 0 || cur.num < 0 ? old.num !== cur.num : old.num > cur.num) return false;
      return old.off === cur.off && ids.same(old.id, cur.id) && scalarIn(old.val, cur.val);
    default:
      return regExact(old, cur, ids);
  }
}

function regExact(old: Reg, cur: Reg, ids: IdMap): boolean {
  return sameReg(old, cur) && ids.same(old.id, cur.id) && ids.same(old.ref, cur.ref);
}

function stackSafe(old: Frame, cur: Frame, ids: IdMap, exactness: Exactness): boolean {
  if (onlyRead(exactness)) {
    const { low, high } = old.read;
    return slotsSafe(old, cur, ids, exactness, low, 0) && slotsSafe(old, cur, ids, exactness, high, 32);
  }
  // In a loop every slot counts, read or not. Bytes of which the old state knew nothing hold anything, there as elsewhere:
  // all that follows from it, and comes round to it, was walked, or is being walked, for any content.
  // Source: "bpf: allow states pruning for misc/invalid slots in iterator loops" (Linux 7.0).
  for (let i = 0; i < old.stack.length; i++) {
    const a = old.stack[i];
    const b = cur.stack[i];
    if (exactness === "exact" && (a?.bytes ?? 0) !== (b?.bytes ?? 0)) return false;
    if (a && !slotSafe(old, i, a, b, ids, exactness)) return false;
  }
  return true;
}

/**
 * Where unset bytes may not be read: what the old state had set and read is set in the new one, too. While its loop is
 * being walked not all reads are known, so whatever it had set counts.
 */
function asMuchSet(old: Frame, cur: Frame, exactness: Exactness): boolean {
  return old.stack.every((a, i) => {
    if (!a || (onlyRead(exactness) && !old.read.has(i))) return true;
    const bytes = cur.stack[i]?.bytes ?? 0;
    for (let k = 0; k < 8; k++) {
      if (byteAt(a.bytes, k) !== Byte.INVALID && byteAt(bytes, k) === Byte.INVALID) return false;
    }
    return true;
  });
}

/** The slots `from` + each bit of `set`. */
function slotsSafe(old: Frame, cur: Frame, ids: IdMap, exactness: Exactness, set: number, from: number): boolean {
  for (let rest = set; rest !== 0; rest &= rest - 1) {
    const i = from + 31 - Math.clz32(rest & -rest);
    const a = old.stack[i];
    const b = cur.stack[i];
    if (a && !slotSafe(old, i, a, b, ids, exactness)) return false;
  }
  return true;
}

function slotSafe(old: Frame, index: number, a: Slot, b: Slot | undefined, ids: IdMap, exactness: Exactness): boolean {
  // One slot that nothing has written to since, and bytes alone, the usual cases, are compared at once.
  if (a === b && !a.special && (!a.reg || (a.reg.id === 0 && a.reg.ref === 0))) return true;
  if (b && a.bytes === b.bytes && !a.reg && !b.reg && !a.special && !b.special) return true;
  const aReg = scalarOf(a);
  const bReg = scalarOf(b);
  if (aReg && bReg) return regSafe(aReg, bReg, ids, exactness, aReg === a.reg && isPreciseIn(old, index));
  for (let k = 0; k < 8 && a.bytes !== b?.bytes; k++) {
    const x = byteAt(a.bytes, k);
    const y = b ? byteAt(b.bytes, k) : Byte.INVALID;
    // Unknown bytes, set or not, hold anything.
    if (x === Byte.INVALID || x === Byte.MISC) continue;
    if (x !== y) return false;
  }
  if (byteAt(a.bytes, 0) === Byte.SPILL) return regSafe(a.reg!, b!.reg!, ids, exactness, isPreciseIn(old, index));
  const s = a.special;
  if (!s) return true;
  const t = b?.special;
  return (
    t !== undefined &&
    s.kind === t.kind &&
    s.first === t.first &&
    s.active === t.active &&
    s.flags === t.flags &&
    ids.same(s.id, t.id) &&
    ids.same(s.ref, t.ref)
  );
}

const ANY_NUMBER = unknownReg();

/** The number that all 8 bytes of the slot hold, when they hold one: bytes that nothing is known of hold any. */
function scalarOf(slot: Slot | undefined): Reg | undefined {
  if (!slot) return ANY_NUMBER;
  if (slot.reg?.kind === Kind.SCALAR && byteAt(slot.bytes, 7) === Byte.SPILL) return slot.reg;
  return (slot.bytes & ~fill(Byte.MISC)) === 0 ? ANY_NUMBER : undefined;
}
