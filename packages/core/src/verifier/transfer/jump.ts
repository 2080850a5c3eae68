/**
 * Conditional jumps: when the outcome is known one side is walked, else both, each with what the comparison teaches:
 * number ranges (for all numbers that share an id), NULL or not (for all pointers of an id), and how much packet lies
 * before data_end. Sound because a side is left out only when no value takes it, and each side keeps every value that
 * does.
 *
 * Source: kernel/bpf/verifier.c `check_cond_jmp_op`, `sync_linked_regs`, `mark_ptr_or_null_regs`,
 * `find_good_pkt_pointers`.
 */
import {
  BPF_ADD,
  BPF_JEQ,
  BPF_JGE,
  BPF_JGT,
  BPF_JLE,
  BPF_JLT,
  BPF_JMP32,
  BPF_JNE,
  BPF_X,
  CLASS_MASK,
  type Insn,
  OP_MASK,
} from "../../isa/index.ts";
import { MapType } from "../../object/index.ts";
import { type Context, MAX_PACKET_OFF, MAX_VAR_OFF, type MapRef } from "../context.ts";
import { arith } from "../domain/arith.ts";
import { heldIn } from "../domain/layer.ts";
import { flippedOf, oppositeOf, outcome, refine } from "../domain/refine.ts";
import {
  ADD_CONST,
  ADD_CONST32,
  ALLOC,
  AT_PKT_END,
  BEYOND_PKT_END,
  changed,
  isPacket,
  isPointer,
  Kind,
  linkedScalar,
  MAYBE_NULL,
  node,
  pointer,
  type Reg,
  scalarReg,
} from "../domain/reg.ts";
import { immScalar, ZERO } from "../domain/scalar.ts";
import { mapRegs, type State } from "../domain/state.ts";
import { allows } from "../profile.ts";
import { liveOf } from "../prune.ts";
import { isTrusted } from "./kernel.ts";
import { readReg } from "./registers.ts";

/** Walks a conditional jump: returns the pc to go on at; the other side, if possible, is queued. */
export function condJump(cx: Context, insn: Insn, target: number, next: number): number {
  const op = insn.opcode & OP_MASK;
  const is32 = (insn.opcode & CLASS_MASK) === BPF_JMP32;
  const byReg = (insn.opcode & BPF_X) !== 0;
  const dst = readReg(cx, insn.dst);
  const src = byReg ? readReg(cx, insn.src) : scalarReg(immScalar(insn.imm));
  const decided = decide(cx, op, dst, src, is32);
  if (decided !== undefined) {
    if (!isPointer(dst)) cx.markPrecise(dst.node);
    if (byReg && !isPointer(src)) cx.markPrecise(src.node);
    cx.outcomes[insn.pc]! |= decided ? 2 : 1;
    return decided ? target : next;
  }
  cx.outcomes[insn.pc] = 3;
  const here = cx.state;
  if (dst.kind === Kind.SCALAR && src.kind === Kind.SCALAR) {
    limitLinks(cx, byReg ? [src.id, dst.id] : [dst.id]);
    const there = cx.push(target, here.clone());
    learnNumbers(cx, here, insn, oppositeOf(op), src, is32, byReg);
    learnNumbers(cx, there, insn, op, src, is32, byReg);
    return next;
  }
  const there = cx.push(target, here.clone());
  const both = !is32 && byReg && isPointer(dst) && isPointer(src);
  if (both && allows(cx.profile, "equalIsNotNull")) learnNotNull(op, here, there, insn, dst, src);
  const zeroTest = !is32 && !byReg && insn.imm === 0 && (op === BPF_JEQ || op === BPF_JNE);
  if (zeroTest && dst.flags & MAYBE_NULL) {
    markNull(here, dst, op === BPF_JNE);
    markNull(there, dst, op === BPF_JEQ);
    return next;
  }
  if (byReg && !is32) matchPacket(op, dst, src, insn, here, there);
  return next;
}

function decide(cx: Context, op: number, dst: Reg, src: Reg, is32: boolean): boolean | undefined {
  if (dst.kind === Kind.SCALAR && src.kind === Kind.SCALAR) return outcome(op, dst.val, src.val, is32);
  if (is32) return undefined;
  if (anyPacket(dst) && anyPacket(src)) {
    return allows(cx.profile, "packetEndRemembered") ? packetOutcome(op, dst, src) : undefined;
  }
  // A pointer that cannot be NULL differs from 0. Before 6.4 the kernel did not look at a number on the left.
  const { version } = cx.profile;
  if (version < 604 && !isPointer(dst)) return undefined;
  const [ptr, num] = isPointer(dst) ? [dst, src] : [src, dst];
  if (version < notNullSince(ptr.kind)) return undefined;
  if (num.kind !== Kind.SCALAR || !num.val.isConst || num.val.tnum.value !== 0n || !isNotNull(ptr)) return undefined;
  return op === BPF_JEQ ? false : op === BPF_JNE ? true : undefined;
}

function anyPacket(r: Reg): boolean {
  return isPacket(r) || r.kind === Kind.PACKET_END;
}

function packetOutcome(op: number, dst: Reg, src: Reg): boolean | undefined {
  const flipped = dst.kind === Kind.PACKET_END;
  if (!flipped && src.kind !== Kind.PACKET_END) return undefined;
  const pkt = flipped ? src : dst;
  const o = flipped ? flippedOf(op) : op;
  if (pkt.num >= 0) return undefined;
  if ((o === BPF_JLE || o === BPF_JGT) && pkt.num === BEYOND_PKT_END) return o === BPF_JGT;
  if (o === BPF_JLT || o === BPF_JGE) return o === BPF_JGE;
  return undefined;
}

const VAR_OFF_LIMIT = BigInt(MAX_VAR_OFF);

/** The kernel since which a kind is known to be no NULL. Source: `reg_not_null` of the versions. */
function notNullSince(kind: Kind): number {
  if (kind === Kind.MEM || kind === Kind.BTF_ID) return 606;
  return kind === Kind.XDP_SOCK || kind === Kind.MAP_PTR ? 612 : 0;
}

/** Pointer kinds whose value is never 0 once the NULL flag is off. */
export function isNotNull(r: Reg): boolean {
  if (r.flags & MAYBE_NULL) return false;
  if (r.val.smin <= -VAR_OFF_LIMIT || r.val.smax >= VAR_OFF_LIMIT) return false;
  switch (r.kind) {
    case Kind.SOCKET:
    case Kind.TCP_SOCK:
    case Kind.XDP_SOCK:
    case Kind.SOCK_COMMON:
    case Kind.MAP_VALUE:
    case Kind.MAP_KEY:
    case Kind.MEM:
    case Kind.MAP_PTR:
      return true;
    case Kind.BTF_ID:
      return isTrusted(r);
    default:
      return false;
  }
}

/** Linked numbers that one comparison teaches something, both sides' together. */
const MAX_LINKED = 6;

/**
 * A comparison reaches so many linked numbers: those of the first id, then of the second, registers before stack slots,
 * inner frames before outer ones. What lies beyond loses its link. Source: `collect_linked_regs`, since Linux 6.12.
 */
function limitLinks(cx: Context, ids: readonly number[]): void {
  if (cx.profile.version < 612) return;
  let count = 0;
  const limited = (r: Reg) => (++count > MAX_LINKED ? linkedScalar(r.val, 0, 0, r.node) : r);
  for (const id of ids) if (id) mapLinked(cx, cx.state, id, limited);
}

/**
 * Applies `f` to the numbers that are linked to `id`, innermost frame first, registers before stack slots. Dead registers
 * are left alone since Linux 6.18: nobody learns what they hold.
 */
function mapLinked(cx: Context, { frames }: State, id: number, f: (r: Reg) => Reg): void {
  if (!allows(cx.profile, "linkedNumbers")) return;
  const base = id & ~ADD_CONST;
  const isLinked = (r: Reg | undefined) => r?.kind === Kind.SCALAR && r.id !== 0 && (r.id & ~ADD_CONST) === base;
  for (let depth = frames.length - 1; depth >= 0; depth--) {
    const { regs, stack } = frames[depth]!;
    const live = cx.profile.version < 618 ? 0x3ff : liveOf(cx, cx.state, depth);
    for (let i = 0; i < 10; i++) if ((live >> i) & 1 && isLinked(regs[i])) regs[i] = f(regs[i]!);
    for (let i = 0; i < stack.length; i++) {
      const slot = stack[i];
      if (!slot || !isLinked(slot.reg)) continue;
      const held = heldIn(frames[depth]!, i)!;
      const reg = f(held);
      if (reg !== held) frames[depth]!.setSlot(i, { ...slot, reg });
    }
  }
}

function learnNumbers(
  cx: Context,
  state: State,
  insn: Insn,
  op: number,
  imm: Reg,
  is32: boolean,
  byReg: boolean,
): void {
  const { regs } = state.frame;
  const dst = regs[insn.dst]!;
  const src = byReg ? regs[insn.src]! : imm;
  const [a, b] = refine(op, dst.val, src.val, is32, byReg && insn.src === insn.dst);
  // Either side's value now depends on the other's.
  const nodeA = byReg ? node(dst.node, src.node) : dst.node;
  const nodeB = byReg ? node(src.node, dst.node) : src.node;
  const newDst = linkedScalar(a, dst.id, dst.off, nodeA);
  regs[insn.dst] = newDst;
  if (byReg) {
    const newSrc = insn.src === insn.dst ? newDst : linkedScalar(b, src.id, src.off, nodeB);
    regs[insn.src] = newSrc;
    if (src.id) syncLinked(cx, state, newSrc);
  }
  if (dst.id) syncLinked(cx, state, regs[insn.dst]!);
}

/**
 * Numbers that share an id with `known` take its range, shifted by their distance from it. Distances in 32 bits hold of
 * zero-extended numbers, and say nothing to those in 64. Source: `sync_linked_regs`.
 */
function syncLinked(cx: Context, state: State, known: Reg): void {
  mapLinked(cx, state, known.id, (r) => {
    if (r === known || ((r.id ^ known.id) & ADD_CONST) === ADD_CONST) return r;
    const n = node(r.node, known.node);
    const sameOffset = (r.id & ADD_CONST) === 0 && (known.id & ADD_CONST) === 0;
    if (sameOffset || r.off === known.off) return linkedScalar(known.val, known.id, known.off, n);
    const distance = immScalar(r.off - known.off);
    const is32 = ((r.id | known.id) & ADD_CONST32) !== 0;
    return linkedScalar(arith(BPF_ADD, known.val, distance, is32), r.id, r.off, n);
  });
}

/** Equal to a pointer that is not NULL: not NULL either. */
function learnNotNull(op: number, here: State, there: State, insn: Insn, dst: Reg, src: Reg): void {
  if (dst.kind === Kind.BTF_ID || src.kind === Kind.BTF_ID) return;
  const equal = op === BPF_JEQ ? there : op === BPF_JNE ? here : undefined;
  if (!equal) return;
  const { regs } = equal.frame;
  if (isNotNull(dst) && src.flags & MAYBE_NULL) regs[insn.src] = notNull(src);
  if (isNotNull(src) && dst.flags & MAYBE_NULL) regs[insn.dst] = notNull(dst);
}

/** All pointers of the tested one's id are NULL, or are not. NULL has no reference to release. */
function markNull(state: State, tested: Reg, isZero: boolean): void {
  const { id, ref } = tested;
  if (isZero && ref && ref === id) state.refs = state.refs.filter((r) => r.id !== id);
  mapRegs(state, (r) => {
    if ((r.flags & MAYBE_NULL) === 0 || r.id !== id || id === 0) return r;
    if (isZero) return scalarReg(ZERO);
    return notNull(r);
  });
}

/** What a pointer becomes once it is known not to be NULL: a map of maps holds maps, a socket map sockets. */
export function notNull(r: Reg): Reg {
  const flags = r.flags & ~MAYBE_NULL;
  // An object keeps its id, as a map value does: a lock in it is told apart by that.
  if (r.kind === Kind.BTF_ID && flags & ALLOC) return changed(r, { flags });
  if (r.kind !== Kind.MAP_VALUE) return changed(r, { flags, id: 0 });
  const map = r.obj as MapRef;
  if (map.inner) return pointer(Kind.MAP_PTR, { obj: map.inner });
  switch (map.spec.type) {
    case MapType.BPF_MAP_TYPE_XSKMAP:
      return pointer(Kind.XDP_SOCK, { ref: r.ref });
    case MapType.BPF_MAP_TYPE_SOCKMAP:
    case MapType.BPF_MAP_TYPE_SOCKHASH:
      return pointer(Kind.SOCKET, { ref: r.ref });
    default:
      // A spin lock is told apart by its value id; other values need none any more.
      return changed(r, { flags, id: map.fields.some(({ kind }) => kind === "lock" || kind === "resLock") ? r.id : 0 });
  }
}

/** Comparison of a packet pointer with the end (or of data_meta with data): which side proves how many bytes. */
function matchPacket(op: number, dst: Reg, src: Reg, insn: Insn, here: State, there: State): void {
  const forward = boundedBy(dst, src);
  if (!forward && !boundedBy(src, dst)) return;
  const ptr = forward ? dst : src;
  const register = forward ? insn.dst : insn.src;
  // As `ptr o end`.
  switch (forward ? op : flippedOf(op)) {
    case BPF_JGT:
      prove(here, ptr, false);
      markEnd(there, register, ptr, true);
      break;
    case BPF_JLT:
      prove(there, ptr, true);
      markEnd(here, register, ptr, false);
      break;
    case BPF_JGE:
      prove(here, ptr, true);
      markEnd(there, register, ptr, false);
      break;
    case BPF_JLE:
      prove(there, ptr, false);
      markEnd(here, register, ptr, true);
      break;
    default:
      break;
  }
}

function boundedBy(ptr: Reg, end: Reg): boolean {
  if (ptr.kind === Kind.PACKET) return end.kind === Kind.PACKET_END;
  const isData =
    end.kind === Kind.PACKET && end.off === 0 && end.val.isConst && end.val.tnum.value === 0n && end.id === 0;
  return ptr.kind === Kind.PACKET_META && isData;
}

/**
 * `ptr <= end` (or `<` when `open`) holds: all pointers with this id may read up to ptr's fixed offset from the
 * common base, one byte more when open.
 */
function prove(state: State, ptr: Reg, open: boolean): void {
  if (ptr.off < 0 || (ptr.off === 0 && open)) return;
  if (ptr.val.umax > BigInt(MAX_PACKET_OFF) || Number(ptr.val.umax) + ptr.off > MAX_PACKET_OFF) return;
  const range = ptr.off + Number(open);
  mapRegs(state, (r) => (r.kind === ptr.kind && r.id === ptr.id && range > r.num ? changed(r, { num: range }) : r));
}

/** The pointer itself is known to be at or beyond the end: later comparisons of it are decided. */
function markEnd(state: State, register: number, ptr: Reg, beyond: boolean): void {
  if (ptr.kind !== Kind.PACKET) return;
  const { regs } = state.frame;
  regs[register] = changed(regs[register]!, { num: beyond ? BEYOND_PKT_END : AT_PKT_END });
}
