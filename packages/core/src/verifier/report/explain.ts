/**
 * Why: the part of a refused path that matters. Going back from the refused insn, an insn matters when it made a value
 * that is needed, a jump when it compared one. What is left is the story to tell, with the values as they were then.
 */
import {
  BPF_MEM,
  BPF_PSEUDO_CALL,
  BPF_STX,
  BPF_X,
  CLASS_MASK,
  type Insn,
  isJump,
  MODE_MASK,
  OP_CALL,
  OP_EXIT,
  OP_GOTOL,
  OP_JA,
  OP_MAY_GOTO,
} from "../../isa/index.ts";
import { helperById } from "../../object/index.ts";
import { usesOf } from "../cfg/cfg.ts";
import { accessSize, nextPc } from "../cfg/program.ts";
import type { Refusal } from "../context.ts";
import { isPacket, Kind, type Reg } from "../domain/reg.ts";
import { formatReg } from "./format.ts";
import type { Visited } from "./replay.ts";
import { sayReg } from "./words.ts";

/** One step of the story. */
export interface CauseStep {
  readonly pc: number;
  /** A jump's direction; undefined for other insns. */
  readonly taken: boolean | undefined;
  /** Of a conditional jump: the pc that the path goes on at. */
  readonly goesTo: number | undefined;
  /** What the registers that matter held before the insn: `r2=pkt(off=14,r=0)`. */
  readonly before: string;
  /** What it made or taught, in plain words: `r2 is packet, 14 bytes checked`. "" where that is nothing new. */
  readonly note: string;
}

const MAX_STEPS = 24;

/** Rules about the insn itself: what its registers hold is no part of the story. */
const ABOUT_THE_INSN = new Set(["helper", "licence", "map-helper", "kfunc", "sleep", "legacy-load", "encoding"]);
/** Rules about what the path still holds: the story is where it was taken and which way the path went since. */
const ABOUT_WHAT_IS_HELD = new Set(["reference", "lock", "rcu", "irq", "preempt"]);

/** The steps that lead to the refusal, first one first; the refused insn is the last. */
export function explain(
  trace: readonly Visited[],
  refusal: Pick<Refusal, "rule" | "register" | "message">,
): CauseStep[] {
  const last = trace[trace.length - 1];
  if (!last) return [];
  const { rule, register } = refusal;
  const slice = new Slice(last.depth);
  const held = register === undefined && ABOUT_WHAT_IS_HELD.has(rule);
  if (!held && !ABOUT_THE_INSN.has(rule)) {
    slice.want(register === undefined ? usesOf(last.insn).reads : 1 << register);
  }
  const about = register === undefined ? undefined : last.regs[register];
  const refused = { ...describe(last, slice.wanted), goesTo: undefined, note: heldBefore(last, slice.wanted) };
  const steps: CauseStep[] = [refused];
  const taken = held ? takenAt(trace, refusal) : -1;
  for (let i = trace.length - 2; i >= 0 && steps.length < MAX_STEPS; i--) {
    const visited = trace[i]!;
    const after = trace[i + 1]!;
    const wanted = slice.wanted;
    const fork = taken >= 0 && i > taken && visited.taken !== undefined && isConditional(visited.insn);
    const lost = lostBy(visited, after, wanted);
    const matters = slice.matters(visited, after, about);
    if (!matters && !fork && i !== taken && !lost) continue;
    const goesTo = isConditional(visited.insn) ? after.insn.pc : undefined;
    const step = describe(visited, wanted | usesOf(visited.insn).reads);
    const note = lost ?? (i === taken ? heldText(rule) : taught(visited, after, about));
    steps.push({ ...step, taken: goesTo === undefined ? undefined : goesTo !== nextPc(visited.insn), goesTo, note });
  }
  return steps.reverse();
}

function heldText(rule: string): string {
  return rule === "reference" ? "acquired here" : rule === "lock" ? "locked here" : "taken here";
}

/** Index of the call that took what is still held: the message names it, or it is the last call of its kind. */
function takenAt(trace: readonly Visited[], { rule, message }: Pick<Refusal, "rule" | "message">): number {
  const named = /instruction (\d+) acquired/.exec(message);
  if (named) return trace.findLastIndex(({ insn }) => insn.pc === Number(named[1]));
  if (rule !== "lock") return -1;
  return trace.findLastIndex(
    ({ insn }) => insn.opcode === OP_CALL && insn.src === 0 && /spin_lock$/.test(helperById(insn.imm)?.name ?? ""),
  );
}

/** What an insn did to a wanted register without writing it: a call that moved packet data, a release, a test for NULL. */
function lostBy({ insn, regs, depth }: Visited, after: Visited, wanted: number): string | undefined {
  if (after.depth !== depth) return undefined;
  const { writes } = usesOf(insn);
  for (let i = 0; i < 10; i++) {
    if (((wanted >> i) & 1) === 0 || (writes >> i) & 1) continue;
    const was = regs[i]!;
    const now = after.regs[i]!;
    if (was.kind <= Kind.SCALAR || now.kind !== Kind.SCALAR || insn.opcode !== OP_CALL) continue;
    const name = insn.src === 0 ? `bpf_${helperById(insn.imm)?.name ?? insn.imm}` : "the call";
    return isPacket(was) || was.kind === Kind.PACKET_END
      ? `r${i} is no pointer any more: ${name} may move packet data`
      : `r${i} is no pointer any more: ${name} gave up what it points to`;
  }
  return undefined;
}

/** What the refused insn was given. */
function heldBefore({ insn, regs }: Visited, registers: number): string {
  return words(regs, usesOf(insn).reads & registers);
}

/**
 * What is known after the insn that was not before: the register that it wrote; of a jump what it compared, and the
 * pointer that all is about, where the jump taught something of it.
 */
function taught({ insn, regs, depth }: Visited, after: Visited, about: Reg | undefined): string {
  if (after.depth !== depth) return "";
  const { reads, writes } = usesOf(insn);
  if (!isConditional(insn)) return words(after.regs, writes & (insn.opcode === OP_CALL ? 1 : 0x3ff));
  let changed = 0;
  after.regs.forEach((r, i) => {
    const was = regs[i]!;
    if (r === was || r.kind === Kind.NOT_INIT || sayReg(r) === sayReg(was)) return;
    const sameBase = about && isPacket(about) && r.kind === about.kind && r.id === about.id;
    if ((reads >> i) & 1 || sameBase) changed |= 1 << i;
  });
  return words(after.regs, changed);
}

function words(regs: readonly Reg[], registers: number): string {
  const parts: string[] = [];
  for (let i = 0; i < 10; i++) {
    const r = regs[i]!;
    if ((registers >> i) & 1 && r.kind !== Kind.NOT_INIT) parts.push(`r${i} is ${sayReg(r)}`);
  }
  return parts.join("; ");
}

function describe({ insn, regs, taken }: Visited, registers: number): Omit<CauseStep, "note" | "goesTo"> {
  const reads = usesOf(insn).reads & registers;
  const parts: string[] = [];
  regs.forEach((r, i) => {
    if ((reads >> i) & 1 && i !== 10 && r.kind !== Kind.NOT_INIT) parts.push(`r${i}=${formatReg(r)}`);
  });
  return { pc: insn.pc, taken: isConditional(insn) ? taken : undefined, before: parts.join(" ") };
}

function isConditional(insn: Insn): boolean {
  return isJump(insn) && insn.opcode !== OP_JA && insn.opcode !== OP_GOTOL && insn.opcode !== OP_MAY_GOTO;
}

/** Registers, stack slots and frame that are needed at some point of the walk back. */
class Slice {
  wanted = 0;
  readonly #slots = new Set<number>();
  #depth: number;

  constructor(depth: number) {
    this.#depth = depth;
  }

  want(registers: number): void {
    this.wanted |= registers & ~(1 << 10);
  }

  /** Whether the insn is part of the story; then what it needs is wanted in place of what it gave. */
  matters({ insn, depth, regs }: Visited, after: Visited, about: Reg | undefined): boolean {
    if (insn.opcode === OP_CALL && insn.src === BPF_PSEUDO_CALL && after.depth > depth && this.#depth > depth) {
      // Arguments of the function come from its caller's r1 to r5, which stay wanted as they are.
      this.#depth = depth;
      this.wanted &= 0x3e;
      return this.wanted !== 0;
    }
    if (insn.opcode === OP_EXIT && after.depth < depth && this.wanted & 1) {
      this.#depth = depth;
      this.wanted = 1;
      return true;
    }
    if (depth !== this.#depth) return false;
    const { reads, writes } = usesOf(insn);
    if (isConditional(insn)) {
      const compared = reads & ~(1 << 10);
      const related = (compared & this.wanted) !== 0 || this.#sameObject(insn, regs, about);
      if (related) this.want(compared);
      return related;
    }
    if (this.#storesWanted(insn, regs)) {
      if ((insn.opcode & CLASS_MASK) === BPF_STX) this.want(1 << insn.src);
      return true;
    }
    if ((writes & this.wanted) === 0) return false;
    this.wanted &= ~writes;
    // What a helper was given says little about what it gave.
    if (insn.opcode !== OP_CALL) this.want(reads);
    this.#loads(insn, regs);
    return true;
  }

  /** A comparison of another pointer with the same packet base, or of the same lookup's result. */
  #sameObject(insn: Insn, regs: readonly Reg[], about: Reg | undefined): boolean {
    if (!about) return false;
    const sides = (insn.opcode & BPF_X) !== 0 ? [regs[insn.dst]!, regs[insn.src]!] : [regs[insn.dst]!];
    return sides.some(
      (r) => r.kind === about.kind && (isPacket(r) ? r.id === about.id : about.id !== 0 && r.id === about.id),
    );
  }

  /** A fill: the slot that it read is wanted instead. */
  #loads(insn: Insn, regs: readonly Reg[]): void {
    const base = regs[insn.src]!;
    const isLoad = (insn.opcode & CLASS_MASK) === 1 && (insn.opcode & MODE_MASK) === BPF_MEM;
    if (!isLoad || base.kind !== Kind.STACK || !base.val.isConst) return;
    this.#slots.add((base.off + insn.off + Number(base.val.smin)) >> 3);
  }

  #storesWanted(insn: Insn, regs: readonly Reg[]): boolean {
    const cls = insn.opcode & CLASS_MASK;
    if ((cls !== 2 && cls !== BPF_STX) || (insn.opcode & MODE_MASK) !== BPF_MEM) return false;
    const base = regs[insn.dst]!;
    if (base.kind !== Kind.STACK || !base.val.isConst) return false;
    const slot = (base.off + insn.off + Number(base.val.smin)) >> 3;
    if (!this.#slots.has(slot)) return false;
    if (accessSize(insn.opcode) === 8) this.#slots.delete(slot);
    return true;
  }
}
